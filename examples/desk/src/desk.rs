//! The desk: coroutines in tasks of the loop, which wait for events. No input, no output.
//!
//! ```text
//!   event ──▶ ready queue ──▶ worker ──▶ wait queue A
//!                 ▲                      wait queue B
//!                 │                      wait queue C ──┐
//!                 └───────── the event it waits for ────┘
//! ```
//! Each coroutine object is owned by a task of the loop. The task sends it the event, and waits at an [`EventHub`] for what
//! the coroutine yielded: the ready queue and the worker are the loop's, the wait queues are the hub's.
//!
//! One event is one turn. First the ready queue is filled: with the first task that waits for the event, then with
//! the task that the event starts, if it starts one. Then the worker gives each of them one step, in that order.
//! Because nobody becomes ready in the middle of a turn, an event can't resume the very task that it has started.
//!
//! What happened comes back as data; `plain`, `terminal` and `clients` show it.

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use antiphon::sync::EventHub;
use antiphon::{Cancelled, TaskBuilder, shield, yield_now};
use antiphon_coroutine::{CoroutineState, IgnoredClose};

use crate::orders::{Event, Order, Start};

/// Who may start, and the waiting room of those who have.
///
/// Its tasks are those of the loop that runs, so it is used in one loop.
pub(crate) struct Desk {
    started_by: fn(Event) -> Option<Start>,
    room: Rc<Room>,
    /// The id of the next task to start. Ids are never used again.
    next_id: usize,
}

/// What the desk and its tasks share.
struct Room {
    /// Where the tasks wait for their events.
    hub: EventHub<Event>,
    /// Who stands in the hub's lines, in their order, for those who look. In the order of [`Event::ALL`].
    queues: RefCell<[VecDeque<Task>; Event::ALL.len()]>,
    /// Where the tasks wait, when the desk closes, until those with lower ids have taken their leave.
    exit: EventHub<usize>,
    is_closing: Cell<bool>,
    /// Set when a task has heard of a cancel: those that hear of it stand at the exit, and no event resumes them.
    interrupted: RefCell<Option<Cancelled>>,
    /// The steps of the turn under way; empty between turns.
    steps: RefCell<Vec<Step>>,
    /// Those who took their leave; empty until the desk closes.
    farewells: RefCell<Vec<Farewell>>,
    /// What was said in the step under way; empty between steps.
    said: Said,
}

/// A task that waits, for those who look.
#[derive(Clone, Copy)]
pub(crate) struct Task {
    id: usize,
    location: Option<&'static Location<'static>>,
}

/// What one event did. Without steps, nobody waited for it and it starts nobody.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) event: Event,
    /// In the order in which they ran.
    pub(crate) steps: Vec<Step>,
    /// How many tasks wait after it, in all queues together.
    pub(crate) waiting_len: usize,
}

/// One resumption of one task.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) id: usize,
    /// The lines that the task said, without line ends.
    pub(crate) said: Vec<String>,
    pub(crate) next: Next,
}

/// Where a step left its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At the end of the event's queue.
    Waits(Event),
    /// Gone: it returned.
    Done,
    /// Gone: it panicked, and the panic hook has said why.
    Panicked,
}

/// The end of a task that was still waiting when the desk closed.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) id: usize,
    /// The lines that the task said, without line ends.
    pub(crate) said: Vec<String>,
    pub(crate) parting: Parting,
}

/// How a task took being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// It ended.
    Heard,
    /// It went on to wait for this event. It is dropped all the same.
    Ignored(Event),
    /// It panicked.
    Panicked,
}

impl Desk {
    /// Makes a desk at which nobody waits yet.
    pub(crate) fn new(started_by: fn(Event) -> Option<Start>) -> Self {
        Self {
            started_by,
            room: Rc::new(Room::new()),
            next_id: 0,
        }
    }

    /// Lets `event` happen. A turn has no halves: a cancel waits for its end. To be awaited to its end.
    pub(crate) async fn event(&mut self, event: Event) -> Result<Turn, Cancelled> {
        if let Some(cancelled) = &*self.room.interrupted.borrow() {
            return Err(cancelled.clone());
        }
        self.room.resume_first(event);
        self.start(event);
        // The loop's ready queue is first come first served: this task stands behind those of the turn now, so when it
        // runs again each of them has had its step.
        give_way().await?;
        Ok(Turn {
            event,
            steps: self.room.steps.take(),
            waiting_len: self.waiting_len(),
        })
    }

    /// Closes every waiting task, in the order of their ids, so that each hears it and takes its leave. A cancel waits for
    /// that.
    pub(crate) async fn close(&mut self) -> Result<Vec<Farewell>, Cancelled> {
        let ids = self.room.call_to_exit();
        give_way().await?;
        for id in ids {
            self.room.exit.fire(&id);
        }
        give_way().await?;
        Ok(self.room.farewells.take())
    }

    /// Returns the tasks that wait for `event`, the first to be resumed first.
    pub(crate) fn waiting(&self, event: Event) -> Ref<'_, VecDeque<Task>> {
        Ref::map(self.room.queues.borrow(), |queues| &queues[event as usize])
    }

    /// Returns how many tasks wait, in all queues together.
    pub(crate) fn waiting_len(&self) -> usize {
        self.room.queues.borrow().iter().map(VecDeque::len).sum()
    }

    /// Returns the id of the task that `event` would start, if it starts one.
    pub(crate) fn would_start(&self, event: Event) -> Option<usize> {
        (self.started_by)(event).map(|_| self.next_id)
    }

    /// Spawns the task that `event` starts, if it starts one.
    fn start(&mut self, event: Event) {
        let Some(start) = (self.started_by)(event) else {
            return;
        };
        let id = self.next_id;
        self.next_id += 1;
        let voice = Voice {
            id,
            said: Rc::clone(&self.room.said),
        };
        let room = Rc::clone(&self.room);
        let mut coroutine = start(voice);
        let name = format!("{} {id}", coroutine.name());
        // Nobody waits for its end: what it does in its steps is all there is to know.
        drop(TaskBuilder::new().name(&name).spawn(async move || {
            let mut event = event;
            while let Next::Waits(next) = room.step(id, &mut coroutine, event) {
                let resumed = room.hub.wait(next).await;
                if resumed.is_err() || room.is_closing.get() {
                    // A signal cancels everything, but who takes their leave when is the desk's to say.
                    if let Err(cancelled) = resumed {
                        room.interrupted.replace(Some(cancelled));
                    }
                    // In a box, so that a task has no room for it before.
                    Box::pin(shield(async || room.exit.wait(id).await)).await?;
                    room.farewell(id, &mut coroutine);
                    break;
                }
                event = next;
            }
            Ok::<(), Cancelled>(())
        }));
    }
}

impl Room {
    fn new() -> Self {
        Self {
            hub: EventHub::new(),
            queues: RefCell::default(),
            exit: EventHub::new(),
            is_closing: Cell::new(false),
            interrupted: RefCell::default(),
            steps: RefCell::default(),
            farewells: RefCell::default(),
            said: Said::default(),
        }
    }

    /// Makes the first task that waits for `event` ready, if there is one.
    fn resume_first(&self, event: Event) {
        let first = self.queues.borrow_mut()[event as usize].pop_front();
        let is_resumed = self.hub.fire(&event);
        debug_assert_eq!(is_resumed, first.is_some(), "the queues mirror the hub");
    }

    /// Makes every task ready, to be let out one by one. Returns their ids, in order.
    fn call_to_exit(&self) -> Vec<usize> {
        self.is_closing.set(true);
        for event in Event::ALL {
            self.hub.fire_all(&event);
        }
        let mut queues = self.queues.take();
        let tasks = queues.iter_mut().flat_map(|queue| queue.drain(..));
        let mut ids: Vec<usize> = tasks.map(|task| task.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Sends `event` to the coroutine, and queues its task for what it waits for next.
    fn step(&self, id: usize, coroutine: &mut Order, event: Event) -> Next {
        let mut step = Recorder {
            room: self,
            id,
            record: Room::record_step,
            end: Next::Panicked,
        };
        step.end = match coroutine.send(event) {
            CoroutineState::Yielded(next) => {
                let location = coroutine.location();
                self.queues.borrow_mut()[next as usize].push_back(Task { id, location });
                Next::Waits(next)
            }
            CoroutineState::Complete(()) => Next::Done,
        };
        step.end
    }

    /// Closes the coroutine.
    fn farewell(&self, id: usize, coroutine: &mut Order) {
        let mut farewell = Recorder {
            room: self,
            id,
            record: Room::record_farewell,
            end: Parting::Panicked,
        };
        farewell.end = match coroutine.close() {
            Ok(_) => Parting::Heard,
            Err(IgnoredClose(next)) => Parting::Ignored(next),
        };
    }

    fn record_step(&self, id: usize, said: Vec<String>, next: Next) {
        self.steps.borrow_mut().push(Step { id, said, next });
    }

    fn record_farewell(&self, id: usize, said: Vec<String>, parting: Parting) {
        self.farewells
            .borrow_mut()
            .push(Farewell { id, said, parting });
    }
}

/// Lets those run who are ready, also if this task is cancelled.
async fn give_way() -> Result<(), Cancelled> {
    match yield_now().await {
        Ok(()) => Ok(()),
        Err(_) => shield(yield_now).await,
    }
}

/// Writes down what became of a task when its step is over, even if that is by a panic.
struct Recorder<'a, E: Copy> {
    room: &'a Room,
    id: usize,
    record: fn(&Room, usize, Vec<String>, E),
    end: E,
}

impl<E: Copy> Drop for Recorder<'_, E> {
    fn drop(&mut self) {
        (self.record)(self.room, self.id, self.room.said.take(), self.end);
    }
}

impl Task {
    /// Returns the number that the task was given when it started.
    pub(crate) fn id(&self) -> usize {
        self.id
    }

    /// Returns the line of source at which the coroutine sleeps.
    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        self.location
    }
}

/// How a body speaks: its lines carry the task's id, and come back with the step in which they were said.
pub(crate) struct Voice {
    id: usize,
    said: Said,
}

/// Shared by a desk and the bodies at it. Borrowed for a push or a take, never while a body runs.
type Said = Rc<RefCell<Vec<String>>>;

impl Voice {
    /// Says one line.
    pub(crate) fn say(&self, line: impl fmt::Display) {
        self.said.borrow_mut().push(format!("{} {line}", self.id));
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use antiphon_coroutine::{Co, coroutine};
    use expect_test::{Expect, expect};

    use super::*;
    use crate::orders;

    /// Lets `events` happen at a desk, closes it, and compares the trace.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "`expect![..]` is written in place"
    )]
    fn check(started_by: fn(Event) -> Option<Start>, events: &[Event], expected: Expect) {
        let trace = antiphon::run(async || {
            let mut desk = Desk::new(started_by);
            let mut trace = String::new();
            for &event in events {
                let turn = desk.event(event).await.unwrap();
                assert_eq!(turn.event, event);
                assert_eq!(turn.waiting_len, desk.waiting_len());
                let queues = Event::ALL.map(|event| {
                    let ids: Vec<_> = desk.waiting(event).iter().map(Task::id).collect();
                    format!("{event}{ids:?}")
                });
                writeln!(trace, "{event} ──▶ {}", queues.join(" ")).unwrap();
                for Step { id, said, next } in turn.steps {
                    writeln!(trace, "  step {id}  {said:?} {next:?}").unwrap();
                }
            }
            for Farewell { id, said, parting } in desk.close().await.unwrap() {
                writeln!(trace, "  close {id} {said:?} {parting:?}").unwrap();
            }
            assert_eq!(desk.waiting_len(), 0);
            assert_eq!(
                antiphon::tree().tasks.len(),
                1,
                "only the main task is left"
            );
            trace
        });
        expected.assert_eq(&trace);
    }

    use Event::{A, B, C};

    #[test]
    fn two_orders_are_served_in_turn() {
        check(
            orders::started_by,
            &[A, A, B, C, B, C],
            expect![[r#"
                A ──▶ A[] B[0] C[]
                  step 0  ["0 Processing event A, blocking on B"] Waits(B)
                A ──▶ A[] B[0, 1] C[]
                  step 1  ["1 Processing event A, blocking on B"] Waits(B)
                B ──▶ A[] B[1] C[0]
                  step 0  ["0 Processing event B, blocking on C"] Waits(C)
                C ──▶ A[] B[1] C[]
                  step 0  ["0 Processing event C, task done"] Done
                B ──▶ A[] B[] C[1]
                  step 1  ["1 Processing event B, blocking on C"] Waits(C)
                C ──▶ A[] B[] C[]
                  step 1  ["1 Processing event C, task done"] Done
            "#]],
        );
    }

    #[test]
    fn an_event_that_nobody_waits_for_is_not_remembered() {
        check(
            orders::started_by,
            &[B, C, A, C],
            expect![[r#"
                B ──▶ A[] B[] C[]
                C ──▶ A[] B[] C[]
                A ──▶ A[] B[0] C[]
                  step 0  ["0 Processing event A, blocking on B"] Waits(B)
                C ──▶ A[] B[0] C[]
                  close 0 ["0 Closed while blocking on B"] Heard
            "#]],
        );
    }

    #[test]
    fn each_queue_is_first_come_first_served() {
        check(
            orders::started_by,
            &[A, A, A, B, B, C],
            expect![[r#"
                A ──▶ A[] B[0] C[]
                  step 0  ["0 Processing event A, blocking on B"] Waits(B)
                A ──▶ A[] B[0, 1] C[]
                  step 1  ["1 Processing event A, blocking on B"] Waits(B)
                A ──▶ A[] B[0, 1, 2] C[]
                  step 2  ["2 Processing event A, blocking on B"] Waits(B)
                B ──▶ A[] B[1, 2] C[0]
                  step 0  ["0 Processing event B, blocking on C"] Waits(C)
                B ──▶ A[] B[2] C[0, 1]
                  step 1  ["1 Processing event B, blocking on C"] Waits(C)
                C ──▶ A[] B[2] C[1]
                  step 0  ["0 Processing event C, task done"] Done
                  close 1 ["1 Closed while blocking on C"] Heard
                  close 2 ["2 Closed while blocking on B"] Heard
            "#]],
        );
    }

    #[test]
    fn ids_are_never_used_again() {
        check(
            orders::started_by,
            &[A, B, C, A],
            expect![[r#"
                A ──▶ A[] B[0] C[]
                  step 0  ["0 Processing event A, blocking on B"] Waits(B)
                B ──▶ A[] B[] C[0]
                  step 0  ["0 Processing event B, blocking on C"] Waits(C)
                C ──▶ A[] B[] C[]
                  step 0  ["0 Processing event C, task done"] Done
                A ──▶ A[] B[1] C[]
                  step 1  ["1 Processing event A, blocking on B"] Waits(B)
                  close 1 ["1 Closed while blocking on B"] Heard
            "#]],
        );
    }

    #[test]
    fn farewells_are_said_in_the_order_of_ids() {
        check(
            orders::started_by,
            &[A, A, A, B],
            expect![[r#"
                A ──▶ A[] B[0] C[]
                  step 0  ["0 Processing event A, blocking on B"] Waits(B)
                A ──▶ A[] B[0, 1] C[]
                  step 1  ["1 Processing event A, blocking on B"] Waits(B)
                A ──▶ A[] B[0, 1, 2] C[]
                  step 2  ["2 Processing event A, blocking on B"] Waits(B)
                B ──▶ A[] B[1, 2] C[0]
                  step 0  ["0 Processing event B, blocking on C"] Waits(C)
                  close 0 ["0 Closed while blocking on C"] Heard
                  close 1 ["1 Closed while blocking on B"] Heard
                  close 2 ["2 Closed while blocking on B"] Heard
            "#]],
        );
    }

    /// The original popped the queue after the new task had joined it.
    #[test]
    fn a_task_that_waits_for_the_event_that_started_it_is_not_resumed_by_it() {
        async fn again(co: &mut Co<'_, Event, Event>, _: Event, voice: &Voice) {
            voice.say("once");
            if co.yield_(A).await.is_ok() {
                voice.say("twice");
            }
        }
        let starts = |event| -> Option<Start> {
            (event == A).then_some(|voice| {
                coroutine(async move |co, event| again(co, event, &voice).await).boxed()
            })
        };
        check(
            starts,
            &[A, A, A],
            expect![[r#"
                A ──▶ A[0] B[] C[]
                  step 0  ["0 once"] Waits(A)
                A ──▶ A[1] B[] C[]
                  step 0  ["0 twice"] Done
                  step 1  ["1 once"] Waits(A)
                A ──▶ A[2] B[] C[]
                  step 1  ["1 twice"] Done
                  step 2  ["2 once"] Waits(A)
                  close 2 [] Heard
            "#]],
        );
    }

    /// The original took the end of a first step for an error.
    #[test]
    fn a_task_may_finish_in_its_first_step() {
        let starts = |event| -> Option<Start> {
            (event == B).then_some(|voice| {
                let body = async move |_: &mut Co<'_, Event, Event>, event| {
                    voice.say(format_args!("{event} was enough"));
                };
                coroutine(body).boxed()
            })
        };
        check(
            starts,
            &[B, B, A],
            expect![[r#"
                B ──▶ A[] B[] C[]
                  step 0  ["0 B was enough"] Done
                B ──▶ A[] B[] C[]
                  step 1  ["1 B was enough"] Done
                A ──▶ A[] B[] C[]
            "#]],
        );
    }

    #[test]
    fn a_task_that_ignores_the_close_is_reported() {
        let starts = |event| -> Option<Start> {
            (event == A).then_some(|voice| {
                let body = async move |co: &mut Co<'_, Event, Event>, _| {
                    let _ = co.yield_(B).await;
                    voice.say("not yet");
                    let _ = co.yield_(C).await;
                };
                coroutine(body).boxed()
            })
        };
        check(
            starts,
            &[A],
            expect![[r#"
                A ──▶ A[] B[0] C[]
                  step 0  [] Waits(B)
                  close 0 ["0 not yet"] Ignored(C)
            "#]],
        );
    }

    /// A task that panics is gone; the desk and the others are not.
    #[test]
    fn a_task_that_panics_is_reported_and_harms_nobody() {
        let starts = |event| -> Option<Start> {
            (event == A).then_some(|voice| {
                let body = async move |co: &mut Co<'_, Event, Event>, _| {
                    voice.say("mind the step");
                    let heard = co.yield_(B).await;
                    assert!(heard.is_err() && voice.id > 1, "a task of the test panics");
                };
                coroutine(body).boxed()
            })
        };
        check(
            starts,
            &[A, A, A, B, C],
            expect![[r#"
                A ──▶ A[] B[0] C[]
                  step 0  ["0 mind the step"] Waits(B)
                A ──▶ A[] B[0, 1] C[]
                  step 1  ["1 mind the step"] Waits(B)
                A ──▶ A[] B[0, 1, 2] C[]
                  step 2  ["2 mind the step"] Waits(B)
                B ──▶ A[] B[1, 2] C[]
                  step 0  [] Panicked
                C ──▶ A[] B[1, 2] C[]
                  close 1 [] Panicked
                  close 2 [] Heard
            "#]],
        );
    }

    #[test]
    fn a_sleeping_task_tells_its_line() {
        antiphon::run(async || {
            let mut desk = Desk::new(orders::started_by);
            desk.event(A).await.unwrap();
            let line = desk.waiting(B)[0].location().unwrap().line() as usize;
            let source = orders::SOURCE.lines().nth(line - 1).unwrap();
            assert!(source.contains("yield_(B)"), "{source}");
        });
    }

    #[test]
    fn a_waiting_task_is_in_the_tree_under_its_name() {
        antiphon::run(async || {
            let mut desk = Desk::new(orders::started_by);
            desk.event(A).await.unwrap();
            let tree = antiphon::tree();
            let order = tree.tasks.last().unwrap();
            assert_eq!(order.name.as_deref(), Some("order 0"));
            assert_eq!(order.waits[0].kind, "event hub");
        });
    }

    #[test]
    fn every_event_has_its_queue() {
        for (index, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, index);
        }
    }
}
