//! The threads on which closures may wait, and what they have to do.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::unblock::{StopToken, Unblock};
use crate::worker::contain;

/// Threads for closures that wait, or compute for long: a bounded number, one queue, first come first served.
///
/// A thread starts when a closure comes and none is idle, and ends when it was idle for ten seconds. So a pool that is not used
/// holds nothing. When the process ends, its threads end with it, wherever they are. There is one for the whole process,
/// [`Pool::global`], which [`unblock`](super::unblock) uses; one of your own keeps what may get stuck away from the rest. Clones
/// are the same pool.
///
/// # Examples
/// ```
/// use antiphon::thread::Pool;
///
/// let pool = Pool::builder().name("archive").size(2).build();
/// let sum = antiphon::run(async || pool.unblock(|| (1..=100).sum::<u32>()).await)?;
/// assert_eq!(sum, 5050);
/// assert_eq!(pool.stats().threads, 1);
/// # Ok::<(), antiphon::thread::JoinError>(())
/// ```
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// A [`Pool`] to be.
#[derive(Clone, Debug)]
#[must_use = "a pool is made by `build`"]
pub struct PoolBuilder {
    name: String,
    size: usize,
    idle: Duration,
}

/// What the threads of a pool, or of all pools, do at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Threads that there are.
    pub threads: usize,
    /// Those that are in a closure.
    pub busy: usize,
    /// Closures that have not begun.
    pub queued: usize,
    /// Closures that are under way and that nobody waits for any more. They are among `busy`.
    pub abandoned: usize,
    /// All that were ever abandoned under way, also those that have ended since.
    pub abandoned_total: u64,
}

/// A closure, as a thread sees it.
pub(crate) trait Job: Send + Sync {
    /// Returns `true` unless it was taken back. Called under the pool's lock, as is [`begin`](Self::begin).
    fn is_queued(&self) -> bool;

    /// Asks whether to run it, and says that it has begun.
    fn begin(&self) -> bool;

    /// Runs it, and keeps what came of it. Returns `false` if nobody wants that any more; it was dropped then.
    fn run(&self) -> bool;

    /// Hands over what came of it. Returns `false` if nobody wants it any more; it was dropped then.
    fn deliver(&self) -> bool;
}

pub(super) struct Shared {
    name: String,
    size: usize,
    idle_max: Duration,
    state: Mutex<State>,
    is_due: Condvar,
}

struct State {
    jobs: VecDeque<Arc<dyn Job>>,
    /// Those among `jobs` that were taken back, and are nothing any more.
    husks: usize,
    /// Threads that wait for a closure, or are on their way to look for one.
    idle: usize,
    /// Set when one was called and nobody has looked since. One that finds more than it takes calls the next, so that a
    /// hundred short closures do not wake a hundred threads.
    is_one_coming: bool,
    stats: Stats,
}

/// Who is called to look at the queue.
enum Call {
    Nobody,
    Idle,
    New,
}

/// As many as tokio's, twelve more than smol's: they wait, so they are not counted by processors; and closures that wait for
/// other closures need some room.
const SIZE_DEFAULT: usize = 512;

/// How long a thread waits for another closure.
const IDLE_MAX_DEFAULT: Duration = Duration::from_secs(10);

static GLOBAL: OnceLock<Pool> = OnceLock::new();

/// All pools, for the sum.
static POOLS: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// Tells what the threads of all pools of the process do just now.
///
/// Names are looked up by a pool of their own, of sixteen threads.
///
/// # Examples
/// ```
/// let before = antiphon::thread::stats().busy;
/// let during = antiphon::run(async || {
///     antiphon::unblock(|| antiphon::thread::stats().busy).await
/// })?;
/// assert_eq!((before, during), (0, 1));
/// # Ok::<(), antiphon::thread::JoinError>(())
/// ```
pub fn stats() -> Stats {
    let pools: Vec<_> = lock(&POOLS).iter().filter_map(Weak::upgrade).collect();
    let stats = pools.iter().map(|pool| pool.stats());
    stats.fold(Stats::default(), |sum, one| Stats {
        threads: sum.threads + one.threads,
        busy: sum.busy + one.busy,
        queued: sum.queued + one.queued,
        abandoned: sum.abandoned + one.abandoned,
        abandoned_total: sum.abandoned_total + one.abandoned_total,
    })
}

impl Pool {
    /// Returns a builder with the defaults.
    pub fn builder() -> PoolBuilder {
        PoolBuilder {
            name: "antiphon pool".into(),
            size: SIZE_DEFAULT,
            idle: IDLE_MAX_DEFAULT,
        }
    }

    /// Returns the pool of the whole process. It is made when it is first asked for: with the defaults, unless
    /// [`build_global`](PoolBuilder::build_global) came before.
    pub fn global() -> &'static Self {
        GLOBAL.get_or_init(|| Self::builder().build())
    }

    /// Calls `f` on a thread of this pool, and waits for its result: see [`unblock`](super::unblock).
    #[track_caller]
    pub fn unblock<F, T>(&self, f: F) -> Unblock<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Unblock::new(&self.shared, move |_: &StopToken| f())
    }

    /// Calls `f` on a thread of this pool, with a token that tells when to stop: see [`unblock_with`](super::unblock_with).
    #[track_caller]
    pub fn unblock_with<F, T>(&self, f: F) -> Unblock<T>
    where
        F: FnOnce(&StopToken) -> T + Send + 'static,
        T: Send + 'static,
    {
        Unblock::new(&self.shared, f)
    }

    /// Puts a job at the end of the queue: see [`Shared::submit`].
    pub(crate) fn submit(&self, job: Arc<dyn Job>) -> io::Result<()> {
        self.shared.submit(job)
    }

    /// Takes a job back that `retract` says has not begun. What it says is returned.
    pub(crate) fn retract(&self, retract: impl FnOnce() -> bool) -> bool {
        self.shared.retract(retract)
    }

    /// Returns the pool's name, which its threads have.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns how many threads it may have.
    pub fn size(&self) -> usize {
        self.shared.size
    }

    /// Tells what its threads do just now.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name())
            .field("size", &self.size())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl PoolBuilder {
    /// Names the pool and its threads. Linux shows fifteen bytes of it.
    ///
    /// # Panics
    /// If there is a zero byte in it.
    #[track_caller]
    pub fn name(mut self, name: &str) -> Self {
        assert!(!name.contains('\0'), "a thread's name has no zero byte");
        self.name = name.into();
        self
    }

    /// Sets how many threads there may be; 512, if it is not said.
    ///
    /// What waits costs little, so the default leaves room. Closures that compute gain nothing by more threads than there are
    /// processors. Too few are a trap where closures wait for each other: one that waits for another that has no thread
    /// waits for ever.
    ///
    /// # Panics
    /// If `size` is zero.
    #[track_caller]
    pub fn size(mut self, size: usize) -> Self {
        assert!(size > 0, "a pool has at least one thread");
        self.size = size;
        self
    }

    /// Sets how long a thread waits for another closure before it ends; ten seconds, if it is not said.
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Makes a pool. It has no thread yet.
    pub fn build(self) -> Pool {
        let shared = Arc::new(Shared {
            name: self.name,
            size: self.size,
            idle_max: self.idle,
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                husks: 0,
                idle: 0,
                is_one_coming: false,
                stats: Stats::default(),
            }),
            is_due: Condvar::new(),
        });
        let mut pools = lock(&POOLS);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&shared));
        Pool { shared }
    }

    /// Makes the pool of the whole process. To be called before anything uses it, best at the start of `main`.
    ///
    /// # Errors
    /// Gives `self` back if there is one already.
    ///
    /// # Examples
    /// ```
    /// use antiphon::thread::Pool;
    ///
    /// Pool::builder().size(16).build_global().expect("nobody has used it yet");
    /// assert_eq!(Pool::global().size(), 16);
    /// assert!(Pool::builder().build_global().is_err());
    /// ```
    pub fn build_global(self) -> Result<(), Self> {
        let mut refused = Some(self);
        GLOBAL.get_or_init(|| refused.take().unwrap_or_else(Pool::builder).build());
        refused.map_or(Ok(()), Err)
    }
}

impl Shared {
    /// Puts a job at the end of the queue.
    ///
    /// # Errors
    /// What the system says when it gives no thread, and there is none. The job is then not in the queue.
    pub(super) fn submit(self: &Arc<Self>, job: Arc<dyn Job>) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.jobs.push_back(job);
        state.stats.queued += 1;
        match state.call(self.size) {
            Call::Nobody => {}
            Call::Idle => {
                drop(state);
                self.is_due.notify_one();
            }
            Call::New => {
                // Under the lock: who comes in between must not count on a thread that there will not be.
                if let Err(error) = self.start() {
                    state.has_not_come();
                    if state.stats.threads == 0 {
                        state.jobs.pop_back();
                        state.stats.queued -= 1;
                        return Err(error);
                    }
                    // The threads that there are will come to it.
                }
            }
        }
        Ok(())
    }

    fn start(self: &Arc<Self>) -> io::Result<()> {
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name(self.name.clone());
        thread.spawn(move || shared.work()).map(drop)
    }

    /// Takes a job back that `retract` says has not begun. What it says is returned.
    pub(super) fn retract(&self, retract: impl FnOnce() -> bool) -> bool {
        let mut husks = VecDeque::new();
        let mut state = lock(&self.state);
        if !retract() {
            return false;
        }
        state.stats.queued -= 1;
        state.husks += 1;
        // All are looked at when half of them are nothing, so that each is looked at twice.
        if state.husks * 2 > state.jobs.len() {
            let (left, gone) = std::mem::take(&mut state.jobs)
                .into_iter()
                .partition(|job| job.is_queued());
            state.jobs = left;
            state.husks = 0;
            husks = gone;
        }
        drop(state);
        drop(husks);
        true
    }

    /// Counts a job as abandoned if `abandon` says that it is under way and now nobody's.
    pub(super) fn abandon(&self, abandon: impl FnOnce() -> bool) -> bool {
        let mut state = lock(&self.state);
        let is_abandoned = abandon();
        if is_abandoned {
            state.stats.abandoned += 1;
            state.stats.abandoned_total += 1;
        }
        is_abandoned
    }

    fn stats(&self) -> Stats {
        lock(&self.state).stats
    }

    /// A thread's life.
    fn work(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        loop {
            while let Some(job) = state.next() {
                let call = state.call(self.size);
                drop(state);
                self.call(&call);
                self.carry_out(&*job);
                contain(|| drop(job));
                state = lock(&self.state);
                state.idle -= 1;
            }
            state.idle += 1;
            let (woken, timeout) = self
                .is_due
                .wait_timeout(state, self.idle_max)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.stats.queued == 0 {
                state.stats.threads -= 1;
                return;
            }
        }
    }

    fn call(self: &Arc<Self>, call: &Call) {
        match call {
            Call::Nobody => {}
            Call::Idle => self.is_due.notify_one(),
            Call::New => {
                if self.start().is_err() {
                    // This thread will come to it.
                    lock(&self.state).has_not_come();
                }
            }
        }
    }

    /// Runs a job that has begun. The thread is counted as idle before it hands the result over, so that whoever is
    /// told of the one job finds it free for the next.
    fn carry_out(&self, job: &dyn Job) {
        let is_wanted = job.run();
        {
            let mut state = lock(&self.state);
            state.stats.busy -= 1;
            state.idle += 1;
            if !is_wanted {
                state.stats.abandoned -= 1;
            }
        }
        if is_wanted && !job.deliver() {
            lock(&self.state).stats.abandoned -= 1;
        }
    }
}

impl State {
    /// Decides who is to look at the queue, if that is called for.
    fn call(&mut self, size: usize) -> Call {
        if self.stats.queued == 0 || self.is_one_coming {
            return Call::Nobody;
        }
        let call = if self.idle > 0 {
            Call::Idle
        } else if self.stats.threads < size {
            self.stats.threads += 1;
            Call::New
        } else {
            return Call::Nobody;
        };
        self.is_one_coming = true;
        call
    }

    /// The system has refused the thread that was called.
    fn has_not_come(&mut self) {
        self.stats.threads -= 1;
        self.is_one_coming = false;
    }

    /// Takes the first job that was not taken back.
    fn next(&mut self) -> Option<Arc<dyn Job>> {
        self.is_one_coming = false;
        while let Some(job) = self.jobs.pop_front() {
            if job.begin() {
                self.stats.queued -= 1;
                self.stats.busy += 1;
                return Some(job);
            }
            self.husks -= 1;
        }
        None
    }
}

/// A panic can't leave the values half way: each step under a lock is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
