//! A process to be.

use std::ffi::OsStr;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::Location;
use std::path::Path;
use std::process::{self, ExitStatus, Stdio};
use std::time::Duration;

use super::child::{Child, Ways};
use super::output::{Output, gather};
use crate::context::with;
use crate::io::Leaf;

/// A process to be: a program, its arguments, its streams, and how it is ended.
///
/// It can be started any number of times. What is not said is inherited: the environment, the folder, the streams. What is
/// not here, users and groups for example, is with [`as_std_mut`](Self::as_std_mut).
///
/// # Examples
/// ```
/// use antiphon::process::Command;
///
/// antiphon::run(async || {
///     let status = Command::new("sh").args(["-c", "exit $CODE"]).env("CODE", "7").status().await?;
///     assert_eq!(status.code(), Some(7));
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    inner: process::Command,
    ways: Ways,
    output_max: usize,
    /// Which streams were said: input, output, errors.
    said: [bool; 3],
}

impl Command {
    /// Makes one for `program`, which is looked for in `PATH` unless it has a slash in it.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Self {
        process::Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Self {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.inner.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env<K: AsRef<OsStr>, V: AsRef<OsStr>>(&mut self, name: K, value: V) -> &mut Self {
        self.inner.env(name, value);
        self
    }

    /// Sets variables of its environment.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Self
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.inner.envs(vars);
        self
    }

    /// Takes a variable out of its environment.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, name: K) -> &mut Self {
        self.inner.env_remove(name);
        self
    }

    /// Has it inherit no variable.
    pub fn env_clear(&mut self) -> &mut Self {
        self.inner.env_clear();
        self
    }

    /// Sets the folder that it starts in.
    pub fn current_dir<P: AsRef<Path>>(&mut self, path: P) -> &mut Self {
        self.inner.current_dir(path);
        self
    }

    /// Sets its standard input. Inherited, if it is not said; nothing, for [`output`](Self::output).
    pub fn stdin<T: Into<Stdio>>(&mut self, stdio: T) -> &mut Self {
        self.said[0] = true;
        self.inner.stdin(stdio);
        self
    }

    /// Sets its standard output. Inherited, if it is not said; a pipe, for [`output`](Self::output).
    pub fn stdout<T: Into<Stdio>>(&mut self, stdio: T) -> &mut Self {
        self.said[1] = true;
        self.inner.stdout(stdio);
        self
    }

    /// Sets its standard error stream. Inherited, if it is not said; a pipe, for [`output`](Self::output).
    pub fn stderr<T: Into<Stdio>>(&mut self, stdio: T) -> &mut Self {
        self.said[2] = true;
        self.inner.stderr(stdio);
        self
    }

    /// Sets how long the process has to end by itself, once a block that used it has returned a value and its pipes are closed; a
    /// second, if it is not said. Zero suits a server, which would not end. For [`output`](Self::output) it is also how long
    /// pipes are waited for that others keep open.
    pub const fn patience(&mut self, duration: Duration) -> &mut Self {
        self.ways.patience = duration;
        self
    }

    /// Sets how long the process has from `SIGTERM` to `SIGKILL`; 5 seconds, if it is not said.
    ///
    /// When the main task has ended, the loop has a [grace](crate::RuntimeBuilder::grace) of its own, which bounds this one.
    pub const fn grace(&mut self, duration: Duration) -> &mut Self {
        self.ways.grace = duration;
        self
    }

    /// Sets whether the process is killed when its [`Child`] is dropped outside of a block; `false`, if it is not said.
    pub const fn kill_on_drop(&mut self, kills: bool) -> &mut Self {
        self.ways.kills = kills;
        self
    }

    /// Sets how many bytes each stream of [`output`](Self::output) may have; any number, if it is not said.
    pub const fn output_max(&mut self, bytes: usize) -> &mut Self {
        self.output_max = bytes;
        self
    }

    /// Returns the command of the standard library that is behind this one, for what is not here. Streams that are set there
    /// are not known here: [`output`](Self::output) takes them for unsaid.
    pub const fn as_std_mut(&mut self) -> &mut process::Command {
        &mut self.inner
    }

    /// Starts the process. This does not wait.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such program, and whatever else the system says:
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), too many open descriptors (`EMFILE`), too many processes
    /// (`EAGAIN`). No process is left then.
    pub fn spawn(&mut self) -> io::Result<Child> {
        Child::spawn(&mut self.inner, self.ways)
    }

    /// Starts the process, to be used in a block: see [`with`].
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn). A cancel, of which [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** In a cancelled scope nothing is started.
    ///
    /// # Examples
    /// ```
    /// use antiphon::context::with;
    /// use antiphon::process::Command;
    /// use std::time::Duration;
    ///
    /// antiphon::run(async || {
    ///     let mut server = Command::new("sleep");
    ///     server.arg("3600").patience(Duration::ZERO);
    ///     let id = with(server.spawned(), async |child| Ok::<_, std::io::Error>(child.id())).await?;
    ///     assert!(id.is_some(), "it ran, and it has gone");
    ///     Ok::<(), std::io::Error>(())
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawned(&mut self) -> impl Future<Output = io::Result<Child>> + use<'_> {
        let at = Location::caller();
        async move {
            let mut leaf = Leaf::at(at);
            poll_fn(|cx| leaf.begin(cx)).await?;
            self.spawn()
        }
    }

    /// Starts the process, waits until it has ended, and returns how it ended.
    ///
    /// # Errors
    /// Those of [`spawned`](Self::spawned) and [`Child::wait`].
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// The process is ended, as a block ends it that did not return a value, and this waits for it. If the future is dropped,
    /// the loop does that.
    #[track_caller]
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<'_> {
        let at = Location::caller();
        with(self.spawned(), async move |child: &mut Child| {
            child.stdin = None;
            child.reap(at).await
        })
    }

    /// Starts the process, reads what it writes to both streams, and returns that and how it ended.
    ///
    /// Both are read at the same time, so neither can hold the process up. It has no input, unless that was said. A process
    /// that it leaves behind and that keeps a pipe open is waited for no longer than the [patience](Self::patience) says;
    /// [`Output::is_complete`] tells.
    ///
    /// # Errors
    /// Those of [`spawned`](Self::spawned) and [`Child::wait`].
    /// [`FileTooLarge`](io::ErrorKind::FileTooLarge) if it writes more than [`output_max`](Self::output_max) to one of them; it
    /// is ended then.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// The process is ended, as a block ends it that did not return a value, and this waits for it; what it wrote is gone. If
    /// the future is dropped, the loop does that.
    #[track_caller]
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + use<'_> {
        let at = Location::caller();
        let (max, patience) = (self.output_max, self.ways.patience);
        with(
            self.spawned_for_output(at),
            async move |child: &mut Child| gather(child, max, patience, at).await,
        )
    }

    async fn spawned_for_output(&mut self, at: &'static Location<'static>) -> io::Result<Child> {
        let mut leaf = Leaf::at(at);
        poll_fn(|cx| leaf.begin(cx)).await?;
        self.set_unsaid(Stdio::null, Stdio::piped);
        let result = self.spawn();
        // What is not said is inherited by the next one again.
        self.set_unsaid(Stdio::inherit, Stdio::inherit);
        result
    }

    fn set_unsaid(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) {
        let [stdin, stdout, stderr] = self.said;
        if !stdin {
            self.inner.stdin(input());
        }
        if !stdout {
            self.inner.stdout(output());
        }
        if !stderr {
            self.inner.stderr(output());
        }
    }
}

/// The streams that were set are not known: [`output`](Command::output) takes them for unsaid.
impl From<process::Command> for Command {
    fn from(command: process::Command) -> Self {
        Self {
            inner: command,
            ways: Ways {
                patience: Duration::from_secs(1),
                grace: Duration::from_secs(5),
                kills: false,
            },
            output_max: usize::MAX,
            said: [false; 3],
        }
    }
}

/// As a shell would be told it.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
