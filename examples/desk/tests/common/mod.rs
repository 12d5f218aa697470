//! The real program, at pipes.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{
    Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio,
};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A desk in the middle of a conversation. Dropped, it is killed.
pub(crate) struct Desk {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    pub(crate) stderr: BufReader<ChildStderr>,
}

impl Desk {
    /// Opens a plain desk.
    pub(crate) fn open(arguments: &[&str]) -> Self {
        let mut child = command(&["desk", "--plain"])
            .args(arguments)
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            child,
        }
    }

    pub(crate) fn write(&mut self, lines: &str) {
        self.stdin
            .as_mut()
            .unwrap()
            .write_all(lines.as_bytes())
            .unwrap();
    }

    /// Reads as much of the transcript as `expected` is long: it is that.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) {
        let mut read = vec![0; expected.len()];
        self.stdout.read_exact(&mut read).unwrap();
        assert_eq!(String::from_utf8_lossy(&read), expected);
    }

    /// Returns how many bytes of the transcript are in the pipe.
    pub(crate) fn unread(&self) -> u64 {
        rustix::io::ioctl_fionread(self.stdout.get_ref()).unwrap()
    }

    /// Returns the next line on standard error, without its end.
    #[track_caller]
    pub(crate) fn message(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.strip_suffix('\n').expect("a whole line").to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the desk to end. Returns what is left to read, of both streams.
    pub(crate) fn end(mut self) -> (ExitStatus, String, String) {
        let (mut transcript, mut messages) = (String::new(), String::new());
        self.stdout.read_to_string(&mut transcript).unwrap();
        self.stderr.read_to_string(&mut messages).unwrap();
        (self.child.wait().unwrap(), transcript, messages)
    }

    /// Waits for the desk to end, and reads nothing.
    pub(crate) fn end_unread(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // A test that failed leaves no desk behind. One that has ended can't be killed, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
    command
        .args(arguments)
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a plain desk on `input`.
pub(crate) fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = command(&["desk", "--plain"])
        .args(arguments)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        child.wait_with_output().unwrap()
    })
}

/// A folder of a test's own, removed with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("antiphon-desk-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut options = fs::File::options();
        let mut file = options
            .append(true)
            .create(true)
            .open(self.join(name))
            .unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// Writes a script, and returns the command that runs it: in it, `$1` is the number and the folder is where it is.
    pub(crate) fn script(&self, text: &str) -> String {
        let path = self.join("script");
        fs::write(&path, format!("cd '{}'\n{text}\n", self.path())).unwrap();
        format!("sh {}", path.display())
    }

    /// Makes a named pipe.
    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.join(name);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
