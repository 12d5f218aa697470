//! Generators as iterators: what a `for` loop, an adaptor and the return value see.
#![cfg(feature = "alloc")]

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::iter::FusedIterator;
use std::pin::pin;

use antiphon_coroutine::CoroutineState::{Complete, Yielded};
use antiphon_coroutine::{BoxCoroutine, Co, Interrupt, State, generator};

use common::{Trace, panic_of, tick};

async fn countdown(
    co: &mut Co<'_, u32, (), &'static str>,
) -> Result<&'static str, Interrupt<&'static str>> {
    for n in (1..=3).rev() {
        co.yield_(n).await?;
    }
    Ok("lift-off")
}

/// Nothing runs before the first `next`, and what the loop sees is what was yielded.
#[test]
fn a_for_loop_runs_it_step_by_step() {
    let trace = Trace::default();
    let steps = pin!(generator(async |co| -> Result<(), Interrupt> {
        for n in 0..2 {
            trace.note(format_args!("makes {n}"));
            co.yield_(n).await?;
        }
        Ok(())
    }));
    assert_eq!(trace.take(), [""; 0]);
    for n in steps {
        trace.note(format_args!("takes {n}"));
    }
    assert_eq!(trace.take(), ["makes 0", "takes 0", "makes 1", "takes 1"]);
}

/// The end is `None` for ever, in both forms.
#[test]
fn it_is_fused() {
    fn check(mut numbers: impl FusedIterator<Item = u32>) {
        assert_eq!(numbers.by_ref().collect::<Vec<_>>(), [3, 2, 1]);
        assert_eq!([numbers.next(), numbers.next()], [None, None]);
    }
    check(pin!(generator(countdown)));
    check(generator(countdown).boxed());
    check(generator(countdown).boxed_send());
}

/// The return value is kept for `take_return`: not before the end, and once.
#[test]
fn the_return_value_is_kept_until_it_is_taken() {
    let mut pinned = pin!(generator(countdown));
    assert_eq!(pinned.take_return(), None);
    assert_eq!(pinned.next(), Some(3));
    assert_eq!(pinned.take_return(), None);
    assert_eq!(pinned.by_ref().count(), 2);
    assert_eq!(pinned.take_return(), Some(Ok("lift-off")));
    assert_eq!(pinned.take_return(), None);
    assert_eq!(pinned.next(), None);

    let mut boxed = generator(countdown).boxed();
    assert_eq!(boxed.by_ref().last(), Some(1));
    assert_eq!(boxed.take_return(), Some(Ok("lift-off")));
    assert_eq!(boxed.take_return(), None);
}

/// `send` and `close` hand the return value over themselves and keep none.
#[test]
fn send_and_close_keep_nothing_for_take_return() {
    let mut sent_to = pin!(generator(countdown));
    assert_eq!(sent_to.by_ref().take(3).sum::<u32>(), 6);
    assert_eq!(sent_to.send(()), Complete(Ok("lift-off")));
    assert_eq!(sent_to.take_return(), None);

    let mut closed = pin!(generator(countdown));
    assert_eq!(closed.next(), Some(3));
    assert_eq!(closed.close(), Ok(Some(Err(Interrupt::Closed))));
    assert_eq!(closed.take_return(), None);
    assert_eq!(closed.next(), None);
}

/// A return value that nobody takes is dropped with the object, once.
#[test]
fn a_return_value_that_is_not_taken_is_dropped_with_the_object() {
    let trace = Trace::default();
    let inside = trace.clone();
    let mut returns = generator(async move |co: &mut Co<'_, u8>| {
        co.yield_(1).await.map(|()| inside.guard("returned"))
    })
    .boxed();
    assert_eq!(returns.by_ref().count(), 1);
    assert_eq!(trace.take(), [""; 0]);
    drop(returns);
    assert_eq!(trace.take(), ["drop returned"]);
}

/// Iteration and the other calls mix: `send(())` is `next` with the return value, and a loop that was left can go on.
#[test]
fn iteration_mixes_with_send_throw_and_close() {
    let mut patient = pin!(generator(
        async |co: &mut Co<'_, u32, (), u32>| -> Result<(), Interrupt<u32>> {
            let mut n = 0;
            loop {
                n = match co.yield_(n).await {
                    Ok(()) => n + 1,
                    Err(Interrupt::Thrown(reset)) => reset,
                    Err(closed) => return Err(closed),
                };
            }
        }
    ));
    for n in patient.by_ref() {
        if n == 2 {
            break;
        }
    }
    assert_eq!(patient.state(), State::Suspended);
    assert_eq!(patient.send(()), Yielded(3));
    assert_eq!(patient.throw(10), Ok(Yielded(10)));
    assert_eq!(patient.next(), Some(11));
    assert_eq!(patient.close(), Ok(Some(Err(Interrupt::Closed))));
    assert_eq!(patient.next(), None);
}

/// A throw or a close before the first `next` ends it without a value.
#[test]
fn one_that_was_closed_or_thrown_into_unstarted_is_empty() {
    let mut closed = pin!(generator(countdown));
    assert_eq!(closed.close(), Ok(None));
    assert_eq!((closed.next(), closed.take_return()), (None, None));

    let mut thrown = pin!(generator(countdown));
    assert_eq!(thrown.throw("no"), Err("no"));
    assert_eq!((thrown.next(), thrown.take_return()), (None, None));
}

/// A generator that panicked is at its end.
#[test]
fn one_that_panicked_is_at_its_end() {
    let mut panics = pin!(generator(async |co: &mut Co<'_, u8>| {
        let _ = co.yield_(1).await;
        panic!("on purpose");
    }));
    assert_eq!(panics.next(), Some(1));
    let caught = panic_of(|| panics.next());
    assert_eq!(caught.message, "on purpose");
    assert_eq!(panics.next(), None);
    assert!(panics.take_return().is_none());
}

/// Different bodies are one type once boxed, and owned generators compose as any iterator does.
#[test]
fn boxed_generators_compose() {
    type Numbers<'a> = BoxCoroutine<'a, u32, (), Result<(), Interrupt>>;
    fn evens<'a>() -> Numbers<'a> {
        generator(async |co| {
            for n in (0..).step_by(2) {
                co.yield_(n).await?;
            }
            Ok(())
        })
        .boxed()
    }
    fn doubled(numbers: Numbers<'_>) -> Numbers<'_> {
        generator(async move |co| {
            for n in numbers {
                co.yield_(2 * n).await?;
            }
            Ok(())
        })
        .boxed()
    }
    let zipped: Vec<_> = evens().zip(doubled(evens())).skip(1).take(2).collect();
    assert_eq!(zipped, [(2, 4), (4, 8)]);
}

/// An iterator has no task to wait in: a body that awaits somebody else panics, and is not lost.
#[test]
fn a_body_that_awaits_somebody_else_panics_in_a_loop() {
    let mut waits = pin!(generator(async |co: &mut Co<'_, u8>| {
        tick().await;
        co.yield_(1).await
    }));
    let caught = panic_of(|| waits.next());
    assert!(
        caught
            .message
            .contains("awaits a future that is not one of its yields"),
        "{}",
        caught.message
    );
    assert_eq!(waits.state(), State::Awaiting);
    assert_eq!(common::run(waits.finish_step()), Yielded(1));
    assert_eq!(waits.next(), None);
    assert_eq!(waits.take_return(), Some(Ok(())));
}
