//! What the crate says of memory: a pinned coroutine allocates nothing, a boxed one allocates once.
//!
//! A global allocator that counts, for each thread, so that the tests don't disturb each other.
#![cfg(feature = "alloc")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use antiphon_coroutine::CoroutineState::{Complete, Yielded};
use antiphon_coroutine::{Co, Interrupt, coroutine, generator};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is handed to `System` as it is, which keeps the contract. Counting allocates nothing: the
// counter is const-initialised and has no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: our caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: our caller keeps the contract of `dealloc`; `ptr` came from `System`, through `alloc` above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Returns how often `f` allocates. (A reallocation goes through `alloc` here, and counts as one.)
fn allocations<R>(f: impl FnOnce() -> R) -> usize {
    let before = ALLOCATIONS.get();
    let result = f();
    let count = ALLOCATIONS.get() - before;
    drop(result);
    count
}

async fn echo(co: &mut Co<'_, u64, u64, u8>, mut x: u64) -> Result<u64, Interrupt<u8>> {
    while x != 0 {
        match co.yield_(x).await {
            Ok(y) => x = y,
            Err(Interrupt::Thrown(_)) => x += 1,
            Err(closed) => return Err(closed),
        }
    }
    Ok(x)
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| Box::new(1)), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn a_pinned_coroutine_allocates_nothing_in_its_whole_life() {
    let count = allocations(|| {
        let mut sent = pin!(coroutine(echo).with_name("echo"));
        for x in 1..100 {
            assert_eq!(sent.send(x), Yielded(x));
        }
        assert_eq!(sent.throw(1), Ok(Yielded(100)));
        assert!(sent.location().is_some());
        assert_eq!(sent.send(0), Complete(Ok(0)));

        let mut closed = pin!(coroutine(echo));
        assert_eq!(closed.send(1), Yielded(1));
        assert_eq!(closed.close(), Ok(Some(Err(Interrupt::Closed))));

        let mut dropped = pin!(coroutine(echo));
        assert_eq!(dropped.send(1), Yielded(1));
    });
    assert_eq!(count, 0);
}

#[test]
fn delegation_allocates_nothing() {
    let count = allocations(|| {
        let mut outer = pin!(coroutine(async |co: &mut Co<'_, u64, u64, u8>, x| {
            echo(co, x).await?;
            let mut inner = pin!(coroutine(echo));
            co.delegate(inner.as_mut(), x).await
        }));
        assert_eq!(outer.send(7), Yielded(7));
        assert_eq!(outer.send(0), Yielded(7));
        assert_eq!(outer.throw(1), Ok(Yielded(8)));
        assert_eq!(outer.send(0), Complete(Ok(0)));
    });
    assert_eq!(count, 0);
}

#[test]
fn iteration_and_the_async_forms_allocate_nothing() {
    let mut cx = Context::from_waker(Waker::noop());
    let count = allocations(|| {
        let mut numbers = pin!(generator(async |co| -> Result<(), Interrupt> {
            for n in 0..10 {
                co.yield_(n).await?;
            }
            Ok(())
        }));
        assert_eq!(numbers.by_ref().sum::<u32>(), 45);
        assert_eq!(numbers.take_return(), Some(Ok(())));

        let mut sent = pin!(coroutine(echo));
        let step = pin!(sent.asend(1)).as_mut().poll(&mut cx);
        assert_eq!(step, Poll::Ready(Yielded(1)));
    });
    assert_eq!(count, 0);
}

#[test]
fn a_boxed_coroutine_allocates_once() {
    let count = allocations(|| {
        let mut boxed = coroutine(echo).boxed();
        for x in 1..100 {
            assert_eq!(boxed.send(x), Yielded(x));
        }
        assert_eq!(boxed.throw(1), Ok(Yielded(100)));
        assert_eq!(boxed.close(), Ok(Some(Err(Interrupt::Closed))));
        boxed
    });
    assert_eq!(count, 1);
    assert_eq!(allocations(|| coroutine(echo).boxed_send()), 1);
}
