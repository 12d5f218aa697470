//! Bodies that do not end: they are told again, and then dropped.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Write as _};
use std::future::{Future, poll_fn};
use std::io::{self, Write as _};
use std::panic::Location;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::cancel_scope::Entered;
use super::{Alarm, CancelScope, Cancelled, Grace, Outcome, ScopeRef, Scopes};
use crate::wait::Waiting;
use crate::worker::{Worker, contain, current};

/// The error of [`CancelScope::run_within`]: the body did not end within its grace, and was dropped.
///
/// It converts into an [`io::Error`] of the kind [`TimedOut`](io::ErrorKind::TimedOut).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Killed {
    cancelled: Cancelled,
}

impl Killed {
    /// Returns the cancel that the body had been given before: who cancelled it, and why.
    pub const fn cancelled(&self) -> &Cancelled {
        &self.cancelled
    }
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "did not end in time, and was dropped; ")?;
        self.cancelled.fmt(f)
    }
}

/// It has no [`Cancelled`] for its source: the scope that was cancelled has been left.
impl Error for Killed {}

impl From<Killed> for io::Error {
    fn from(killed: Killed) -> Self {
        Self::new(io::ErrorKind::TimedOut, killed)
    }
}

/// For bodies that can fail in no other way.
impl From<Killed> for Cancelled {
    fn from(killed: Killed) -> Self {
        killed.cancelled
    }
}

impl CancelScope {
    /// Runs `body` in the scope, as [`run`](Self::run) does; but once it is cancelled, by its deadline or by hand, it has only
    /// `grace` to end.
    ///
    /// ```text
    ///   cancel ── cancel_after ──▶ the shields in it give way ── drop_after ──▶ the body is dropped, and reported
    /// ```
    /// When the first half is over, the waits in shields end as well, also in shields that are entered later, and in the exits
    /// of [blocks](crate::context), whatever their own grace. When the second half is over, the body is dropped where it stands,
    /// in its scope, and with it the groups in it and their children. The exits of blocks in it are then handed over
    /// or let go, as [`IfDropped`](crate::context::ContextManager::IfDropped) says. What it waited for is reported on the standard
    /// error stream, with its lines, and [counted](crate::context::stats).
    ///
    /// A cancel from further out has the grace of the scope that was cancelled, and not this one.
    ///
    /// # Errors
    /// [`Killed`]: the body did not end in time, and has no result.
    ///
    /// # Panics
    /// As [`run`](Self::run). A panic in a destructor of a body that is dropped goes no further.
    ///
    /// # Cancellation
    /// As [`run`](Self::run).
    ///
    /// # Examples
    /// ```
    /// use antiphon::{CancelScope, Cancelled, Grace, run, time};
    /// use std::{future::pending, time::Duration};
    ///
    /// run(async || {
    ///     let moment = Duration::from_millis(1);
    ///     let scope = CancelScope::with_deadline(time::now() + moment);
    ///     let grace = Grace::default().cancel_after(moment).drop_after(moment);
    ///     let outcome = scope.run_within(grace, async || {
    ///         pending::<()>().await; // hears of no cancel
    ///         Ok::<(), Cancelled>(())
    ///     });
    ///     let killed = outcome.await.unwrap_err();
    ///     assert_eq!(killed.cancelled().reason().to_string(), "the deadline came");
    /// });
    /// ```
    #[track_caller]
    pub fn run_within<F, T, E>(
        &self,
        grace: Grace,
        body: F,
    ) -> impl Future<Output = Result<Outcome<T, E>, Killed>>
    where
        F: AsyncFnOnce() -> Result<T, E>,
    {
        let at = Location::caller();
        async move {
            let entered = self.enter(false, at);
            let mut body = pin!(Some(body()));
            let mut last = LastOrders::new(grace, at);
            let result = poll_fn(|cx| {
                let ended = entered.poll(cx, |cx| {
                    let body = body.as_mut().as_pin_mut();
                    body.map_or(Poll::Pending, |body| body.poll(cx))
                });
                if let Poll::Ready(result) = ended {
                    return Poll::Ready(Ok(result));
                }
                let Some(cancelled) = self.cancelled() else {
                    return Poll::Pending;
                };
                if !last.poll(cx, &entered) {
                    return Poll::Pending;
                }
                let killed = Killed { cancelled };
                // In its scope. A panic of a destructor has been told by the panic hook.
                let drop_body = || entered.poll(cx, |_| contain(|| body.set(None)));
                kill(&killed, &last, entered.scope(), drop_body);
                Poll::Ready(Err(killed))
            })
            .await?;
            Ok(Outcome::new(result, entered.leave()))
        }
    }
}

/// What comes after the cancel of a scope with a grace.
struct LastOrders {
    grace: Grace,
    /// The line that runs the scope.
    at: &'static Location<'static>,
    stage: Stage,
    alarm: Alarm,
}

/// A moment is `None` if the clock can't tell it: then it never comes.
enum Stage {
    /// Not cancelled, as far as it was looked.
    Open,
    /// Its shields give way at that moment.
    Cancelled(Option<Instant>),
    /// They have. It is dropped at that moment.
    OutOfGrace(Option<Instant>),
}

impl LastOrders {
    fn new(grace: Grace, at: &'static Location<'static>) -> Self {
        Self {
            grace,
            at,
            stage: Stage::Open,
            alarm: Alarm::default(),
        }
    }

    /// To be asked about a scope that is cancelled, when its body was polled. Returns `true` if the body is to be dropped.
    fn poll(&mut self, cx: &Context<'_>, entered: &Entered<'_>) -> bool {
        let now = crate::time::now();
        if matches!(self.stage, Stage::Open) {
            self.stage = Stage::Cancelled(now.checked_add(self.grace.cancel_after));
        }
        if let Stage::Cancelled(moment) = self.stage {
            if !self.has_come(cx, moment) {
                return false;
            }
            self.stage = Stage::OutOfGrace(now.checked_add(self.grace.drop_after));
            // This wakes who polls it, so what was in shields is asked before it is dropped.
            current(|worker| Scopes::end_grace(worker, entered.scope()));
        }
        let Stage::OutOfGrace(moment) = self.stage else {
            return false;
        };
        self.has_come(cx, moment)
    }

    fn has_come(&mut self, cx: &Context<'_>, moment: Option<Instant>) -> bool {
        moment.is_some_and(|moment| self.alarm.poll(cx, moment, "grace", self.at))
    }
}

thread_local! {
    static KILLED: Cell<u64> = const { Cell::new(0) };
}

/// How many bodies were dropped on this thread because they did not end.
pub(crate) fn killed_len() -> u64 {
    KILLED.get()
}

/// Has `drop_body` drop the body of `scope`, and tells of it.
#[cold]
fn kill(killed: &Killed, last: &LastOrders, scope: ScopeRef, drop_body: impl FnOnce()) {
    let tasks = Stopped::by(scope, drop_body);
    KILLED.set(KILLED.get() + 1);
    // If nobody can read it, there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", last.report(killed, &tasks));
}

/// A task that polled something in a scope: the one around it, or a child of a group.
struct Stopped {
    /// What is to be told of it.
    text: String,
    /// What it waits for. If the scope's body is dropped and a wait is gone then, it was the body's.
    waits: Vec<Waiting>,
}

impl Stopped {
    /// Has `drop_body` drop the body of `scope`, and returns the tasks that polled something in it, with what they waited for.
    fn by(scope: ScopeRef, drop_body: impl FnOnce()) -> Vec<Self> {
        let mut tasks = current(|worker| Self::all(worker, scope));
        drop_body();
        current(|worker| {
            for task in &mut tasks {
                task.waits.retain(|wait| !worker.waits().has(wait.place));
            }
        });
        tasks
    }

    fn all(worker: &Worker, scope: ScopeRef) -> Vec<Self> {
        let mut addresses = worker.scopes().tasks_in(scope);
        addresses.insert(worker.running_address());
        let mut tasks = BTreeMap::new();
        for address in addresses {
            let text = worker.with_task(address, |task| {
                let name = task
                    .name()
                    .map_or(String::new(), |name| format!(" `{name}`"));
                format!("task {}{name} (spawned at {})", task.id(), task.origin())
            });
            if let Some(text) = text {
                let waits = Vec::new();
                tasks.insert(address, Self { text, waits });
            }
        }
        worker.waits().for_each(|wait| {
            // What sets a time waits for nothing.
            let is_time = matches!(wait.kind, "deadline" | "grace");
            if let Some(task) = tasks.get_mut(&wait.task).filter(|_| !is_time) {
                task.waits.push(wait);
            }
        });
        tasks.into_values().collect()
    }
}

/// So many tasks are told of.
const TOLD_MAX: usize = 20;

impl LastOrders {
    fn report(&self, killed: &Killed, tasks: &[Stopped]) -> String {
        let Self { grace, at, .. } = self;
        let (shielded, after) = (grace.cancel_after, grace.drop_after);
        let cancelled = &killed.cancelled;
        let mut text = format!(
            "antiphon: the scope of {at} was {cancelled}; it did not end within {shielded:?}, nor within {after:?} \
             without shields, and was dropped:"
        );
        for task in tasks.iter().take(TOLD_MAX) {
            let _ = write!(text, "\n  {}", task.text);
            for wait in &task.waits {
                let _ = write!(text, ", waited for {} at {}", wait.kind, wait.at);
            }
            if task.waits.is_empty() {
                text.push_str(", waited for nothing of this crate");
            }
        }
        if tasks.len() > TOLD_MAX {
            let _ = write!(text, "\n  and {} more", tasks.len() - TOLD_MAX);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::{CancelReason, finish};
    use crate::{DriverKind, Runtime, group};
    use std::future::pending;

    fn killed() -> (Killed, LastOrders) {
        let at = Location::caller();
        let cancelled = Cancelled::new(crate::scope::ScopeId(1), CancelReason::Deadline, at);
        (Killed { cancelled }, LastOrders::new(Grace::default(), at))
    }

    fn stopped(index: usize) -> Stopped {
        Stopped {
            text: format!("task {index}"),
            waits: Vec::new(),
        }
    }

    #[test]
    fn a_report_names_the_lines_and_is_bounded() {
        let (killed, last) = killed();
        let text = last.report(&killed, &[stopped(1)]);
        assert!(text.contains(file!()), "{text}");
        assert!(text.ends_with("was dropped:\n  task 1, waited for nothing of this crate"));
        let many: Vec<_> = (0..100).map(stopped).collect();
        let long = last.report(&killed, &many);
        assert_eq!(long.lines().count(), 1 + TOLD_MAX + 1);
        assert!(long.ends_with("and 80 more"));
    }

    /// The line of a foreign future is known if that is finished, and the other waits of the task are none of it.
    #[test]
    fn a_report_names_the_waits_that_went_with_the_body() {
        let mut runtime = Runtime::builder()
            .driver(DriverKind::VirtualTime)
            .build()
            .unwrap();
        let text = runtime.run(async || {
            let text = Cell::new(String::new());
            let beside = crate::sync::Event::new();
            let mut body = pin!(Some(group(async |group| {
                group
                    .child()
                    .name("stubborn")
                    .spawn(async || finish(pending::<Result<(), Cancelled>>()).await);
                Ok::<(), Cancelled>(())
            })));
            let mut beside = pin!(beside.wait());
            let scope = CancelScope::new();
            let entered = scope.enter(false, Location::caller());
            for _ in 0..3 {
                poll_fn(|cx| {
                    assert!(beside.as_mut().poll(cx).is_pending());
                    let poll = entered.poll(cx, |cx| body.as_mut().as_pin_mut().unwrap().poll(cx));
                    assert!(poll.is_pending());
                    Poll::Ready(())
                })
                .await;
                crate::yield_now().await.unwrap();
            }
            scope.cancel("for the test");
            let tasks = Stopped::by(entered.scope(), || body.set(None));
            let (killed, last) = killed();
            text.set(last.report(&killed, &tasks));
            text.take()
        });
        let expected = format!("waited for foreign future at {}", file!());
        assert!(
            text.contains("`stubborn`") && text.contains(&expected),
            "{text}"
        );
        assert!(!text.contains("event"), "{text}");
    }

    #[test]
    fn it_crosses_threads() {
        fn crosses<T: Send + Sync + 'static>() {}
        crosses::<Killed>();
    }
}
