//! The standard streams, as a child process of this test finds them: whatever they are, they work, the program ends, and
//! everything is left as it was.

use std::env;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use antiphon::io::{Read, Write, stdin, stdout};
use antiphon::{CancelScope, is_cancelled, spawn, tree, yield_now};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, tcgetattr};

/// Says what the child is to do.
const ROLE: &str = "ANTIPHON_STANDARD_STREAMS";

/// Marks what the child says of its own among what the test harness says.
const BEGIN: &str = "<<<";
const END: &str = ">>>";

/// Not a test but the child, when `ROLE` says so.
#[test]
fn child() {
    match env::var(ROLE).as_deref() {
        Ok("echo") => echo(),
        Ok("leave") => leave(),
        _ => {}
    }
}

/// Says back one line of input, in two readers, and what the streams are.
fn echo() {
    antiphon::run(async || {
        let mut out = stdout()?;
        let mut input = stdin()?;
        let mut line = Vec::new();
        // What the first reader has taken and not read is there for the second.
        input.fill(1).await?;
        let kind = input.kind();
        drop(input);
        stdin()?.read_until(b'\n', &mut line).await?;
        let line = String::from_utf8(line).unwrap();
        let text = format!(
            "{BEGIN}{kind:?} {:?} {}{END}\n",
            out.kind(),
            line.trim_end()
        );
        out.write_all(text.as_bytes()).await?;
        out.shutdown().await
    })
    .unwrap();
}

/// Waits for input that does not come, is cancelled, and ends.
fn leave() {
    antiphon::run(async || {
        let scope = CancelScope::new();
        let cancel = scope.clone();
        let canceller = spawn(async move || {
            let waits = || {
                let tasks = tree().tasks;
                tasks
                    .iter()
                    .any(|task| task.waits.iter().any(|wait| wait.kind == "stdin"))
            };
            while !waits() {
                yield_now().await.unwrap();
            }
            cancel.cancel("enough");
        });
        let outcome = scope.run(async || stdin()?.read(&mut [0; 8]).await).await;
        canceller.await.unwrap();
        let error = outcome.into_result().unwrap_err();
        assert!(is_cancelled(&error));
        let text = format!("{BEGIN}left{END}\n");
        stdout()?.write_all(text.as_bytes()).await
    })
    .unwrap();
}

fn start(role: &str, driver: &str, stdin: impl Into<Stdio>, stdout: impl Into<Stdio>) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env("ANTIPHON_DRIVER", driver)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Returns what the child said of its own.
fn said(mut child: Child) -> String {
    let mut all = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut all).unwrap();
    }
    assert!(child.wait().unwrap().success(), "{all}");
    between(&all).to_owned()
}

fn between(all: &str) -> &str {
    let (_, rest) = all.split_once(BEGIN).unwrap_or_else(|| panic!("{all}"));
    rest.split_once(END).unwrap_or_else(|| panic!("{all}")).0
}

fn for_each_kernel_driver(body: impl Fn(&str)) {
    for driver in ["readiness", ""] {
        body(driver);
    }
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

#[test]
fn pipes() {
    for_each_kernel_driver(|driver| {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let child = start("echo", driver, reader.try_clone().unwrap(), Stdio::piped());
        File::from(writer).write_all(b"canto\n").unwrap();
        assert_eq!(said(child), "Pipe Pipe canto");
        // We share the description with the child.
        assert!(!is_nonblocking(&reader));
    });
}

#[test]
fn a_pipe_that_says_nothing_does_not_hold_up_the_end() {
    for_each_kernel_driver(|driver| {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        assert_eq!(said(start("leave", driver, reader, Stdio::piped())), "left");
    });
}

#[test]
fn sockets() {
    for_each_kernel_driver(|driver| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let shared = theirs.try_clone().unwrap();
        let child = start("echo", driver, OwnedFd::from(theirs), Stdio::piped());
        (&ours).write_all(b"canto\n").unwrap();
        assert_eq!(said(child), "Socket Pipe canto");
        assert!(!is_nonblocking(&shared));
        let child = start("leave", driver, OwnedFd::from(shared), Stdio::piped());
        assert_eq!(said(child), "left");
    });
}

#[test]
fn files_and_devices() {
    for_each_kernel_driver(|driver| {
        let path =
            env::temp_dir().join(format!("antiphon-streams-{driver}-{}", std::process::id()));
        std::fs::write(&path, "canto\nfermo\n").unwrap();
        let child = start("echo", driver, File::open(&path).unwrap(), Stdio::piped());
        assert_eq!(said(child), "File Pipe canto");
        let null = Stdio::null();
        assert_eq!(
            said(start("echo", driver, null, Stdio::piped())),
            "Device Pipe "
        );

        let (reader, writer) = rustix::pipe::pipe().unwrap();
        File::from(writer).write_all(b"canto\n").unwrap();
        let mut child = start("echo", driver, reader, File::create(&path).unwrap());
        assert!(child.wait().unwrap().success());
        let all = std::fs::read_to_string(&path).unwrap();
        assert_eq!(between(&all), "Pipe File canto");
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn terminals_stay_as_they_were() {
    for_each_kernel_driver(|driver| {
        let (master, terminal) = terminal();
        let before = tcgetattr(&terminal).unwrap();
        let clone = || terminal.try_clone().unwrap();
        let mut child = start("echo", driver, clone(), clone());
        let mut master = File::from(master);
        master.write_all(b"canto\n").unwrap();
        let mut all = Vec::new();
        while !all.ends_with(END.as_bytes()) {
            let mut byte = [0];
            master.read_exact(&mut byte).unwrap();
            all.push(byte[0]);
        }
        assert_eq!(
            between(&String::from_utf8(all).unwrap()),
            "Terminal Terminal canto"
        );
        assert!(child.wait().unwrap().success());
        assert_is_as(&terminal, &before);

        assert_eq!(
            said(start("leave", driver, clone(), Stdio::piped())),
            "left"
        );
        assert_is_as(&terminal, &before);

        // Killed in the middle of its wait, or before: it makes no difference.
        let mut child = start("echo", driver, clone(), Stdio::piped());
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_is_as(&terminal, &before);
    });
}

/// A pseudo-terminal: its master, and the end that programs see.
fn terminal() -> (OwnedFd, OwnedFd) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(&name, flags, rustix::fs::Mode::empty()).unwrap();
    (master, terminal)
}

fn assert_is_as(terminal: &OwnedFd, before: &Termios) {
    assert!(!is_nonblocking(terminal));
    let now = tcgetattr(terminal).unwrap();
    assert_eq!(now.input_modes, before.input_modes);
    assert_eq!(now.output_modes, before.output_modes);
    assert_eq!(now.control_modes, before.control_modes);
    assert_eq!(now.local_modes, before.local_modes);
}
