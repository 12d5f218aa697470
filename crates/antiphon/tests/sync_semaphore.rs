//! `Semaphore`: permits go round, in order, and none is lost.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use antiphon::sync::{
    AcquireError, OwnedSemaphorePermit, Semaphore, SemaphoreAcquire, SemaphorePermit,
    TryAcquireError,
};
use antiphon::{CancelScope, Outcome, find_cancelled, is_cancelled, run, spawn, yield_now};
use expect_test::expect;
use proptest::prelude::*;
use sync_support::cancels::{Place, cancel_tests, in_the_middle_of_a_queue};
use sync_support::{Count, STEPS, check, poll_once, poll_with, tries};

#[test]
fn who_asks_for_many_keeps_its_turn() {
    check(
        async |trace| {
            let semaphore = Rc::new(Semaphore::new(2));
            let held = semaphore.acquire_owned(1).await.unwrap();
            let tasks = [(0, 2), (1, 1), (2, 3), (3, 1)].map(|(n, count)| {
                let (semaphore, trace) = (Rc::clone(&semaphore), trace.clone());
                spawn(async move || {
                    let permit = semaphore.acquire(count).await.unwrap();
                    trace.say(format_args!("task {n} has {}", permit.count()));
                    yield_now().await.unwrap();
                })
            });
            yield_now().await.unwrap();
            trace.say("one is free, and the first asks for two");
            assert_eq!(
                semaphore.try_acquire(1).unwrap_err(),
                TryAcquireError::NoPermits
            );
            drop(held);
            for _ in 0..5 {
                yield_now().await.unwrap();
            }
            trace.say("two are free, and the next asks for three");
            semaphore.add_permits(1);
            for task in tasks {
                task.await.unwrap();
            }
            assert_eq!(semaphore.available_permits(), 3);
        },
        expect![[r#"
            one is free, and the first asks for two
            task 0 has 2
            task 1 has 1
            two are free, and the next asks for three
            task 2 has 3
            task 3 has 1
        "#]],
    );
}

#[test]
fn who_asks_for_many_and_goes_away_makes_way() {
    run(async || {
        let semaphore = Semaphore::new(1);
        let (mut many, mut one) = (semaphore.acquire(5), semaphore.acquire(1));
        assert!(poll_once(&mut many).is_pending());
        assert!(poll_once(&mut one).is_pending());
        drop(many);
        assert!(poll_once(&mut one).is_ready());
    });
}

/// asyncio's `test_cancel_race` and `test_cancel_release_race`, for semaphores.
#[test]
fn permits_of_one_that_goes_away_after_it_was_chosen_go_to_the_next() {
    run(async || {
        let semaphore = Semaphore::new(0);
        let (mut first, mut second) = (semaphore.acquire(2), semaphore.acquire(1));
        assert!(poll_once(&mut first).is_pending());
        let (woken, waker) = Count::new();
        assert!(poll_with(&mut second, &waker).is_pending());
        semaphore.add_permits(2);
        assert_eq!(woken.get(), 0);
        drop(first);
        assert_eq!(woken.get(), 1);
        assert_eq!(semaphore.available_permits(), 1);
        drop(second);
        assert_eq!(semaphore.available_permits(), 2);
    });
}

#[test]
fn closing_tells_those_who_wait_and_those_who_come() {
    run(async || {
        let semaphore = Rc::new(Semaphore::new(1));
        let held = semaphore.try_acquire_owned(1).unwrap();
        let (mut granted, mut waiting) = (semaphore.acquire(1), semaphore.acquire_owned(1));
        assert!(poll_once(&mut granted).is_pending());
        assert!(poll_once(&mut waiting).is_pending());
        drop(held);
        semaphore.close();
        assert!(
            matches!(poll_once(&mut granted), Poll::Ready(Ok(_))),
            "it had its permit before"
        );
        assert!(matches!(poll_once(&mut waiting), Poll::Ready(Err(_))));
        assert!(matches!(
            poll_once(&mut semaphore.acquire(0)),
            Poll::Ready(Err(_))
        ));
        assert_eq!(
            semaphore.try_acquire(1).unwrap_err(),
            TryAcquireError::Closed
        );
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn one_that_goes_away_after_the_close_returns_nothing() {
    run(async || {
        let semaphore = Semaphore::new(0);
        let mut acquire = semaphore.acquire(3);
        assert!(poll_once(&mut acquire).is_pending());
        semaphore.close();
        drop(acquire);
        assert_eq!(semaphore.available_permits(), 0);
    });
}

#[test]
fn more_than_there_can_ever_be_waits() {
    run(async || {
        let semaphore = Semaphore::new(Semaphore::PERMITS_MAX);
        assert!(semaphore.try_acquire(usize::MAX).is_err());
        let mut acquire = semaphore.acquire(usize::MAX);
        assert!(poll_once(&mut acquire).is_pending());
        semaphore.close();
        assert!(matches!(poll_once(&mut acquire), Poll::Ready(Err(_))));
    });
}

#[test]
#[should_panic(expected = "at most `PERMITS_MAX` permits")]
fn too_many_permits_are_refused() {
    Semaphore::new(Semaphore::PERMITS_MAX).add_permits(1);
}

#[test]
fn forgetting_takes_permits_away() {
    run(async || {
        let semaphore = Rc::new(Semaphore::new(4));
        semaphore.try_acquire(1).unwrap().forget();
        semaphore.try_acquire_owned(1).unwrap().forget();
        mem::forget(semaphore.try_acquire(1));
        assert_eq!(semaphore.available_permits(), 1);
        let mut acquire = semaphore.acquire(2);
        assert!(poll_once(&mut acquire).is_pending());
        mem::forget(acquire);
        assert!(
            semaphore.try_acquire(1).is_err(),
            "it keeps its place in the queue"
        );
        assert_eq!(
            format!("{semaphore:?}"),
            "Semaphore { permits: 1, is_closed: false, waiting: 1, .. }"
        );
    });
}

#[test]
fn an_owned_permit_outlives_the_handle_it_came_from() {
    run(async || {
        let semaphore = Rc::new(Semaphore::new(1));
        let permit = Rc::clone(&semaphore).acquire_owned(1).await.unwrap();
        let task = spawn(async move || drop(permit));
        let waiting = semaphore.acquire(1).await.unwrap();
        assert!(task.is_finished());
        drop(waiting);
    });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask(usize, usize),
    Poll(usize),
    Drop(usize),
    Add(usize),
    Try(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..5_usize, 0..4_usize).prop_map(|(index, count)| Step::Ask(index, count)),
        4 => (0..5_usize).prop_map(Step::Poll),
        5 => (0..5_usize).prop_map(Step::Drop),
        1 => (0..2_usize).prop_map(Step::Add),
        1 => (0..3_usize).prop_map(Step::Try),
    ]
}

#[derive(Default)]
enum Slot<'a> {
    #[default]
    Empty,
    Waiting(SemaphoreAcquire<'a>, Arc<Count>),
    Holding(#[allow(dead_code, reason = "held to be dropped")] SemaphorePermit<'a>),
}

/// Permits, who asks for how many in which order, and who was given them.
#[derive(Debug, Default)]
struct Model {
    permits: usize,
    queue: VecDeque<(usize, usize)>,
    given: Vec<(usize, usize)>,
}

impl Model {
    fn grant(&mut self) {
        while let Some((index, count)) = self
            .queue
            .front()
            .copied()
            .filter(|(_, count)| *count <= self.permits)
        {
            self.permits -= count;
            self.given.push((index, count));
            self.queue.pop_front();
        }
    }

    fn drop(&mut self, index: usize) {
        self.queue.retain(|(found, _)| *found != index);
        self.permits += self
            .given
            .iter()
            .filter(|(found, _)| *found == index)
            .map(|(_, count)| count)
            .sum::<usize>();
        self.given.retain(|(found, _)| *found != index);
        self.grant();
    }

    fn has(&self, index: usize) -> bool {
        self.given.iter().any(|(found, _)| *found == index)
    }
}

proptest! {
    #![proptest_config(tries())]

    #[test]
    fn it_does_as_the_model_does(permits in 0..4_usize, steps in proptest::collection::vec(step(), 1..STEPS)) {
        run(async || {
            let semaphore = Semaphore::new(permits);
            let mut slots: [Slot<'_>; 5] = Default::default();
            let mut model = Model { permits, ..Model::default() };
            for step in steps {
                match step {
                    Step::Ask(index, count) if matches!(slots[index], Slot::Empty) => {
                        slots[index] = Slot::Waiting(semaphore.acquire(count), Arc::default());
                        model.queue.push_back((index, count));
                        model.grant();
                    }
                    Step::Drop(index) => {
                        model.drop(index);
                        slots[index] = Slot::Empty;
                    }
                    Step::Add(count) => {
                        semaphore.add_permits(count);
                        model.permits += count;
                        model.grant();
                    }
                    Step::Try(count) => {
                        let expected = model.queue.is_empty() && count <= model.permits;
                        prop_assert_eq!(semaphore.try_acquire(count).is_ok(), expected);
                    }
                    Step::Ask(..) | Step::Poll(_) => {}
                }
                if let Step::Ask(index, _) | Step::Poll(index) = step {
                    if let Slot::Waiting(acquire, count) = &mut slots[index] {
                        let poll = poll_with(acquire, &Arc::clone(count).into());
                        prop_assert_eq!(poll.is_ready(), model.has(index));
                        if let Poll::Ready(permit) = poll {
                            slots[index] = Slot::Holding(permit.unwrap());
                        }
                    }
                }
                prop_assert_eq!(semaphore.available_permits(), model.permits);
                for (index, slot) in slots.iter().enumerate() {
                    if let Slot::Waiting(_, count) = slot {
                        prop_assert_eq!(count.get(), usize::from(model.has(index)), "woken once, when it is given some");
                    }
                }
            }
            Ok(())
        })?;
    }
}

/// A semaphore without permits, waited for to take two.
struct TwoOfNone(Rc<Semaphore>);

impl Place for TwoOfNone {
    type Error = AcquireError;

    fn new() -> Self {
        Self(Rc::new(Semaphore::new(0)))
    }

    async fn wait(&self) -> Result<(), AcquireError> {
        self.0.acquire(2).await.map(SemaphorePermit::forget)
    }

    fn release(&self) {
        self.0.add_permits(2);
    }
}

struct TwoOwnedOfNone(Rc<Semaphore>);

impl Place for TwoOwnedOfNone {
    type Error = AcquireError;

    fn new() -> Self {
        Self(Rc::new(Semaphore::new(0)))
    }

    async fn wait(&self) -> Result<(), AcquireError> {
        self.0
            .acquire_owned(2)
            .await
            .map(OwnedSemaphorePermit::forget)
    }

    fn release(&self) {
        self.0.add_permits(2);
    }
}

/// That a semaphore was closed is an end like another.
struct UntilClosed(Semaphore);

impl Place for UntilClosed {
    type Error = AcquireError;

    fn new() -> Self {
        Self(Semaphore::new(0))
    }

    async fn wait(&self) -> Result<(), AcquireError> {
        match self.0.acquire(1).await {
            Err(AcquireError::Closed) => Ok(()),
            result => result.map(drop),
        }
    }

    fn release(&self) {
        self.0.close();
    }
}

cancel_tests!(
    cancelled: TwoOfNone,
    cancelled_owned: TwoOwnedOfNone,
    cancelled_or_closed: UntilClosed,
);

#[test]
fn a_cancelled_waiter_lets_those_behind_it_move_up() {
    in_the_middle_of_a_queue::<TwoOfNone>();
    in_the_middle_of_a_queue::<TwoOwnedOfNone>();
    in_the_middle_of_a_queue::<UntilClosed>();
}

#[test]
fn who_asks_for_many_and_is_cancelled_makes_way_and_loses_none() {
    run(async || {
        let semaphore = Rc::new(Semaphore::new(3));
        let scope = CancelScope::new();
        let many = spawn({
            let (semaphore, scope) = (Rc::clone(&semaphore), scope.clone());
            async move || {
                scope
                    .run(async || semaphore.acquire(5).await.map(drop))
                    .await
            }
        });
        let few = spawn({
            let semaphore = Rc::clone(&semaphore);
            async move || semaphore.acquire(2).await.map(|permit| permit.count())
        });
        yield_now().await.unwrap();
        assert!(!few.is_finished(), "it waits for its turn");
        scope.cancel("on purpose");
        assert!(many.await.unwrap().is_cancelled());
        assert_eq!(few.await.unwrap(), Ok(2));
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn an_error_tells_whether_it_was_closed_or_cancelled() {
    run(async || {
        let semaphore = Semaphore::new(1);
        let scope = CancelScope::new();
        scope.cancel("enough");
        let Outcome::Cancelled(cancelled, error) =
            scope.run(async || semaphore.acquire(1).await).await
        else {
            panic!("it is cancelled")
        };
        assert_eq!(error, AcquireError::from(cancelled.clone()));
        assert_eq!(error.to_string(), "the wait for permits was cancelled");
        assert_eq!(find_cancelled(&error), Some(&cancelled));

        semaphore.close();
        let error = semaphore.acquire(1).await.unwrap_err();
        assert_eq!(error, AcquireError::Closed);
        assert_eq!(error.to_string(), "the semaphore is closed");
        assert!(!is_cancelled(&error));
    });
}
