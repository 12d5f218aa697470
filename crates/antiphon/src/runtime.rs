//! Starting a loop.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::sys::{Choice, Decision, Wish, choose};
use crate::worker::{BUDGET_DEFAULT, GRACE_DEFAULT, Worker};

/// Runs `main` on this thread, with everything that it spawns, and returns what it returns.
///
/// When `main` ends, the tasks that are left are cancelled: each wait of theirs ends with [`Cancelled`](crate::Cancelled), and
/// they have a second to clean up ([`grace`](RuntimeBuilder::grace)). What has not ended by then is dropped, and named on
/// standard error. The kernel's answers to their operations are waited for.
///
/// # Panics
/// If a loop is running on this thread already, if the system refuses what a loop needs, and with whatever `main` panics.
///
/// # Examples
/// ```
/// let name = String::from("world");
/// let greeting = antiphon::run(async || format!("hello, {name}"));
/// assert_eq!(greeting, "hello, world");
/// ```
#[track_caller]
pub fn run<F, T>(main: F) -> T
where
    F: AsyncFnOnce() -> T,
{
    match Runtime::builder().build() {
        Ok(mut runtime) => runtime.run(main),
        Err(error) => panic!("the event loop can't start: {error}"),
    }
}

/// An event loop that is not running: its thread, clock, and connection to the system.
///
/// # Examples
/// ```
/// use antiphon::{DriverKind, Runtime, time};
/// use std::time::Duration;
///
/// let mut runtime = Runtime::builder().driver(DriverKind::VirtualTime).build()?;
/// let waited = runtime.run(async || {
///     let start = time::now();
///     time::sleep(Duration::from_secs(3600)).await?; // takes no time at all
///     Ok::<_, antiphon::Cancelled>(time::now() - start)
/// });
/// assert_eq!(waited?, Duration::from_secs(3600));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    worker: Worker,
    decision: Decision,
}

/// What carries out I/O and tells the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverKind {
    /// The best that the system grants: `io_uring`, or readiness where that is refused. The environment variable
    /// `ANTIPHON_DRIVER` may name one, `io_uring` or `readiness`.
    #[default]
    Auto,
    /// The system carries operations out by itself: `io_uring`, Linux 6.1 or a little older. An error where it is refused.
    Uring,
    /// The system tells when a descriptor is ready: epoll on Linux.
    Readiness,
    /// An in-memory network, and a clock that jumps to the next deadline instead of waiting for it.
    ///
    /// All sockets of [`net`](crate::net) that are made in such a loop are in its network, where every address is this
    /// machine's, messages arrive at once, Unix paths are no files, and `localhost` is the only name. They do what Linux's do on
    /// the loopback, errors included. A descriptor of one is a placeholder, whose options mean nothing to the simulation, and it can't
    /// go to the standard library. With a socket or a descriptor that was made outside of the loop there is no I/O in it:
    /// [`Unsupported`](io::ErrorKind::Unsupported).
    VirtualTime,
}

/// A [`Runtime`] to be.
#[derive(Clone, Debug)]
#[must_use = "a runtime is made by `build`"]
pub struct RuntimeBuilder {
    driver: DriverKind,
    budget: u32,
    grace: Duration,
}

impl Runtime {
    /// Returns a builder with the defaults.
    pub const fn builder() -> RuntimeBuilder {
        RuntimeBuilder {
            driver: DriverKind::Auto,
            budget: BUDGET_DEFAULT,
            grace: GRACE_DEFAULT,
        }
    }

    /// Runs `main` and everything that it spawns: see [`run`]. It can be called again.
    ///
    /// # Panics
    /// If a loop is running on this thread already, and with whatever `main` panics.
    #[track_caller]
    pub fn run<F, T>(&mut self, main: F) -> T
    where
        F: AsyncFnOnce() -> T,
    {
        // Called in the loop: what is not an async closure may run code of its own.
        self.worker.run(async move { main().await })
    }

    /// Returns the name of the driver in use: `"epoll"`, `"virtual time"`, ….
    pub const fn driver(&self) -> &'static str {
        self.decision.name
    }
}

impl RuntimeBuilder {
    /// Chooses the driver. [`DriverKind::Auto`], if it is not said.
    pub const fn driver(mut self, driver: DriverKind) -> Self {
        self.driver = driver;
        self
    }

    /// Sets how many steps of tasks a turn of the loop takes before it looks at timers and I/O; 256, if it is not said.
    ///
    /// Fewer serve I/O sooner, more cost less per step.
    ///
    /// # Panics
    /// If `budget` is zero.
    #[track_caller]
    pub const fn budget(mut self, budget: u32) -> Self {
        assert!(budget > 0, "a turn takes at least one step");
        self.budget = budget;
        self
    }

    /// Sets for how long the tasks that are left when the main task ends may go on, once they were cancelled; a second, if it
    /// is not said.
    ///
    /// What has not ended by then is dropped where it is, and named on standard error.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Makes the runtime.
    ///
    /// # Errors
    /// What the system says when it refuses the descriptors that a loop needs.
    pub fn build(self) -> io::Result<Runtime> {
        let Choice { driver, decision } = choose(match self.driver {
            DriverKind::Auto => Wish::Best,
            DriverKind::Uring => Wish::Uring,
            DriverKind::Readiness => Wish::Readiness,
            DriverKind::VirtualTime => Wish::VirtualTime,
        })?;
        Ok(Runtime {
            worker: Worker::new(driver, self.budget, self.grace),
            decision,
        })
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("driver", &format_args!("{}", self.decision))
            .finish_non_exhaustive()
    }
}
