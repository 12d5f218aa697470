//! The desk: coroutines in wait queues, resumed by events. No input, no output.
//!
//! ```text
//!   event ──▶ ready queue ──▶ worker ──▶ wait queue A
//!                 ▲                      wait queue B
//!                 │                      wait queue C ──┐
//!                 └───────── the event it waits for ────┘
//! ```
//! One event is one turn. First the ready queue is filled: with the first task that waits for the event, then with
//! the task that the event starts, if it starts one. Then the worker gives each of them one step, in that order.
//! Because nobody becomes ready in the middle of a turn, an event can't resume the very task that it has started.
//!
//! What happened comes back as data; `plain` and `terminal` show it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use antiphon_coroutine::{CoroutineState, IgnoredClose};

use crate::orders::{Event, Order, Start};

/// Wait queues, one for each event, and who may start.
pub(crate) struct Desk {
    started_by: fn(Event) -> Option<Start>,
    /// In the order of [`Event::ALL`]. Every task in them is suspended, and waits for that event.
    queues: [VecDeque<Task>; Event::ALL.len()],
    /// The id of the next task to start. Ids are never used again.
    next_id: usize,
    /// What was said in the step under way; empty between steps.
    said: Said,
}

/// A coroutine that the desk owns.
pub(crate) struct Task {
    id: usize,
    coroutine: Order,
}

/// What one event did. Without steps, nobody waited for it and it starts nobody.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) event: Event,
    /// In the order in which they ran.
    pub(crate) steps: Vec<Step>,
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
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// At the end of the event's queue.
    Waits(Event),
    /// Gone: it returned.
    Done,
}

/// The end of a task that was still waiting when the desk closed.
#[derive(Debug)]
pub(crate) struct Farewell {
    pub(crate) id: usize,
    /// The lines that the task said, without line ends.
    pub(crate) said: Vec<String>,
    /// The event that the task went on to wait for, if it did not listen. It is dropped all the same.
    pub(crate) ignored: Option<Event>,
}

impl Desk {
    /// Makes a desk at which nobody waits yet.
    pub(crate) fn new(started_by: fn(Event) -> Option<Start>) -> Self {
        Self {
            started_by,
            queues: Default::default(),
            next_id: 0,
            said: Said::default(),
        }
    }

    /// Lets `event` happen.
    pub(crate) fn event(&mut self, event: Event) -> Turn {
        let waited = self.queue_mut(event).pop_front();
        let started = self.start(event);
        let ready = waited.into_iter().chain(started);
        let steps = ready.map(|task| self.step(task, event)).collect();
        Turn { event, steps }
    }

    /// Closes every waiting task, in the order of their ids, so that each hears it and takes its leave.
    pub(crate) fn close(&mut self) -> Vec<Farewell> {
        let mut tasks: Vec<Task> = self.queues.iter_mut().flat_map(|q| q.drain(..)).collect();
        tasks.sort_by_key(Task::id);
        tasks.into_iter().map(|task| self.farewell(task)).collect()
    }

    /// Returns the tasks that wait for `event`, the first to be resumed first.
    pub(crate) fn waiting(&self, event: Event) -> impl Iterator<Item = &Task> {
        self.queues[event as usize].iter()
    }

    /// Returns how many tasks wait, in all queues together.
    pub(crate) fn waiting_len(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Returns the id of the task that `event` would start, if it starts one.
    pub(crate) fn would_start(&self, event: Event) -> Option<usize> {
        (self.started_by)(event).map(|_| self.next_id)
    }

    fn start(&mut self, event: Event) -> Option<Task> {
        let start = (self.started_by)(event)?;
        let id = self.next_id;
        self.next_id += 1;
        let voice = Voice {
            id,
            said: Rc::clone(&self.said),
        };
        let coroutine = start(voice);
        Some(Task { id, coroutine })
    }

    /// Sends `event` to the task, and queues it for what it waits for next.
    fn step(&mut self, mut task: Task, event: Event) -> Step {
        let id = task.id;
        let next = match task.coroutine.send(event) {
            CoroutineState::Yielded(next) => {
                self.queue_mut(next).push_back(task);
                Next::Waits(next)
            }
            CoroutineState::Complete(()) => Next::Done,
        };
        let said = self.said.take();
        Step { id, said, next }
    }

    fn farewell(&self, mut task: Task) -> Farewell {
        let ignored = match task.coroutine.close() {
            Ok(_) => None,
            Err(IgnoredClose(next)) => Some(next),
        };
        Farewell {
            id: task.id,
            said: self.said.take(),
            ignored,
        }
    }

    fn queue_mut(&mut self, event: Event) -> &mut VecDeque<Task> {
        &mut self.queues[event as usize]
    }
}

impl Task {
    /// Returns the number that the task was given when it started.
    pub(crate) fn id(&self) -> usize {
        self.id
    }

    /// Returns the line of source at which the task sleeps.
    pub(crate) fn location(&self) -> Option<&'static Location<'static>> {
        self.coroutine.location()
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
        let mut desk = Desk::new(started_by);
        let mut trace = String::new();
        for &event in events {
            let turn = desk.event(event);
            assert_eq!(turn.event, event);
            let queues = Event::ALL.map(|event| {
                let ids: Vec<_> = desk.waiting(event).map(Task::id).collect();
                format!("{event}{ids:?}")
            });
            writeln!(trace, "{event} ──▶ {}", queues.join(" ")).unwrap();
            for Step { id, said, next } in turn.steps {
                writeln!(trace, "  step {id}  {said:?} {next:?}").unwrap();
            }
        }
        for Farewell { id, said, ignored } in desk.close() {
            writeln!(trace, "  close {id} {said:?} ignored: {ignored:?}").unwrap();
        }
        assert_eq!(desk.waiting_len(), 0);
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
                  close 0 ["0 Closed while blocking on B"] ignored: None
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
                  close 1 ["1 Closed while blocking on C"] ignored: None
                  close 2 ["2 Closed while blocking on B"] ignored: None
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
                  close 1 ["1 Closed while blocking on B"] ignored: None
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
                  close 0 ["0 Closed while blocking on C"] ignored: None
                  close 1 ["1 Closed while blocking on B"] ignored: None
                  close 2 ["2 Closed while blocking on B"] ignored: None
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
                  close 2 [] ignored: None
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
                  close 0 ["0 not yet"] ignored: Some(C)
            "#]],
        );
    }

    #[test]
    fn a_sleeping_task_tells_its_line() {
        let mut desk = Desk::new(orders::started_by);
        desk.event(A);
        let task = desk.waiting(B).next().unwrap();
        let line = task.location().unwrap().line() as usize;
        let source = orders::SOURCE.lines().nth(line - 1).unwrap();
        assert!(source.contains("yield_(B)"), "{source}");
    }

    #[test]
    fn every_event_has_its_queue() {
        for (index, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, index);
        }
    }
}
