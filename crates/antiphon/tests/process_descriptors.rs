//! Descriptors and zombies: as many afterwards as before, and having none left is told.
//!
//! One test, because both are the process's.

mod net_support;

use antiphon::context::with;
use antiphon::io::pipe;
use antiphon::process::{Child, Command, Stdio};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, WaitOptions, getrlimit, setrlimit, wait};

use net_support::for_each_kernel_driver;

#[test]
fn nothing_is_left() {
    for_each_kernel_driver(some_of_everything);
    let before = count();
    for_each_kernel_driver(some_of_everything);
    assert_eq!(count(), before);
    for_each_kernel_driver(none_left);
    assert_eq!(count(), before);
    // Neither a process nor what is left of one.
    assert_eq!(wait(WaitOptions::NOHANG).unwrap_err(), Errno::CHILD);
}

fn count() -> usize {
    // The directory is open itself while it is read, both times.
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

async fn some_of_everything() {
    Command::new("true").status().await.unwrap();
    Command::new("echo").output().await.unwrap();
    assert!(Command::new("/no/such/program").output().await.is_err());
    let mut cat = Command::new("cat");
    cat.stdin(Stdio::piped()).stdout(Stdio::piped());
    with(cat.spawned(), async |_: &mut Child| {
        Ok::<_, std::io::Error>(())
    })
    .await
    .unwrap();
}

/// With ever more descriptors, from none: each failure is `EMFILE`, and leaves nothing behind.
async fn none_left() {
    let limits = getrlimit(Resource::Nofile);
    let highest = std::fs::read_dir("/proc/self/fd").unwrap();
    let highest =
        highest.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u64>().ok());
    let highest = highest.max().unwrap();
    let open = count();
    let mut failed = 0;
    let mut worked = false;
    let mut command = Command::new("true");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for limit in 3..highest + 12 {
        let current = Some(limit);
        setrlimit(Resource::Nofile, Rlimit { current, ..limits }).unwrap();
        let result = command.spawn();
        let both = pipe();
        setrlimit(Resource::Nofile, limits).unwrap();
        drop(both);
        match result {
            Ok(mut child) => {
                worked = true;
                assert!(child.wait().await.unwrap().success());
            }
            Err(error) => {
                failed += 1;
                assert_eq!(error.raw_os_error(), Some(Errno::MFILE.raw_os_error()));
            }
        }
        assert_eq!(count(), open);
    }
    assert!(failed > 0 && worked);
}
