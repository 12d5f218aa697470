//! Starting a loop.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::instrument::{Hold, Instrument, Planned, Watchdog};
use crate::sys::{Choice, Decision, Wish, choose};
use crate::worker::{BUDGET_DEFAULT, GRACE_DEFAULT, SIGNAL_GRACE_DEFAULT, Settings, Watch, Worker};
use crate::workers::{Plan, Threads};

/// Runs `main` on this thread, with everything that it spawns, and returns what it returns.
///
/// When `main` ends, the tasks that are left are cancelled: each wait of theirs ends with [`Cancelled`](crate::Cancelled), and
/// they have a second to clean up ([`grace`](RuntimeBuilder::grace)). What has not ended by then is dropped, and named on
/// standard error. The kernel's answers to their operations are waited for.
///
/// On the program's main thread the first Ctrl-C or SIGTERM cancels everything, `main` first of all, and what `main` then
/// returns is returned. The second one ends the process, and so does a `main` that does not end within
/// [8 seconds](RuntimeBuilder::signal_grace): see [`signal`](crate::signal).
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
    /// The other workers, if there are any.
    threads: Option<Threads>,
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

/// What SIGINT and SIGTERM do to a run: see [`signal`](crate::signal).
///
/// Whatever is chosen, it is only so for a signal that has its default action when the run begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnSignals {
    /// They cancel it if it is on the program's main thread, and not in virtual time.
    #[default]
    Auto,
    /// They cancel it, on any thread. In several runs at one time they cancel each.
    Cancel,
    /// They do to the process what they do without a loop.
    Leave,
}

/// A [`Runtime`] to be.
#[derive(Clone, Debug)]
#[must_use = "a runtime is made by `build`"]
pub struct RuntimeBuilder {
    driver: DriverKind,
    budget: u32,
    grace: Duration,
    instruments: Planned,
    on_signals: OnSignals,
    signal_grace: Duration,
    workers: usize,
    is_pinned: bool,
}

impl Runtime {
    /// Returns a builder with the defaults.
    pub const fn builder() -> RuntimeBuilder {
        RuntimeBuilder {
            driver: DriverKind::Auto,
            budget: BUDGET_DEFAULT,
            grace: GRACE_DEFAULT,
            instruments: Planned::new(),
            on_signals: OnSignals::Auto,
            signal_grace: SIGNAL_GRACE_DEFAULT,
            workers: 1,
            is_pinned: false,
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
        let Some(threads) = &mut self.threads else {
            return self.worker.run(async move { main().await });
        };
        let mut shift = threads.begin();
        let _place = shift.take_place();
        let value = self.worker.run(async {
            let _ends = shift.enter();
            main().await
        });
        shift.end();
        value
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
    /// What has not ended by then is dropped where it is, and named on standard error. It bounds the exits of context managers
    /// in those tasks as well: one that is dropped is reported with its line. Their own
    /// [`Grace`](crate::context::Grace) is longer, if nothing is said; a task whose exit matters is better awaited by the main
    /// task.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Adds an [`instrument`](crate::instrument), which is told what becomes of each task; behind those that were added before.
    ///
    /// # Examples
    /// ```
    /// use antiphon::Runtime;
    /// use antiphon::instrument::{Instrument, TaskView};
    ///
    /// struct Ends;
    ///
    /// impl Instrument for Ends {
    ///     fn exited(&self, task: &TaskView<'_>) {
    ///         println!("task {task} has ended");
    ///     }
    /// }
    ///
    /// Runtime::builder().instrument(Ends).build()?.run(async || ());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn instrument<I: Instrument + 'static>(mut self, instrument: I) -> Self {
        self.instruments.instruments.push(Rc::new(instrument));
        self
    }

    /// Has a thread watch the loop, and say on standard error which task holds it: whose step goes on for `limit` or longer.
    /// Meanwhile no other task has a turn, and no timer and no I/O is served.
    ///
    /// It names the task, the line that spawned it, the wait that it came from last, and for how long, once a step. The loop reads no
    /// clock for it: the thread, one for all loops of the process, looks four times in a limit whether the step is still the same.
    /// So a hold is told after `limit`, and at most half a limit later. Steps cost more while this is on: a lock that is
    /// rarely contended, and what all instruments cost.
    ///
    /// Nobody is watched but between the start and the end of a run. In [virtual time](DriverKind::VirtualTime) it counts real time.
    ///
    /// # Examples
    /// ```
    /// use antiphon::Runtime;
    /// use std::time::Duration;
    ///
    /// let mut runtime = Runtime::builder().watchdog(Duration::from_secs(1)).build()?;
    /// runtime.run(async || ());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.instruments.watchdog = Some(Watchdog::printing(limit));
        self
    }

    /// Has a thread watch the loop, as [`watchdog`](Self::watchdog) does, and call `tell` instead.
    ///
    /// It is called on that thread, while the loop is still held, or just after. It should be quick: other loops are not watched
    /// meanwhile. A call that is under way may go on when the run has ended.
    ///
    /// # Examples
    /// ```
    /// use antiphon::Runtime;
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (tell, told) = mpsc::channel();
    /// let builder = Runtime::builder().watchdog_with(Duration::from_millis(5), move |hold| {
    ///     let _ = tell.send(hold.to_string());
    /// });
    /// let hold = builder.build()?.run(async || told.recv().unwrap()); // blocks: nothing else goes on
    /// assert!(hold.contains("task 1 `main`"), "{hold}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watchdog_with<F>(mut self, limit: Duration, tell: F) -> Self
    where
        F: Fn(&Hold) + Send + Sync + 'static,
    {
        self.instruments.watchdog = Some(Watchdog::new(limit, Arc::new(tell)));
        self
    }

    /// Says what SIGINT and SIGTERM do. [`OnSignals::Auto`], if it is not said.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{CancelReason, Cancelled, OnSignals, Runtime, signal::Kind, time};
    /// # use rustix::process::{Signal, getpid, kill_process};
    /// use std::time::Duration;
    ///
    /// let builder = Runtime::builder().on_signals(OnSignals::Cancel);
    /// let result = builder.build()?.run(async || {
    ///     # kill_process(getpid(), Signal::TERM).unwrap();
    ///     // … kill
    ///     time::sleep(Duration::from_secs(3600)).await
    /// });
    /// assert_eq!(result.unwrap_err().reason(), &CancelReason::Signal(Kind::TERMINATE));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const fn on_signals(mut self, on_signals: OnSignals) -> Self {
        self.on_signals = on_signals;
        self
    }

    /// Sets for how long the main task may go on when a signal has cancelled it; 8 seconds, if it is not said.
    ///
    /// Then it is named on standard error with the tasks that are left and what each waits for, all are dropped, and the process
    /// dies of the signal: `run` has nothing to return. If it ends in time, the tasks that are left have their
    /// [`grace`](Self::grace) as always.
    ///
    /// 8 seconds are longer than the 5 after which the exit of a context manager is [cancelled](crate::context::Grace), and,
    /// with the second of the rest, shorter than the 10 that container engines wait before they send SIGKILL. An exit that
    /// may take longer wants more here as well. What is cut short is never silent: the exit is reported with its line.
    pub const fn signal_grace(mut self, grace: Duration) -> Self {
        self.signal_grace = grace;
        self
    }

    /// Sets how many loops the run has, each on a thread of its own; one, if it is not said. See [`workers`](mod@crate::workers).
    ///
    /// The threads of the others start with [`build`](Self::build), and end with the runtime. `main` runs on the one that calls
    /// [`run`](Runtime::run).
    ///
    /// # Panics
    /// If `count` is zero.
    ///
    /// # Examples
    /// ```
    /// use antiphon::{Runtime, spawn_on};
    ///
    /// let mut runtime = Runtime::builder().workers(2).build()?;
    /// let name = runtime.run(async || {
    ///     let name = spawn_on(1, async || std::thread::current().name().map(String::from));
    ///     name.await
    /// })?;
    /// assert_eq!(name.as_deref(), Some("antiphon worker 1"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub const fn workers(mut self, count: usize) -> Self {
        assert!(count > 0, "a run has at least one worker");
        self.workers = count;
        self
    }

    /// Has each worker run on one processor, the next one for each; they may run on any, if it is not said.
    ///
    /// It pays where the machine is the program's alone. The thread that calls [`run`](Runtime::run) is bound while that
    /// lasts. Elsewhere than on Linux it does nothing.
    pub const fn pin_workers(mut self, is_pinned: bool) -> Self {
        self.is_pinned = is_pinned;
        self
    }

    /// Makes the runtime.
    ///
    /// # Errors
    /// What the system says when it refuses the descriptors that a loop needs.
    /// [`Unsupported`](io::ErrorKind::Unsupported) if signals or several workers are asked for in virtual time, where there are none.
    pub fn build(self) -> io::Result<Runtime> {
        let is_in_virtual_time = self.driver == DriverKind::VirtualTime;
        let watches = match self.on_signals {
            OnSignals::Auto => !is_in_virtual_time && is_main_thread(),
            OnSignals::Cancel if is_in_virtual_time => {
                let why = "there are no signals in virtual time";
                return Err(io::Error::new(io::ErrorKind::Unsupported, why));
            }
            OnSignals::Cancel => true,
            OnSignals::Leave => false,
        };
        if is_in_virtual_time && self.workers > 1 {
            let why = "virtual time has one worker: the clocks of several would jump apart";
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        let wish = self.driver.wish();
        let Choice { driver, decision } = choose(wish)?;
        let (budget, grace) = (self.budget, self.grace);
        let watchdog = self.instruments.watchdog.clone();
        let plan: Plan = Arc::new(move || {
            let settings = Settings {
                budget,
                grace,
                watch: None,
                is_in_virtual_time: false,
            };
            let worker = Worker::new(choose(wish)?.driver, settings);
            let mut planned = Planned::new();
            planned.watchdog = watchdog.as_ref().map(Watchdog::for_another);
            worker.instruments().fill(planned);
            Ok(worker)
        });
        let others = self.workers - 1;
        let threads = (others > 0)
            .then(|| Threads::start(others, &plan, self.grace, self.is_pinned))
            .transpose()?;
        let settings = Settings {
            budget: self.budget,
            grace: self.grace,
            watch: watches.then(|| Watch::new(self.signal_grace)).transpose()?,
            is_in_virtual_time,
        };
        let worker = Worker::new(driver, settings);
        worker.instruments().fill(self.instruments);
        Ok(Runtime {
            worker,
            threads,
            decision,
        })
    }
}

impl DriverKind {
    const fn wish(self) -> Wish {
        match self {
            Self::Auto => Wish::Best,
            Self::Uring => Wish::Uring,
            Self::Readiness => Wish::Readiness,
            Self::VirtualTime => Wish::VirtualTime,
        }
    }
}

/// Whether this is the thread that runs the program's `main`. A library in a program of another language has none, and leaves
/// the signals of that program alone.
fn is_main_thread() -> bool {
    thread::current().name() == Some("main")
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("driver", &format_args!("{}", self.decision))
            .finish_non_exhaustive()
    }
}
