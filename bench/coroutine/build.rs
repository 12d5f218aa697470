//! Notes which compiler builds the rows: its version is printed over the table, and a nightly one has rows of its own.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var("RUSTC").expect("cargo names the compiler");
    let output = Command::new(rustc).arg("--version").output();
    let version = String::from_utf8(output.expect("rustc runs").stdout).expect("a version is text");
    println!("cargo::rustc-env=RUSTC_VERSION={}", version.trim());
    println!("cargo::rustc-check-cfg=cfg(nightly)");
    if version.contains("nightly") {
        println!("cargo::rustc-cfg=nightly");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
