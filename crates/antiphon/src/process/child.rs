//! A process that was started.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::Location;
use std::process::{self, ExitStatus};
use std::rc::Rc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::{orphans, pidfd};
use crate::context::{ContextManager, Ending, Grace, HandOver};
use crate::io::{Leaf, PipeReader, PipeWriter};
use crate::scope::is_cancelled;
use crate::signal::Kind;
use crate::sys::{Interest, Op, Socket};
use crate::time::{move_on_after, sleep};

/// A process that was started, and is ours to wait for.
///
/// As a [`ContextManager`] it is ended with its block, in the order that the [module](super) shows. Dropped otherwise, it goes on,
/// unless it was to be [killed](super::Command::kill_on_drop), and is reaped when it has ended.
///
/// # Examples
/// ```
/// use antiphon::process::Command;
/// use antiphon::signal::Kind;
/// use std::os::unix::process::ExitStatusExt;
///
/// antiphon::run(async || {
///     let mut child = Command::new("sleep").arg("3600").spawn()?;
///     child.signal(Kind::TERMINATE)?;
///     let status = child.wait().await?;
///     assert_eq!(status.signal(), Some(Kind::TERMINATE.as_raw()));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Child {
    /// Its standard input, if that was to be a pipe and was not taken.
    pub stdin: Option<PipeWriter>,
    /// Its standard output, if that was to be a pipe and was not taken.
    pub stdout: Option<PipeReader>,
    /// Its standard error stream, if that was to be a pipe and was not taken.
    pub stderr: Option<PipeReader>,
    /// `None` only while it is dropped.
    process: Option<process::Child>,
    /// Readable when the process has ended. `None` where the system has no such thing.
    pidfd: Option<Rc<Socket>>,
    /// Set when it was reaped.
    status: Option<ExitStatus>,
    ways: Ways,
}

/// How a child is ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    /// How long it has to end by itself.
    pub(super) patience: Duration,
    /// How long it has from `SIGTERM` to `SIGKILL`.
    pub(super) grace: Duration,
    /// Whether it is killed when it is dropped.
    pub(super) kills: bool,
}

/// How long the wait for a child pauses that can't be waited for.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// For a process that was killed, and sits in the kernel.
const LAST: Duration = Duration::from_secs(5);

impl Child {
    /// Starts `command`.
    pub(super) fn spawn(command: &mut process::Command, ways: Ways) -> io::Result<Self> {
        orphans::reap();
        let mut child = command.spawn()?;
        let pidfd = pid_of(&child).and_then(pidfd::open);
        let pidfd = pidfd.map(|fd| Rc::new(Socket::new(fd)));
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let mut spawned = Self {
            stdin: None,
            stdout: None,
            stderr: None,
            process: Some(child),
            pidfd,
            status: None,
            ways,
        };
        let connect = || {
            let reader = |fd: OwnedFd| PipeReader::from_fd(fd);
            spawned.stdin = stdin.map(|fd| PipeWriter::from_fd(fd.into())).transpose()?;
            spawned.stdout = stdout.map(|fd| reader(fd.into())).transpose()?;
            spawned.stderr = stderr.map(|fd| reader(fd.into())).transpose()?;
            Ok::<(), io::Error>(())
        };
        if let Err(error) = connect() {
            spawned.ways.kills = true;
            return Err(error);
        }
        Ok(spawned)
    }

    /// Returns the number of the process. `None` when it was reaped, since the number may be another's then.
    pub fn id(&self) -> Option<u32> {
        match self.status {
            None => self.process.as_ref().map(process::Child::id),
            Some(_) => None,
        }
    }

    /// Waits until the process has ended, reaps it, and returns how it ended. Later calls return the same.
    ///
    /// [`stdin`](Self::stdin) is closed first, if it was not taken: a child that reads to the end would never end. What it
    /// writes to a pipe that nobody reads may keep it from ending too: [`output`](super::Command::output) reads meanwhile.
    ///
    /// # Errors
    /// What the system says: `ECHILD` if somebody else has reaped the process. A cancel, of which
    /// [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen**, but for `stdin`. The process goes on, and its status is there for the next call. If it ended before
    /// the system was told to watch no more, the status is returned.
    #[track_caller]
    pub fn wait(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<'_> {
        let at = Location::caller();
        async move {
            let mut leaf = Leaf::at(at);
            poll_fn(|cx| leaf.begin(cx)).await?;
            self.stdin = None;
            self.reap(at).await
        }
    }

    /// Waits for the end, and leaves the pipes alone.
    pub(super) async fn reap(&mut self, at: &'static Location<'static>) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let pidfd = self.pidfd.clone();
        let status = ended(self.process_mut(), pidfd, "process", at).await?;
        self.status = Some(status);
        Ok(status)
    }

    /// Returns how the process ended, or `None` if it has not. This does not wait.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.process_mut().try_wait()?;
        }
        Ok(self.status)
    }

    /// Sends the process a signal. If it has ended, nothing happens: the signal reaches no other process.
    ///
    /// # Errors
    /// `EPERM` if the process has changed its user, and we may not; `EINVAL` if there is no such signal, or none that the system has
    /// a name for.
    pub fn signal(&self, kind: Kind) -> io::Result<()> {
        if self.status.is_some() {
            return Ok(());
        }
        let signal = Signal::from_named_raw(kind.as_raw()).ok_or(Errno::INVAL)?;
        let sent = match &self.pidfd {
            Some(pidfd) => match pidfd::send_signal(pidfd.as_fd(), signal) {
                Err(Errno::NOSYS) => self.signal_by_number(signal),
                sent => sent,
            },
            None => self.signal_by_number(signal),
        };
        match sent {
            Err(Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Asks the process to end: `SIGTERM`.
    ///
    /// # Errors
    /// Those of [`signal`](Self::signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(Kind::TERMINATE)
    }

    /// Kills the process: `SIGKILL`. It is to be waited for all the same.
    ///
    /// # Errors
    /// Those of [`signal`](Self::signal).
    pub fn kill(&self) -> io::Result<()> {
        self.signal(Kind::KILL)
    }

    /// The number is the child's as long as it was not reaped, and that is done here alone.
    fn signal_by_number(&self, signal: Signal) -> rustix::io::Result<()> {
        let pid = self.process.as_ref().and_then(pid_of).ok_or(Errno::SRCH)?;
        kill_process(pid, signal)
    }

    /// Ends the process in good order, and reaps it. `may_end` says that it is given time to end by itself.
    async fn end(&mut self, may_end: bool, at: &'static Location<'static>) -> io::Result<()> {
        let Ways {
            patience, grace, ..
        } = self.ways;
        self.stdin = None;
        if may_end {
            // Who writes on to nobody hears of it.
            (self.stdout, self.stderr) = (None, None);
            if self.ends_within(patience, at).await? {
                return Ok(());
            }
        }
        self.terminate()?;
        if self.ends_within(grace, at).await? {
            return Ok(());
        }
        self.kill()?;
        self.reap(at).await.map(drop)
    }

    async fn ends_within(
        &mut self,
        duration: Duration,
        at: &'static Location<'static>,
    ) -> io::Result<bool> {
        let ended = move_on_after(duration, async || self.reap(at).await).await?;
        Ok(ended.is_some())
    }

    fn process_mut(&mut self) -> &mut process::Child {
        self.process
            .as_mut()
            .expect("it is there until it is dropped")
    }
}

/// Waits until a process has ended, and reaps it.
pub(super) async fn ended(
    child: &mut process::Child,
    pidfd: Option<Rc<Socket>>,
    kind: &'static str,
    at: &'static Location<'static>,
) -> io::Result<ExitStatus> {
    if let Some(socket) = pidfd {
        let interest = Interest::Read;
        let op = Op::Poll { socket, interest };
        Leaf::at(at).carry_out(op, kind).await?;
    }
    let mut pause = PAUSE_MIN;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        // There is no descriptor; or it says that the process has ended, and a debugger still holds it.
        sleep(pause).await?;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn pid_of(child: &process::Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// The process is ended in the order that the [module](super) shows, and reaped. How it ends is no error of the exit; who
/// wants to know waits for it in the block.
///
/// If the exit itself is cancelled by its [`Grace`], the process is killed at once, and reaped by the loop.
impl ContextManager for Child {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(mut self, ending: Ending<'_>) -> io::Result<()> {
        // From here on it does not outlive us.
        self.ways.kills = true;
        match self.end(ending.is_value(), Location::caller()).await {
            Err(error) if is_cancelled(&error) => {
                self.kill()?;
                Err(error)
            }
            result => result,
        }
    }

    fn let_go(mut self) {
        self.ways.kills = true;
    }

    fn grace(&self) -> Grace {
        let Ways {
            patience, grace, ..
        } = self.ways;
        Grace::default().cancel_after(patience.saturating_add(grace).saturating_add(LAST))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        if self.ways.kills {
            // If it can't be killed, it is reaped when it ends.
            let _ = self.kill();
        }
        if let Some(child) = self.process.take() {
            orphans::adopt(child, self.pidfd.take());
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
