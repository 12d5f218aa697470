//! Where events arrive from all sides: one turn at a time, and whoever looks on is shown each.
//!
//! ```text
//!   terminal or pipe ──┐
//!   socket clients ────┤
//!   files ─────────────┼──▶ reception ──▶ desk
//!   timers ────────────┘        ├──▶ shown at the terminal, or in the transcript
//!                               └──▶ a command for each coroutine that has finished
//! ```
//! The sources are tasks of the loop. Each awaits the desk's lock, which serves first come first served, lets its event
//! happen, and holds the lock until the turn is shown; so turns are shown whole, and in their order.

use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use antiphon::sync::{self, Mutex};
use antiphon::{Cancelled, TaskBuilder, time};

use crate::desk::{Desk, Farewell, Next, Turn};
use crate::errands::Errands;
use crate::front::Front;
use crate::input;
use crate::orders::Event;
use crate::timers::{Timer, Timers, TooManyTimers};

/// What all sources of events share.
pub(crate) struct Reception {
    desk: Mutex<Desk>,
    timers: Timers,
    front: Rc<Front>,
    errands: Option<Rc<Errands>>,
    /// Set once, when the desk closes.
    closing: sync::Event,
}

/// Who let an event happen.
#[derive(Clone)]
pub(crate) enum Source {
    /// The line with this number, of those that were typed or piped.
    Line(u64),
    Client(SocketAddr),
    Timer(u64),
    /// The file and the line.
    File(Rc<str>),
}

/// The desk is closed, and the event did not happen.
#[derive(Debug)]
pub(crate) struct Closed;

/// Nothing at the desk is in a scope of its own: what cancels it is a signal, at which the desk closes, or the end of the loop.
impl From<Cancelled> for Closed {
    fn from(_: Cancelled) -> Self {
        Self
    }
}

impl Reception {
    /// What `errands` are there for is done for each coroutine that finishes.
    pub(crate) fn new(desk: Desk, front: Rc<Front>, errands: Option<Rc<Errands>>) -> Rc<Self> {
        Rc::new(Self {
            desk: Mutex::new(desk),
            timers: Timers::new(),
            front,
            errands,
            closing: sync::Event::new(),
        })
    }

    /// Lets `event` happen, when it is its turn. To be awaited to its end.
    pub(crate) async fn event(&self, event: Event, source: Source) -> Result<Turn, Closed> {
        let mut desk = self.desk.lock().await?;
        if self.closing.is_set() {
            return Err(Closed);
        }
        let turn = desk.event(event).await?;
        self.front
            .show(&desk, &self.timers.pending(), &turn, &source);
        self.finish(&turn).await;
        // Whoever reads the transcript sets the pace, for everybody; not any more when the desk closes.
        self.unless_closing(self.front.room()).await;
        Ok(turn)
    }

    /// Does what is to be done for the coroutines that have finished in `turn`. Who runs commands sets the pace as well.
    async fn finish(&self, turn: &Turn) {
        let Some(errands) = &self.errands else {
            return;
        };
        for step in turn.steps.iter().filter(|step| step.next == Next::Done) {
            match self.unless_closing(errands.place()).await.flatten() {
                Some(place) => errands.start(step.id, place),
                None => errands.miss(step.id),
            }
        }
    }

    /// Lets `event` happen after `delay`.
    pub(crate) fn after(
        self: &Rc<Self>,
        delay: Duration,
        event: Event,
    ) -> Result<Timer, TooManyTimers> {
        let timer = self.timers.begin(delay, event)?;
        let reception = Rc::clone(self);
        let name = format!("timer {}", timer.number);
        // It ends by itself.
        drop(TaskBuilder::new().name(&name).spawn(async move || {
            time::sleep_until(timer.deadline).await?;
            reception.timers.due(timer);
            // If the desk has closed meanwhile, the event does not happen.
            let _ = reception.event(event, Source::Timer(timer.number)).await;
            reception.timers.end();
            Ok::<(), Cancelled>(())
        }));
        Ok(timer)
    }

    /// Calls `look` with the desk, between two turns.
    pub(crate) async fn look<R>(&self, look: impl FnOnce(&Desk) -> R) -> Result<R, Cancelled> {
        Ok(look(&*self.desk.lock().await?))
    }

    /// Returns one line for each pending timer, the first to happen first.
    pub(crate) fn timers(&self) -> Vec<String> {
        let pending = self.timers.pending();
        if pending.is_empty() {
            return vec![format!("no timers; {} 5s B sets one", input::AFTER)];
        }
        pending.iter().map(ToString::to_string).collect()
    }

    /// Waits until no timer is pending, the events of all have happened, and what they began has ended.
    pub(crate) async fn idle(&self) -> Result<(), Cancelled> {
        self.timers.idle().await?;
        match &self.errands {
            Some(errands) => errands.idle().await,
            None => Ok(()),
        }
    }

    /// Lets no more events happen. Whoever waits [unless closing](Self::unless_closing) stops.
    pub(crate) fn close(&self) {
        self.closing.set();
    }

    /// Closes every waiting task, after the turn under way. Call [`close`](Self::close) first.
    pub(crate) async fn farewells(&self) -> Result<Vec<Farewell>, Cancelled> {
        self.desk.lock().await?.close().await
    }

    /// Waits for `future`, but gives it up when the desk closes.
    pub(crate) async fn unless_closing<F: Future>(&self, future: F) -> Option<F::Output> {
        let (mut closing, mut future) = (pin!(self.closing.wait()), pin!(future));
        poll_fn(|cx| {
            if closing.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

impl std::error::Error for Closed {}

/// Returns what each task of the loop is doing, one line each and one for what it waits for; the first hundred tasks.
pub(crate) fn tree() -> Vec<String> {
    let mut tree = antiphon::tree();
    let more = tree.tasks.len().saturating_sub(TREE_TASKS_MAX);
    tree.tasks.truncate(TREE_TASKS_MAX);
    let mut lines: Vec<String> = tree.to_string().lines().map(str::to_owned).collect();
    if more > 0 {
        lines.push(format!("and {more} more tasks"));
    }
    lines
}

/// How many tasks of the tree are shown. There may be a million.
const TREE_TASKS_MAX: usize = 100;

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Client(address) => write!(f, "{address}"),
            Self::Timer(number) => write!(f, "timer {number}"),
            Self::File(place) => f.write_str(place),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the desk is closed")
    }
}
