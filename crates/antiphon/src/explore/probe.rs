//! What the runtime tells the explorer, and what the explorer does then.
//!
//! Each of these is called only while an exploration runs on this thread; who calls asks for that first, which costs one
//! look at a byte that is looked at anyway.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{Location, resume_unwind, set_hook, take_hook};
use std::rc::Rc;
use std::sync::Once;

use super::case::{Case, Fault};
use super::failure::{Finding, Moment, Point};
use crate::scope::{CancelReason, ScopeRef, Scopes, is_explored_here, set_explored_here};
use crate::worker::{Address, Worker, try_current};

/// A run under way.
pub(super) struct Run {
    case: Case,
    /// Xorshift state, or 0 for the order in which tasks are woken.
    order: u64,
    log: Vec<Logged>,
    /// The way of the run without a fault, which this one must follow up to its own.
    expected: Rc<Path>,
    is_injected: bool,
    /// The line at which a wait began last.
    last: Option<&'static Location<'static>>,
    /// The exposed scopes that have not ended.
    exposed: Vec<ScopeRef>,
    /// Those of them that are being polled, the innermost one last.
    polled: Vec<ScopeRef>,
    /// The one that was polled last in this step.
    touched: Option<ScopeRef>,
    /// What panicked, and was not injected.
    panics: Vec<String>,
    /// The guards of locks that were made and not dropped.
    locks: Vec<Lock>,
    turns: usize,
    turns_max: usize,
    /// Tells who waits for what.
    look: fn(&Worker) -> String,
    findings: Vec<Finding>,
    is_told: bool,
}

/// A guard of a lock: what kind it is of, where the lock lies, and the line that locked.
#[derive(PartialEq, Eq)]
struct Lock {
    kind: &'static str,
    address: usize,
    at: &'static Location<'static>,
}

/// A point, and whether what is exposed was there.
#[derive(Clone, Copy)]
pub(super) struct Logged {
    pub(super) point: Point,
    pub(super) is_exposed: bool,
}

/// The way that a run went.
#[derive(Default)]
pub(super) struct Path {
    pub(super) log: Vec<Logged>,
    /// What panicked, in the words of the panic hook.
    pub(super) panics: Vec<String>,
}

/// What an injected panic throws.
pub(super) struct Injected;

/// What is thrown to end a run that would not end by itself.
pub(super) struct Abandoned;

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

impl Run {
    pub(super) fn new(
        case: Case,
        expected: Rc<Path>,
        turns_max: usize,
        is_told: bool,
        look: fn(&Worker) -> String,
    ) -> Self {
        // Seeds that differ by one should not begin alike.
        let order = case.seed().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self {
            case,
            order,
            log: Vec::new(),
            expected,
            is_injected: false,
            last: None,
            exposed: Vec::new(),
            polled: Vec::new(),
            touched: None,
            panics: Vec::new(),
            locks: Vec::new(),
            turns: 0,
            turns_max,
            look,
            findings: Vec::new(),
            is_told,
        }
    }

    /// Has the runtime tell of what it does from now on. The run is over when what is returned is dropped.
    pub(super) fn begin(self) -> impl Sized {
        struct End;
        impl Drop for End {
            fn drop(&mut self) {
                set_explored_here(false);
            }
        }
        RUN.set(Some(self));
        set_explored_here(true);
        End
    }

    /// Takes back what was begun: the way it went, and what was found.
    pub(super) fn end() -> (Path, Vec<Finding>) {
        let run = RUN.take().expect("it was begun on this thread");
        let path = Path {
            log: run.log,
            panics: run.panics,
        };
        (path, run.findings)
    }

    /// Takes a point down. Returns what is to happen there.
    fn pass(&mut self, point: Point) -> Option<Fault> {
        let number = self.log.len();
        let is_exposed = match point.moment {
            Moment::Sleeps => self.touched.is_some() || !self.exposed.is_empty(),
            Moment::Begins | Moment::Calls => !self.polled.is_empty(),
        };
        if self.is_told {
            eprintln!("{number:6} {point}");
        }
        self.log.push(Logged { point, is_exposed });
        if self.is_injected {
            return None;
        }
        if let Some(expected) = self.expected.log.get(number) {
            if expected.point != point {
                let (expected, found) = (expected.point.to_string(), point.to_string());
                self.findings.push(Finding::NotRepeatable(expected, found));
                // No more of this: the rest would differ as well.
                self.is_injected = true;
                return None;
            }
        }
        let (fault, here) = self.case.fault()?;
        if here != number {
            return None;
        }
        self.is_injected = true;
        if self.is_told {
            eprintln!("       ^ {fault}");
        }
        Some(fault)
    }

    fn draw(&mut self, count: usize) -> usize {
        if self.order == 0 || count == 0 {
            return 0;
        }
        self.order ^= self.order << 13;
        self.order ^= self.order >> 7;
        self.order ^= self.order << 17;
        usize::try_from(self.order >> 33).unwrap_or(0) % count
    }
}

fn with<T>(f: impl FnOnce(&mut Run) -> T) -> Option<T> {
    RUN.with_borrow_mut(|run| run.as_mut().map(f))
}

/// A number below `count`: 0 in the order in which tasks are woken.
#[cold]
pub(crate) fn draw(count: usize) -> usize {
    with(|run| run.draw(count)).unwrap_or(0)
}

/// A wait is about to begin at the line `at`, before it has looked at anything.
#[cold]
pub(crate) fn wait_begins(at: &'static Location<'static>) {
    let task = try_current(|worker| worker.parent().0).unwrap_or(0);
    let fault = with(|run| {
        run.last = Some(at);
        run.pass(Point {
            moment: Moment::Begins,
            at,
            kind: "",
            task,
        })
    });
    match fault.flatten() {
        Some(Fault::Cancel) => {
            try_current(|worker| cancel(worker, at));
        }
        // Not with `panic!`, whose hook would tell of it.
        Some(Fault::Panic) if !std::thread::panicking() => resume_unwind(Box::new(Injected)),
        _ => {}
    }
}

/// A step of the task at `address` has ended, and it sleeps or has a further step due.
#[cold]
pub(crate) fn step_ended(worker: &Worker, address: Address) {
    let mut newest: Option<(u64, &str, &Location<'_>)> = None;
    worker.waits().for_each(|wait| {
        if wait.task == address && newest.is_none_or(|(since, ..)| since <= wait.since) {
            newest = Some((wait.since, wait.kind, wait.at));
        }
    });
    let about = worker.task_about(address);
    let fault = with(|run| {
        let (id, origin) = about?;
        let last = run.last.take().unwrap_or(origin);
        let (kind, at) = newest.map_or(("", last), |(_, kind, at)| (kind, at));
        let point = Point {
            moment: Moment::Sleeps,
            at,
            kind,
            task: id,
        };
        run.pass(point).map(|fault| (fault, at))
    });
    if let Some((Fault::Cancel, at)) = fault.flatten() {
        cancel(worker, at);
    }
    with(|run| run.touched = run.polled.last().copied());
}

/// The system is about to be called, on account of the line `at`. Returns `true` if the call is to fail.
#[cold]
pub(crate) fn call_begins(
    worker: &Worker,
    kind: &'static str,
    at: &'static Location<'static>,
) -> bool {
    let task = worker.parent().0;
    let fault = with(|run| {
        run.pass(Point {
            moment: Moment::Calls,
            at,
            kind,
            task,
        })
    });
    fault.flatten() == Some(Fault::Error)
}

/// Cancels what is exposed, or else everything.
fn cancel(worker: &Worker, at: &'static Location<'static>) {
    let scope = with(|run| {
        let others = run.log.len().checked_rem(run.exposed.len());
        let other = others.map(|index| run.exposed[index]);
        run.polled.last().copied().or(run.touched).or(other)
    });
    let scope = scope.flatten();
    let reason = CancelReason::Requested("the explorer".into());
    match scope {
        Some(scope) => {
            Scopes::cancel(worker, scope, reason, at);
        }
        None => worker.cancel_all(reason, at),
    }
}

/// A turn of the loop has ended.
///
/// # Panics
/// To end the run, if nobody can go on, or it takes too long.
#[cold]
pub(crate) fn turn_ended(worker: &Worker) {
    let is_stuck = worker
        .driver()
        .simulator()
        .is_some_and(|simulator| simulator.is_stuck());
    let finding = with(|run| {
        run.turns += 1;
        if is_stuck {
            Some(Finding::Deadlock((run.look)(worker)))
        } else if run.turns > run.turns_max {
            Some(Finding::Endless(run.turns_max))
        } else {
            None
        }
    });
    if let Some(finding) = finding.flatten() {
        with(|run| run.findings.push(finding));
        resume_unwind(Box::new(Abandoned));
    }
}

/// Tasks did not end, as the text says.
#[cold]
pub(crate) fn tasks_left(text: String) {
    with(|run| run.findings.push(Finding::TasksLeft(text)));
}

/// The program has ended, and what it left has had its time: looks what there still is.
#[cold]
pub(crate) fn check(worker: &Worker) {
    if with(|run| run.findings.iter().any(Finding::is_abandoned)) != Some(false) {
        // Who could not end has all that he had.
        return;
    }
    let mut findings = Vec::new();
    let mut waiters = Vec::new();
    worker
        .waits()
        .for_each(|wait| waiters.push(format!("{} at {}", wait.kind, wait.at)));
    if !waiters.is_empty() {
        findings.push(Finding::WaitersLeft(waiters));
    }
    let mut scopes = Vec::new();
    worker
        .scopes()
        .for_each(|scope| scopes.push(scope.at.to_string()));
    if !scopes.is_empty() {
        findings.push(Finding::ScopesLeft(scopes));
    }
    let operations = worker.driver().in_flight();
    if operations > 0 {
        findings.push(Finding::OperationsLeft(operations));
    }
    let sockets = worker
        .driver()
        .simulator()
        .map_or(0, |simulator| simulator.open_sockets());
    if sockets > 0 {
        findings.push(Finding::SocketsLeft(sockets));
    }
    with(|run| run.findings.append(&mut findings));
}

/// A guard was made for the lock of this kind at `address`, which the line `at` asked for.
#[cold]
pub(crate) fn locked(kind: &'static str, address: usize, at: &'static Location<'static>) {
    with(|run| run.locks.push(Lock { kind, address, at }));
}

/// A guard is dropped, of which [`locked`] told, unless it is of another run.
#[cold]
pub(crate) fn unlocked(kind: &'static str, address: usize, at: &'static Location<'static>) {
    let lock = Lock { kind, address, at };
    with(|run| {
        // The last of those that are alike: one that was forgotten may have lain there before.
        if let Some(index) = run.locks.iter().rposition(|held| *held == lock) {
            run.locks.remove(index);
        }
    });
}

/// All that belonged to the program was dropped: looks which locks are still held.
pub(super) fn check_locks() {
    with(|run| {
        if run.locks.is_empty() || run.findings.iter().any(Finding::is_abandoned) {
            return;
        }
        let text = |lock: Lock| format!("{} at {}", lock.kind, lock.at);
        let locks = run.locks.drain(..).map(text).collect();
        run.findings.push(Finding::LocksHeld(locks));
    });
}

/// Says that `scope` is exposed, until what is returned is dropped.
pub(super) fn expose(scope: ScopeRef) -> impl Sized {
    struct Cover(ScopeRef);
    impl Drop for Cover {
        fn drop(&mut self) {
            with(|run| {
                run.exposed.retain(|exposed| *exposed != self.0);
                run.touched = run.touched.filter(|touched| *touched != self.0);
            });
        }
    }
    with(|run| run.exposed.push(scope));
    Cover(scope)
}

/// Says that what is in `scope`, which is exposed, is being polled, until what is returned is dropped.
pub(super) fn poll_exposed(scope: ScopeRef) -> impl Sized {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            with(|run| run.polled.pop());
        }
    }
    with(|run| {
        run.polled.push(scope);
        run.touched = Some(scope);
    });
    Leave
}

/// Has the panic hook tell of panics in explored programs. Those that are injected don't come by it.
pub(super) fn listen_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            if is_explored_here() {
                // Not while a run is looked at: then it is none of the program's.
                let _ = RUN.try_with(|run| {
                    if let Ok(mut run) = run.try_borrow_mut() {
                        if let Some(run) = &mut *run {
                            run.panics.push(info.to_string());
                        }
                    }
                });
            }
            previous(info);
        }));
    });
}

/// Whether a panic is none of the program's.
pub(super) fn is_ours(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Injected>() || payload.is::<Abandoned>()
}
