//! The watchdog: a thread that names the task that holds a loop.
//!
//! ```text
//!   loop:     step 7 ─┐     step 8 ──────────────────────────────── … still 8
//!   thread:       look: 7   look: 8    look: 8    look: 8    look: 8 ─▶ told, once
//!                           (held 0)   (¼ limit)  (½)        …
//! ```
//! A step of a watched loop says under which number it runs, and who takes it; it reads no clock. The thread looks four times in
//! a limit whether the number is still the one that it saw before, and counts the time that it slept. There is one thread for all
//! loops of the process, while one of them is watched.

use std::fmt;
use std::io::Write as _;
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Instrument, TaskView};
use crate::look::Wait;
use crate::task::TaskId;
use crate::worker::contain;

/// A task that holds its loop: nothing else of the loop has had a turn since its step began.
///
/// `{}` says it in a sentence.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Hold {
    /// The task's number.
    pub task: TaskId,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// The line that spawned it.
    pub origin: &'static Location<'static>,
    /// The kind and the line of the wait that it came from last in this step, if it came from one.
    pub last_wait: Option<(&'static str, &'static Location<'static>)>,
    /// For how long its step has gone on, at least.
    pub held: Duration,
}

/// What a watched loop is told by, and when.
#[derive(Clone)]
pub(crate) struct Watchdog {
    limit: Duration,
    tell: Arc<dyn Fn(&Hold) + Send + Sync>,
    published: Arc<Mutex<Published>>,
}

/// What a loop says of the step that it takes.
#[derive(Default)]
struct Published {
    /// The number of the step.
    step: u64,
    /// Who takes it: a task, in it the child of its group that it polls, and so on. Empty while the loop does its own work.
    frames: Vec<Frame>,
}

struct Frame {
    task: TaskId,
    name: Option<String>,
    origin: &'static Location<'static>,
    last_wait: Option<(&'static str, &'static Location<'static>)>,
}

/// A loop that is watched.
struct Watched {
    number: u64,
    watchdog: Watchdog,
    /// The number of the step that was under way at the last look, if one was.
    seen: Option<u64>,
    /// For how long it has been seen.
    held: Duration,
    is_told: bool,
}

/// The loops that are watched, and whether there is a thread that does.
struct Registry {
    watched: Vec<Watched>,
    /// The last number given.
    begun: u64,
    has_thread: bool,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry {
    watched: Vec::new(),
    begun: 0,
    has_thread: false,
});

/// Told when the thread's sleep may be too long.
static CHANGED: Condvar = Condvar::new();

const LOOKS_PER_LIMIT: u32 = 4;

/// Between two looks the thread sleeps at least for so long.
const SLEEP_MIN: Duration = Duration::from_millis(1);

impl Watchdog {
    pub(crate) fn new(limit: Duration, tell: Arc<dyn Fn(&Hold) + Send + Sync>) -> Self {
        Self {
            limit,
            tell,
            published: Arc::default(),
        }
    }

    /// The same for another loop.
    pub(crate) fn for_another(&self) -> Self {
        Self::new(self.limit, Arc::clone(&self.tell))
    }

    /// One that tells on standard error.
    pub(crate) fn printing(limit: Duration) -> Self {
        let tell = |hold: &Hold| {
            // If nobody can read it, there is nobody to tell.
            let _ = writeln!(std::io::stderr(), "antiphon: {hold}");
        };
        Self::new(limit, Arc::new(tell))
    }

    /// What the loop has to be told by.
    pub(super) fn instrument(&self) -> Rc<dyn Instrument> {
        Rc::new(Publisher(Arc::clone(&self.published)))
    }

    /// Watches, until what is returned is dropped.
    pub(super) fn begin(&self) -> impl Sized + use<> {
        struct End(u64);
        impl Drop for End {
            fn drop(&mut self) {
                let mut registry = lock(&REGISTRY);
                registry.watched.retain(|watched| watched.number != self.0);
                CHANGED.notify_one();
            }
        }
        let mut registry = lock(&REGISTRY);
        registry.begun += 1;
        let number = registry.begun;
        registry.watched.push(Watched {
            number,
            watchdog: self.clone(),
            seen: None,
            held: Duration::ZERO,
            is_told: false,
        });
        if registry.has_thread {
            CHANGED.notify_one();
        } else {
            let thread = thread::Builder::new().name("antiphon watchdog".into());
            // Without a thread nothing is watched, and all goes on as it would.
            registry.has_thread = thread.spawn(watch).is_ok();
        }
        End(number)
    }

    /// For how long the thread sleeps between two looks.
    fn interval(&self) -> Duration {
        (self.limit / LOOKS_PER_LIMIT).max(SLEEP_MIN)
    }
}

/// What the thread does, as long as a loop is watched.
fn watch() {
    let mut registry = lock(&REGISTRY);
    let interval = |watched: &Watched| watched.watchdog.interval();
    while let Some(interval) = registry.watched.iter().map(interval).min() {
        let (woken, sleep) = CHANGED
            .wait_timeout(registry, interval)
            .unwrap_or_else(PoisonError::into_inner);
        registry = woken;
        if !sleep.timed_out() {
            // There may be one that wants shorter sleeps.
            continue;
        }
        let holds: Vec<_> = registry
            .watched
            .iter_mut()
            .filter_map(|watched| {
                let hold = watched.look(interval)?;
                Some((Arc::clone(&watched.watchdog.tell), hold))
            })
            .collect();
        drop(registry);
        // Somebody else's code: with nothing locked, and a panic of it is no reason to watch no more.
        for (tell, hold) in holds {
            contain(|| tell(&hold));
        }
        registry = lock(&REGISTRY);
    }
    registry.has_thread = false;
}

impl Watched {
    /// Looks whether the loop still takes the same step, after a sleep of `slept`. Returns the hold if it is to be told.
    fn look(&mut self, slept: Duration) -> Option<Hold> {
        let published = lock(&self.watchdog.published);
        let step = published.frames.last().map(|_| published.step);
        if step != self.seen {
            self.seen = step;
            self.held = Duration::ZERO;
            self.is_told = false;
            return None;
        }
        let frame = published.frames.last()?;
        self.held = self.held.saturating_add(slept);
        if self.is_told || self.held < self.watchdog.limit {
            return None;
        }
        self.is_told = true;
        Some(Hold {
            task: frame.task,
            name: frame.name.clone(),
            origin: frame.origin,
            last_wait: frame.last_wait,
            held: self.held,
        })
    }
}

/// The loop's side. It takes a lock a step, which the thread has for a moment four times in a limit.
struct Publisher(Arc<Mutex<Published>>);

impl Instrument for Publisher {
    fn before_step(&self, task: &TaskView<'_>) {
        let published = &mut *lock(&self.0);
        if published.frames.is_empty() {
            published.step += 1;
        }
        published.frames.push(Frame {
            task: task.id(),
            name: task.name().map(str::to_owned),
            origin: task.origin(),
            last_wait: None,
        });
    }

    fn after_step(&self, _: &TaskView<'_>) {
        lock(&self.0).frames.pop();
    }

    fn wait_ended(&self, task: &TaskView<'_>, wait: &Wait) {
        let published = &mut *lock(&self.0);
        if let Some(frame) = published.frames.last_mut() {
            if frame.task == task.id() {
                frame.last_wait = Some((wait.kind, wait.at));
            }
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} ", self.task)?;
        if let Some(name) = &self.name {
            write!(f, "`{name}` ")?;
        }
        let (origin, held) = (self.origin, self.held);
        write!(f, "(spawned at {origin}) has held the loop for {held:?}")?;
        if let Some((kind, at)) = self.last_wait {
            write!(f, ", since its {kind} at {at} ended")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Watchdog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchdog")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Nothing panics while one of these is locked, so it is never left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
