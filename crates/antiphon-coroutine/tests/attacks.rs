//! Attempts to break it with safe code: each of these is worth most under Miri, which watches the memory. What does not
//! even compile is in `src/refusals.rs`.
#![cfg(feature = "alloc")]

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::thread;

use antiphon_coroutine::CoroutineState::{Complete, Yielded};
use antiphon_coroutine::{
    BoxCoroutine, Co, Coroutine, CoroutineState, Interrupt, SendBoxCoroutine, State, Yield,
    coroutine, generator,
};
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use common::{Trace, catch, panic_of, poll_once, poll_with, run, tick};

/// A frame that speaks through the handle when it is dropped, with a yield that is then forgotten: the slot must still
/// be there, and what is left in it must be dropped once.
struct Heckler<'a, 'c>(&'a mut Co<'c, Box<u8>, Box<u8>, Box<u8>>);

impl Drop for Heckler<'_, '_> {
    fn drop(&mut self) {
        let mut dropped = self.0.yield_(Box::new(1));
        assert!(poll_with(Pin::new(&mut dropped), Waker::noop()).is_pending());
        drop(dropped);
        // A waker that is not the driver's, so that the slot has to keep a copy.
        let foreign = Arc::new(Foreign).into();
        let mut forgotten = self.0.yield_(Box::new(2));
        assert!(poll_with(Pin::new(&mut forgotten), &foreign).is_pending());
        mem::forget(forgotten);
    }
}

struct Foreign;

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {}
}

async fn heckled(
    co: &mut Co<'_, Box<u8>, Box<u8>, Box<u8>>,
    first: Box<u8>,
) -> Result<Box<u8>, Interrupt<Box<u8>>> {
    let heckler = Heckler(co);
    let answer = heckler.0.yield_(first).await?;
    assert_ne!(*answer, 13, "bad luck");
    Ok(answer)
}

#[test]
fn a_frame_that_yields_while_the_coroutine_is_dropped() {
    let mut suspended = coroutine(heckled).boxed();
    assert_eq!(suspended.send(Box::new(7)), Yielded(Box::new(7)));
    drop(suspended);

    let mut elsewhere = coroutine(heckled).boxed_send();
    assert_eq!(elsewhere.send(Box::new(7)), Yielded(Box::new(7)));
    thread::spawn(move || drop(elsewhere)).join().unwrap();
}

#[test]
fn a_frame_that_yields_while_the_body_returns_closes_fails_or_panics() {
    let started = || {
        let mut c = coroutine(heckled).boxed();
        assert_eq!(c.send(Box::new(7)), Yielded(Box::new(7)));
        c
    };
    assert_eq!(started().send(Box::new(8)), Complete(Ok(Box::new(8))));
    assert_eq!(started().close(), Ok(Some(Err(Interrupt::Closed))));
    let thrown = Interrupt::Thrown(Box::new(9));
    assert_eq!(started().throw(Box::new(9)), Ok(Complete(Err(thrown))));

    let mut panics = started();
    assert!(
        panic_of(|| panics.send(Box::new(13)))
            .message
            .contains("bad luck")
    );
    assert_eq!(panics.state(), State::Panicked);
    assert_eq!(panics.close(), Ok(None));
}

/// `Pin::set` drops a suspended coroutine in place and puts another of the same type at the same address.
#[test]
fn another_coroutine_in_the_same_place() {
    type Heckled<F> = Coroutine<F, Box<u8>, Box<u8>, Box<u8>>;
    fn make() -> Heckled<impl Future<Output = Result<Box<u8>, Interrupt<Box<u8>>>>> {
        coroutine(heckled)
    }
    let mut place = pin!(make());
    for n in 0..3 {
        assert_eq!(place.send(Box::new(n)), Yielded(Box::new(n)));
        place.set(make());
        assert_eq!(place.state(), State::Created);
    }
    assert_eq!(place.close(), Ok(None));
    place.set(make());
    assert_eq!(place.send(Box::new(9)), Yielded(Box::new(9)));
    assert_eq!(place.send(Box::new(8)), Complete(Ok(Box::new(8))));
}

/// A box moves, and its coroutine does not: swapped, reallocated, sent to a thread and back between the steps.
#[test]
fn moving_the_boxes_between_the_steps() {
    async fn sums(co: &mut Co<'_, u64, u64>, mut sum: u64) -> Result<(), Interrupt> {
        let mut history = [0, 0];
        let last = &mut history[1];
        loop {
            *last = sum;
            sum = *last + co.yield_(*last).await?;
        }
    }
    let mut all: Vec<SendBoxCoroutine<'_, u64, u64, Result<(), Interrupt>>> = Vec::new();
    for n in 0..8 {
        all.push(coroutine(sums).boxed_send());
        assert_eq!(all[n].send(n as u64), Yielded(n as u64));
    }
    all.swap(0, 7);
    let (left, right) = all.split_at_mut(4);
    mem::swap(&mut left[1], &mut right[1]);
    let mut all = thread::spawn(move || {
        for c in &mut all {
            assert!(c.send(100).yielded().is_some());
        }
        all
    })
    .join()
    .unwrap();
    let sums: Vec<_> = all.iter_mut().filter_map(|c| c.send(0).yielded()).collect();
    assert_eq!(sums, [107, 105, 102, 103, 104, 101, 106, 100]);
}

/// A step borrowed by a thread inside a scope, with the data of the stack around it.
#[test]
fn steps_taken_by_scoped_threads() {
    let words = [String::from("one"), String::from("two")];
    let mut c = coroutine(
        async |co: &mut Co<'_, &str, usize>, mut i| -> Result<(), Interrupt> {
            loop {
                i = co.yield_(&words[i]).await?;
            }
        },
    )
    .boxed_send();
    for i in [0, 1, 0] {
        let said = thread::scope(|s| s.spawn(|| c.send(i)).join().unwrap());
        assert_eq!(said, Yielded(words[i].as_str()));
    }
}

/// The handle is `Send`: a body may let another thread poll its yield, if it waits for that thread within its own poll.
#[test]
fn a_yield_polled_and_dropped_by_another_thread() {
    let mut c = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, first| {
        let mut asked = co.yield_(first);
        poll_fn(|_| {
            let foreign = Arc::new(Foreign).into();
            thread::scope(|s| {
                let asked = &mut asked;
                s.spawn(move || poll_with(Pin::new(asked), &foreign))
                    .join()
                    .unwrap()
            })
        })
        .await?;
        drop(asked);
        // And one that is dropped there.
        let mut asked = co.yield_(0);
        assert!(poll_once(&mut asked).await.is_pending());
        thread::scope(|s| s.spawn(move || drop(asked)).join().unwrap());
        co.yield_(9).await
    }));
    assert_eq!(c.send(1), Yielded(1));
    assert_eq!(c.send(2), Yielded(9));
    assert_eq!(c.send(3), Complete(Ok(3)));
}

/// A yield does not live where it was first polled: it is moved between its polls, and through wakers that are gone.
#[test]
fn a_yield_moved_between_its_polls() {
    async fn elsewhere<T>(mut asked: Yield<'_, '_, u8, T>) -> Result<T, Interrupt> {
        {
            let foreign: Waker = Arc::new(Foreign).into();
            assert!(poll_with(Pin::new(&mut asked), &foreign).is_pending());
        }
        let mut boxed = Box::new(asked);
        assert!(poll_once(&mut *boxed).await.is_pending());
        let mut unboxed = *boxed;
        assert!(poll_once(&mut unboxed).await.is_pending());
        unboxed.await
    }
    let mut c = pin!(coroutine(async |co: &mut Co<'_, u8, Box<u8>>, _| {
        elsewhere(co.yield_(1)).await
    }));
    assert_eq!(c.send(Box::new(0)), Yielded(1));
    assert_eq!(c.send(Box::new(5)), Complete(Ok(Box::new(5))));
}

/// An inner coroutine speaks through its outer's handle, in the middle of its own step, and is dropped there.
#[test]
fn an_inner_body_that_yields_through_its_outers_handle() {
    let trace = Trace::default();
    let mut outer = pin!(coroutine(async |outer: &mut Co<'_, _, u8>, _| {
        {
            let mut inner = pin!(coroutine(async |inner: &mut Co<'_, u8, u8>, x: u8| {
                let y = outer.yield_(trace.guard("through")).await?;
                let z = inner.yield_(x + y).await?;
                outer.yield_(trace.guard("dropped inside")).await?;
                Ok::<_, Interrupt>(z)
            }));
            assert_eq!(inner.asend(1).await, Yielded(21));
            // Its second question goes to the outer's slot, and is taken back with the inner's frame.
            assert!(poll_once(&mut pin!(inner.asend(0))).await.is_pending());
            assert_eq!(inner.state(), State::Awaiting);
        }
        trace.note("inner is gone");
        outer.yield_(trace.guard("last")).await
    }));
    drop(outer.send(0));
    assert_eq!(trace.take(), ["drop through"]);
    let last = outer.send(20);
    assert_eq!(trace.take(), ["drop dropped inside", "inner is gone"]);
    drop(last);
    assert_eq!(outer.send(4).complete(), Some(Ok(4)));
}

/// A body that holds coroutines of its own in a sub-executor, all speaking through one shared outer in turns.
#[test]
fn coroutines_inside_coroutines_inside_coroutines() {
    async fn nest(co: &mut Co<'_, u32, u32>, depth: u32) -> Result<u32, Interrupt> {
        if depth == 0 {
            return co.yield_(0).await;
        }
        let mut inner = coroutine(nest).boxed();
        let mut sum = 0;
        let mut answer = depth - 1;
        loop {
            // By hand, so that each level holds the one below across its own yields.
            let Yielded(value) = inner.send(answer) else {
                return Ok(sum);
            };
            answer = co.yield_(value + depth).await?;
            sum += answer;
        }
    }
    let mut c = coroutine(nest).boxed();
    assert_eq!(c.send(5), Yielded(15));
    drop(c);
    let mut c = coroutine(nest).boxed();
    assert_eq!(c.send(5), Yielded(15));
    assert_eq!(c.send(1), Complete(Ok(1)));
}

/// A coroutine that is forgotten while it sleeps takes its slot with it: nothing is left that could speak through it.
#[test]
#[cfg_attr(miri, ignore = "it leaks on purpose; clean under -Zmiri-ignore-leaks")]
fn forgetting_a_suspended_coroutine() {
    let foreign = Arc::new(Foreign);
    let waker: Waker = foreign.clone().into();
    {
        let on_the_stack = Cell::new(0);
        let mut forgotten = coroutine(async |co: &mut Co<'_, u8, u8>, x| {
            let _heard = Cell::new(&on_the_stack);
            let mut asked = co.yield_(x);
            poll_fn(|_| poll_with(Pin::new(&mut asked), &waker)).await
        })
        .boxed();
        assert_eq!(forgotten.send(1), Yielded(1));
        mem::forget(forgotten);
        on_the_stack.set(1);
    }
    waker.wake_by_ref();
    drop(waker);
    // The copy in the slot that leaked.
    assert_eq!(Arc::strong_count(&foreign), 2);
}

/// The future of a step that is forgotten is only a borrow: the coroutine is in the middle of a step.
#[test]
fn forgetting_a_step() {
    let mut c = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, x| {
        tick().await;
        co.yield_(x).await
    }));
    let mut step = Box::pin(c.asend(1));
    assert!(poll_with(step.as_mut(), Waker::noop()).is_pending());
    mem::forget(*Pin::into_inner(step));
    assert_eq!(c.state(), State::Awaiting);
    assert_eq!(run(c.finish_step()), Yielded(1));
    assert_eq!(c.send(2), Complete(Ok(2)));
}

thread_local! {
    /// A coroutine that its own destructors and wakers can find.
    static SHARED: RefCell<Option<BoxCoroutine<'static, Meddler, Meddler, (), Meddler>>> =
        const { RefCell::new(None) };
    static REFUSED: Cell<u32> = const { Cell::new(0) };
}

/// Tries to resume the coroutine that it travels through, when it is dropped, and drives one of its own.
struct Meddler;

impl Drop for Meddler {
    fn drop(&mut self) {
        meddle();
        let mut own = pin!(generator(async |co: &mut Co<'_, Box<u8>>| co
            .yield_(Box::new(1))
            .await));
        assert_eq!(own.send(()), Yielded(Box::new(1)));
    }
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        meddle();
    }
}

fn meddle() {
    SHARED.with(|shared| match shared.try_borrow_mut() {
        Ok(_) => {}
        Err(_) => REFUSED.set(REFUSED.get() + 1),
    });
}

/// Destructors of what is yielded, sent and thrown, and a waker, that try to get back in while it is handed over.
#[test]
fn re_entry_from_destructors_and_wakers() {
    let body = async |co: &mut Co<'_, Meddler, Meddler, Meddler>, first| {
        drop(first);
        let waker = Waker::from(Arc::new(Meddler));
        // Retracted.
        let mut asked = co.yield_(Meddler);
        assert!(poll_with(Pin::new(&mut asked), &waker).is_pending());
        drop(asked);
        // Forgotten, and replaced.
        let mut asked = co.yield_(Meddler);
        assert!(poll_with(Pin::new(&mut asked), &waker).is_pending());
        mem::forget(asked);
        // Answered; its waker meddles first.
        let mut asked = co.yield_(Meddler);
        let answer = poll_fn(|_| poll_with(Pin::new(&mut asked), &waker)).await;
        drop((asked, answer));
        // Not waited for, so that the answer is dropped with the question.
        let mut asked = co.yield_(Meddler);
        assert!(poll_with(Pin::new(&mut asked), &waker).is_pending());
        tick().await;
        drop(asked);
        // Not waited for either: this one hears a throw later, and is never asked.
        let mut asked = co.yield_(Meddler);
        assert!(poll_with(Pin::new(&mut asked), &waker).is_pending());
        tick().await;
        drop(asked);
        drop(co.yield_(Meddler).await);
    };
    SHARED.set(Some(coroutine(body).boxed()));
    let with = |resume: fn(&mut BoxCoroutine<'static, Meddler, Meddler, (), Meddler>) -> bool| {
        SHARED.with_borrow_mut(|shared| resume(shared.as_mut().unwrap()))
    };
    assert!(!with(|c| c.send(Meddler).is_complete()));
    assert!(!with(|c| c.send(Meddler).is_complete()));
    assert!(!with(|c| c.send(Meddler).is_complete()));
    assert!(with(|c| c.throw(Meddler).is_ok_and(|s| s.is_complete())));
    assert!(REFUSED.get() > 8, "only {} tried", REFUSED.get());
    SHARED.take();
}

/// A waker whose `wake` panics: the step does not happen, and the coroutine can be resumed, closed and dropped.
#[test]
fn a_waker_that_panics_when_woken() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a bad wake");
        }
    }
    let trace = Trace::default();
    let mut c = pin!(coroutine(async |co: &mut Co<'_, u8, _>, first| {
        drop(first);
        let mut asked = co.yield_(1);
        assert!(poll_with(Pin::new(&mut asked), &Waker::from(Arc::new(Bad))).is_pending());
        asked.await
    }));
    assert_eq!(c.send(trace.guard("first")).yielded(), Some(1));
    assert_eq!(
        panic_of(|| c.send(trace.guard("second"))).message,
        "a bad wake"
    );
    assert_eq!(c.state(), State::Suspended);
    let third = c.send(trace.guard("third")).complete();
    assert_eq!(third.unwrap().unwrap().name, "third");
    assert_eq!(trace.take(), ["drop first", "drop second", "drop third"]);
}

/// A waker whose last copy panics when it is dropped, in the slot.
#[test]
fn a_waker_that_panics_when_dropped() {
    struct Bad;
    impl Wake for Bad {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("a bad drop");
        }
    }
    async fn asks(co: &mut Co<'_, Box<u8>, (), ()>, (): ()) -> Result<(), Interrupt<()>> {
        let mut asked = co.yield_(Box::new(1));
        assert!(poll_with(Pin::new(&mut asked), &Waker::from(Arc::new(Bad))).is_pending());
        tick().await;
        asked.await
    }
    // Dropped with the object.
    let mut dropped = coroutine(asks).boxed();
    assert_eq!(dropped.send(()), Yielded(Box::new(1)));
    assert_eq!(panic_of(|| drop(dropped)).message, "a bad drop");
    // Dropped by the wake of the next step.
    let mut resumed = coroutine(asks).boxed();
    assert_eq!(resumed.send(()), Yielded(Box::new(1)));
    assert_eq!(panic_of(|| resumed.send(())).message, "a bad drop");
    drop(resumed);
}

/// A waker that panics when the slot copies it: the yield fails in the body, which may even catch that.
#[test]
fn a_waker_that_panics_when_cloned() {
    static BAD: RawWakerVTable =
        RawWakerVTable::new(|_| panic!("a bad clone"), |_| {}, |_| {}, |_| {});
    let trace = Trace::default();
    let mut c = pin!(coroutine(async |co: &mut Co<'_, _, ()>, ()| {
        // SAFETY: no function of the table uses the data; one that panics keeps every promise it does not return from.
        let bad = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &BAD)) };
        let mut asked = co.yield_(trace.guard("lost with its yield"));
        let caught = catch_unwind(AssertUnwindSafe(|| poll_with(Pin::new(&mut asked), &bad)));
        drop(asked);
        co.yield_(trace.guard("second"))
            .await
            .map(|()| caught.is_err())
    }));
    let second = catch(|| c.send(())).ok().and_then(CoroutineState::yielded);
    assert_eq!(second.map(|guard| guard.name), Some("second"));
    assert_eq!(trace.take(), ["drop lost with its yield", "drop second"]);
    assert_eq!(c.send(()).complete(), Some(Ok(true)));
}

/// A sub-executor that outlives the step, holds two coroutines' worth of wakers, and is dropped in the middle.
#[test]
fn a_sub_executor_dropped_with_yields_in_it() {
    let trace = Trace::default();
    let mut c = pin!(coroutine(async |co: &mut Co<'_, _, u8>, _| {
        for round in 0..3u8 {
            let mut children = FuturesUnordered::new();
            children.push(co.yield_(trace.guard("asked")));
            assert!(children.next().now_or_never().is_none());
            if round == 2 {
                return children.next().await.unwrap();
            }
        }
        unreachable!("the third round returns")
    }));
    let asked = c.send(0);
    assert_eq!(trace.take(), ["drop asked", "drop asked"]);
    drop(asked);
    assert_eq!(c.send(7).complete(), Some(Ok(7)));
}

/// Layouts at the edges: nothing at all, over-aligned, large.
#[test]
fn values_of_any_layout() {
    #[derive(Clone, Debug, PartialEq)]
    #[repr(align(128))]
    struct Aligned(u8);

    fn echo<T: Clone + PartialEq + std::fmt::Debug>(value: T) {
        let mut boxed = coroutine(async |co: &mut Co<'_, T, T, T>, mut x| {
            loop {
                x = match co.yield_(x).await {
                    Ok(x) | Err(Interrupt::Thrown(x)) => x,
                    Err(Interrupt::Closed) => return,
                };
            }
        })
        .boxed();
        assert_eq!(boxed.send(value.clone()), Yielded(value.clone()));
        assert_eq!(boxed.send(value.clone()), Yielded(value.clone()));
        assert_eq!(boxed.throw(value.clone()), Ok(Yielded(value)));
        assert_eq!(boxed.close(), Ok(Some(())));
    }
    echo(());
    echo(Aligned(1));
    echo(vec![[7u64; 64]; 3]);
    echo([1u8; 3000]);
    echo(Some(Box::new(1)));
}

/// A coroutine may be looked at between any two polls of its body, while that holds references into itself.
#[test]
fn looking_at_a_body_that_refers_to_itself() {
    let mut c = pin!(coroutine(
        async |co: &mut Co<'_, u8, u8>, first| -> Result<u8, Interrupt> {
            let mut numbers = [first, 2, 3];
            let [a, rest @ ..] = &mut numbers;
            *a += co.yield_(*a).await?;
            for n in rest {
                *n += co.yield_(*n).await?;
                tick().await;
            }
            Ok(numbers.iter().sum())
        }
    ));
    let look = |c: &Pin<&mut Coroutine<_, u8, u8>>| {
        let seen = format!("{c:?}");
        assert!(seen.contains(&format!("{:?}", c.state())));
        c.location().is_some()
    };
    assert!(!look(&c));
    let mut answers = Vec::new();
    let mut step = c.send(1);
    while let Yielded(value) = step {
        assert!(look(&c));
        answers.push(value);
        let mut polled = Box::pin(c.asend(10));
        let poll = polled
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        drop(polled);
        step = match poll {
            Poll::Ready(state) => state,
            Poll::Pending => {
                assert!(!look(&c));
                run(c.finish_step())
            }
        };
    }
    assert_eq!(answers, [1, 2, 3]);
    assert_eq!(step, Complete(Ok(36)));
}
