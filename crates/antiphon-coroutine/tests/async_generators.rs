//! Coroutines whose bodies also await other futures: `asend`, `athrow`, `aclose`, streams, and the wakers in between.
//! `docs/python-semantics.md`, F1-F7 and A1-A13.
#![cfg(all(feature = "alloc", feature = "stream"))]

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::cell::Cell;
use std::future::{Future, ready};
use std::pin::pin;
use std::task::Poll;

use antiphon_coroutine::CoroutineState::{Complete, Yielded};
use antiphon_coroutine::{
    Co, IgnoredClose, Interrupt, SendBoxCoroutine, State, coroutine, generator,
};
use futures_util::FutureExt as _;
use futures_util::future::{Either, join, join_all, select};
use futures_util::stream::{FusedStream, FuturesUnordered, StreamExt};

use common::{Gate, Trace, Wakes, panic_of, poll_once, poll_with, run, tick};

async fn ticks(co: &mut Co<'_, u32>) -> Result<&'static str, Interrupt> {
    for n in 0..3 {
        tick().await;
        co.yield_(n).await?;
        tick().await;
    }
    Ok("end")
}

/// F1. `test_coroutines.py` `test_for_1`, `_2`, `_3`, `_7`, `_8`. A generator is seen as a stream; there is no second object
/// to ask for, and no wrong one to get.
#[test]
fn a_generator_can_be_seen_as_a_stream() {
    fn is_a_stream<S: FusedStream<Item = u32>>(_: &S) {}
    is_a_stream(&pin!(generator(ticks)).stream());
    is_a_stream(&generator(ticks).boxed().stream());
    is_a_stream(&generator(ticks).boxed_send().into_stream());
    assert_eq!(
        run(generator(ticks).boxed().into_stream().collect::<Vec<_>>()),
        [0, 1, 2]
    );
}

/// F2. `test_coroutines.py` `test_for_1`, `test_for_6`.
#[test]
fn each_turn_of_the_loop_awaits_the_next_value_and_the_end_ends_it() {
    let trace = Trace::default();
    run(async {
        let mut stream = pin!(generator(ticks));
        while let Some(n) = stream.stream().next().await {
            trace.note(n);
        }
        trace.note(format_args!("else: {:?}", stream.take_return()));
    });
    assert_eq!(trace.take(), ["0", "1", "2", r#"else: Some(Ok("end"))"#]);
}

/// F4. `test_coroutines.py` `test_for_tuple`, `test_for_stop_iteration`: items that look like an end are items.
#[test]
fn items_may_look_like_an_end() {
    let stream = generator(async |co| -> Result<(), Interrupt> {
        for item in [None, Some((1, 2)), None] {
            co.yield_(item).await?;
        }
        Ok(())
    });
    let items = run(pin!(stream).stream().collect::<Vec<_>>());
    assert_eq!(items, [None, Some((1, 2)), None]);
}

/// F5. `test_coroutines.py` `test_for_assign_raising_stop_async_iteration`, `_2`: another iteration's end, met in the body
/// of the loop, is not this one's.
#[test]
fn another_streams_end_does_not_end_the_loop() {
    let seen = run(async {
        let mut stream = pin!(generator(ticks));
        let mut exhausted = pin!(generator(async |_: &mut Co<'_, u32>| ()));
        let mut seen = Vec::new();
        while let Some(n) = stream.stream().next().await {
            seen.push((n, exhausted.stream().next().await));
        }
        seen
    });
    assert_eq!(seen, [(0, None), (1, None), (2, None)]);
}

/// F6. `test_asyncgen.py` `test_async_gen_asyncio_shutdown_02`.
#[test]
fn leaving_the_loop_leaves_the_stream_suspended() {
    run(async {
        let mut stream = pin!(generator(ticks));
        while let Some(n) = stream.stream().next().await {
            if n == 1 {
                break;
            }
        }
        assert_eq!(stream.state(), State::Suspended);
        assert_eq!(stream.stream().next().await, Some(2));
        assert_eq!(stream.aclose().await, Ok(Some(Err(Interrupt::Closed))));
        assert!(stream.stream().is_terminated());
    });
}

/// F7. `test_coroutines.py` `test_comp_1` to `_10`, `test_nested_comp`: comprehensions are adaptors.
#[test]
fn comprehensions_are_adaptors() {
    let pairs = generator(ticks).boxed().into_stream().flat_map(|x| {
        generator(ticks)
            .boxed()
            .into_stream()
            .filter(move |&y| ready(y != x))
            .map(move |y| (x, y))
    });
    let pairs = run(pairs.collect::<Vec<_>>());
    assert_eq!(pairs, [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]);
}

/// A1. `test_asyncgen.py` `test_async_gen_await_same_anext_coro_twice`, `_await_same_aclose_coro_twice`,
/// `_throw_same_aclose_coro_twice`. Each is a future: used up when it resolved, and it says so. The coroutine is unharmed.
#[test]
fn the_future_of_a_step_is_single_use() {
    let mut doubles = pin!(coroutine(
        async |co, mut x: u32| -> Result<(), Interrupt<()>> {
            loop {
                x = co.yield_(2 * x).await?;
            }
        }
    ));
    let mut step = Box::pin(doubles.asend(1));
    assert_eq!(run(step.as_mut()), Yielded(2));
    panic_of(|| run(step.as_mut()));
    drop(step);
    assert_eq!(doubles.state(), State::Suspended);
    assert_eq!(run(doubles.asend(2)), Yielded(4));

    let mut step = Box::pin(doubles.athrow(()));
    assert!(run(step.as_mut()).is_ok());
    panic_of(|| run(step.as_mut()));
    drop(step);
    assert_eq!(doubles.state(), State::Closed);

    let mut step = Box::pin(doubles.aclose());
    assert_eq!(run(step.as_mut()), Ok(None));
    panic_of(|| run(step.as_mut()));
}

/// A2. `test_asyncgen.py` `test_async_gen_iteration_01`, `_02`.
#[test]
fn a_yield_ends_the_step_and_an_await_goes_through_to_the_task() {
    let gate = Gate::default();
    let mut c = pin!(coroutine(async |co, x: u32| -> Result<u32, Interrupt> {
        gate.wait().await;
        co.yield_(x).await
    }));
    let (count, waker) = Wakes::new();
    let mut step = Box::pin(c.asend(1));
    assert!(poll_with(step.as_mut(), &waker).is_pending());
    assert_eq!(count.take(), 0);
    gate.open();
    assert_eq!(count.take(), 1);
    assert_eq!(poll_with(step.as_mut(), &waker), Poll::Ready(Yielded(1)));
    drop(step);
    assert_eq!(c.state(), State::Suspended);

    // A yield needs nobody's waker: the next step goes on at once.
    let mut step = pin!(c.asend(2));
    assert_eq!(
        poll_with(step.as_mut(), &waker),
        Poll::Ready(Complete(Ok(2)))
    );
    assert_eq!(count.take(), 0);
}

/// A3. `test_asyncgen.py` `test_async_gen_anext_04`, `_06`.
#[test]
fn the_end_is_the_end_for_ever() {
    run(async {
        let mut stream = pin!(generator(ticks));
        assert!(!stream.stream().is_terminated());
        while stream.stream().next().await.is_some() {}
        for _ in 0..3 {
            assert!(stream.stream().is_terminated());
            assert_eq!(stream.stream().next().await, None);
        }
    });
}

/// A4, which differs as C3 does. `test_asyncgen.py` `test_async_gen_exception_10`.
#[test]
fn the_first_value_asent_is_the_argument() {
    let mut c = pin!(coroutine(async |co, x: u32| -> Result<(), Interrupt> {
        tick().await;
        co.yield_(x).await.map(drop)
    }));
    assert_eq!(run(c.asend(42)), Yielded(42));
}

/// A5. `test_asyncgen.py` `test_async_gen_asyncio_asend_01` to `_03`, `test_async_gen_asyncio_anext_05`.
#[test]
fn a_value_asent_is_what_the_yield_resolves_to() {
    let mut sum = pin!(coroutine(
        async |co, mut sum: u32| -> Result<u32, Interrupt> {
            while sum < 100 {
                tick().await;
                sum += co.yield_(sum).await?;
            }
            Ok(sum)
        }
    ));
    run(async {
        assert_eq!(sum.asend(1).await, Yielded(1));
        assert_eq!(sum.asend(20).await, Yielded(21));
        assert_eq!(sum.asend(300).await, Complete(Ok(321)));
    });
}

/// A6. `test_asyncgen.py` `test_async_gen_asyncio_athrow_01` to `_03`.
#[test]
fn athrow_arrives_at_the_yield_and_its_handler_may_await() {
    type Body = Result<&'static str, Interrupt<&'static str>>;
    let mut c = pin!(coroutine(async |co: &mut Co<'_, u32, u32, _>, x| -> Body {
        match co.yield_(x).await {
            Err(Interrupt::Thrown("recoverable")) => {
                tick().await;
                co.yield_(99).await?;
                Ok("recovered")
            }
            other => other.map(|_| "sent to"),
        }
    }));
    run(async {
        assert_eq!(c.asend(1).await, Yielded(1));
        assert_eq!(c.athrow("recoverable").await, Ok(Yielded(99)));
        assert_eq!(
            c.athrow("fatal").await,
            Ok(Complete(Err(Interrupt::Thrown("fatal"))))
        );
    });

    // Unstarted, it comes back and the body never runs; into a finished one it does not vanish, as in Python, but panics.
    let ran = Cell::new(false);
    let mut unstarted = pin!(coroutine(
        async |co: &mut Co<'_, u32, u32, &str>, x| -> Result<(), Interrupt<&str>> {
            ran.set(true);
            co.yield_(x).await.map(drop)
        }
    ));
    assert_eq!(run(unstarted.athrow("no")), Err("no"));
    assert_eq!(unstarted.state(), State::Closed);
    assert!(!ran.get());
    let (caught, line) = (panic_of(|| drop(unstarted.athrow("no"))), line!());
    assert!(caught.message.starts_with("`athrow` on coroutine `"));
    assert_eq!((caught.file.as_str(), caught.line), (file!(), line));
}

/// A7. `test_asyncgen.py` `test_async_gen_asyncio_aclose_06` to `_12`, `_aclose_twice_with_different_coros`,
/// `_aclose_after_exhaustion`.
#[test]
fn aclose_waits_for_the_clean_up() {
    let trace = Trace::default();
    let mut c = pin!(generator(async |co: &mut Co<'_, u32>| {
        let closed = co.yield_(1).await;
        trace.note("clean-up begins");
        tick().await;
        trace.note("clean-up ends");
        closed.is_err()
    }));
    run(async {
        assert_eq!(c.asend(()).await, Yielded(1));
        assert_eq!(c.aclose().await, Ok(Some(true)));
        // Again, and after the end, it does nothing.
        assert_eq!(c.aclose().await, Ok(None));
        assert_eq!(c.aclose().await, Ok(None));
    });
    assert_eq!(trace.take(), ["clean-up begins", "clean-up ends"]);

    // Unstarted: the body never runs.
    let mut unstarted = pin!(generator(async |_: &mut Co<'_, u32>| trace.note("ran")));
    assert_eq!(run(unstarted.aclose()), Ok(None));
    assert_eq!(unstarted.state(), State::Closed);
    assert_eq!(trace.take(), [""; 0]);

    // A yield in the clean-up ignores the close, and leaves it suspended.
    let mut stubborn = pin!(generator(async |co: &mut Co<'_, u32>| {
        let _ = co.yield_(1).await;
        tick().await;
        co.yield_(2).await
    }));
    run(async {
        assert_eq!(stubborn.asend(()).await, Yielded(1));
        assert_eq!(stubborn.aclose().await, Err(IgnoredClose(2)));
        assert_eq!(stubborn.state(), State::Suspended);
        assert_eq!(stubborn.aclose().await, Ok(Some(Err(Interrupt::Closed))));
    });
}

/// A8. `test_asyncgen.py` `test_async_gen_exception_12`, `_asend_throw_concurrent_with_send`; `TestUnawaitedWarnings`
/// `test_asend_send_already_running`. Two steps at once would need two `&mut`. One after a step that was dropped in the
/// middle is refused where it is called, and harms nothing.
#[test]
fn a_step_is_refused_in_the_middle_of_another() {
    let gate = Gate::default();
    let mut c = pin!(coroutine(
        async |co: &mut Co<'_, u32, u32, ()>, x| -> Result<u32, Interrupt<()>> {
            gate.wait().await;
            co.yield_(x).await
        }
    ));
    assert!(c.asend(1).now_or_never().is_none());
    let refusals = [
        (panic_of(|| drop(c.asend(2))), line!(), "`asend`"),
        (panic_of(|| c.send(2)), line!(), "`send`"),
        (panic_of(|| c.throw(())), line!(), "`throw`"),
    ];
    for (caught, line, method) in refusals {
        assert!(caught.message.starts_with(method), "{}", caught.message);
        assert!(
            caught.message.contains("in the middle of a step"),
            "{}",
            caught.message
        );
        assert_eq!((caught.file.as_str(), caught.line), (file!(), line));
    }
    assert_eq!(c.state(), State::Awaiting);
    gate.open();
    assert_eq!(run(c.finish_step()), Yielded(1));
    let caught = panic_of(|| drop(c.finish_step()));
    assert!(caught.message.contains("which is suspended"));
}

/// A9. `test_asyncgen.py` `test_async_gen_exception_05`, `_06`. There is no exception that could be taken for the end: an
/// error of the body is its return value, which a stream keeps.
#[test]
fn an_error_of_the_body_is_kept_for_take_return() {
    let mut fails = pin!(generator(async |co: &mut Co<'_, u32>| {
        let _ = co.yield_(1).await;
        tick().await;
        Err::<(), _>("broken pipe")
    }));
    run(async {
        assert_eq!(fails.stream().next().await, Some(1));
        assert_eq!(fails.stream().next().await, None);
    });
    assert_eq!(fails.take_return(), Some(Err("broken pipe")));
}

/// A10, which differs. `test_asyncgen.py` `test_async_gen_asend_close_runtime_error`, `_athrow_close_runtime_error`. Python's
/// `close` on a step in flight throws into the body. Here a step that is dropped leaves the body in the middle, and the
/// value delivered; `finish_step` waits for the rest, `aclose` closes instead.
#[test]
fn a_step_dropped_in_flight_can_be_finished_or_closed() {
    let trace = Trace::default();
    let gate = Gate::default();
    let waits = async |co: &mut Co<'_, u32, u32>, x: u32| {
        trace.note(format_args!("got {x}"));
        gate.wait().await;
        co.yield_(x).await
    };
    let mut finished = pin!(coroutine(waits));
    assert!(finished.asend(1).now_or_never().is_none());
    assert_eq!(finished.state(), State::Awaiting);
    assert!(finished.finish_step().now_or_never().is_none());

    let mut closed = pin!(coroutine(waits));
    assert!(closed.asend(2).now_or_never().is_none());
    assert!(closed.aclose().now_or_never().is_none());

    gate.open();
    assert_eq!(run(finished.finish_step()), Yielded(1));
    // The close was delivered, so the yield hears it instead of asking.
    assert_eq!(run(closed.aclose()), Ok(Some(Err(Interrupt::Closed))));
    assert_eq!(trace.take(), ["got 1", "got 2"]);
}

/// A10. An `aclose` that is dropped goes on where it was when it is called again.
#[test]
fn aclose_is_resumed_by_another_aclose() {
    let gate = Gate::default();
    let mut c = pin!(generator(async |co: &mut Co<'_, u32>| {
        let heard = co.yield_(1).await;
        gate.wait().await;
        heard
    }));
    assert_eq!(run(c.asend(())), Yielded(1));
    assert!(c.aclose().now_or_never().is_none());
    assert_eq!(c.state(), State::Awaiting);
    gate.open();
    assert_eq!(run(c.aclose()), Ok(Some(Err(Interrupt::Closed))));
}

/// A10. The same for a synchronous `close` that met a foreign future: it panics, and the close is not lost.
#[test]
fn a_close_that_cannot_wait_is_not_lost() {
    let mut c = pin!(generator(async |co: &mut Co<'_, u32>| {
        let first = co.yield_(1).await;
        tick().await;
        (first, co.yield_(2).await)
    }));
    assert_eq!(c.send(()), Yielded(1));
    let (caught, line) = (panic_of(|| c.close()), line!());
    assert!(
        caught
            .message
            .contains("`close` cannot wait for it: use `aclose`")
    );
    assert_eq!((caught.file.as_str(), caught.line), (file!(), line));
    assert_eq!(c.state(), State::Awaiting);
    // The first yield has heard it, so the second one is asked: it ignores the close.
    assert_eq!(run(c.finish_step()), Yielded(2));
    assert_eq!(
        c.close(),
        Ok(Some((Err(Interrupt::Closed), Err(Interrupt::Closed))))
    );
}

/// A11. `test_asyncgen.py` `test_async_gen_api_01`; `test_inspect.py` `TestGetAsyncGenState.test_running`. What Python calls
/// running, asleep at an await in the middle of a step, is `Awaiting`.
#[test]
fn a_step_in_flight_reads_awaiting() {
    let gate = Gate::default();
    let mut c = generator(async |co: &mut Co<'_, u32>| {
        gate.wait().await;
        co.yield_(1).await
    })
    .boxed();
    assert_eq!(c.state(), State::Created);
    assert!(c.stream().next().now_or_never().is_none());
    assert_eq!(c.state(), State::Awaiting);
    // A `next` that was dropped lost nothing: another goes on.
    gate.open();
    assert_eq!(run(c.stream().next()), Some(1));
    assert_eq!(c.state(), State::Suspended);
    assert_eq!(run(c.stream().next()), None);
    assert_eq!(c.state(), State::Closed);
}

/// A12, which differs. `test_asyncgen.py` `test_async_gen_asyncio_gc_aclose_09`, `_shutdown_01`, `_02`. There are no hooks:
/// a drop runs destructors, and clean-up that awaits needs `aclose`.
#[test]
fn dropping_a_stream_runs_destructors_and_no_clean_up() {
    let trace = Trace::default();
    let mut stream = generator(async |co: &mut Co<'_, u32>| {
        let _guard = trace.guard("frame");
        let heard = co.yield_(1).await;
        trace.note("clean-up");
        heard
    })
    .boxed();
    assert_eq!(run(stream.stream().next()), Some(1));
    drop(stream);
    assert_eq!(trace.take(), ["drop frame"]);
}

/// Waiting for a clean-up by a second `aclose` told the body a second time, and dropped what its clean-up yielded.
#[test]
fn a_second_aclose_only_waits() {
    let gate = Gate::default();
    let mut cleans = pin!(generator(async |co: &mut Co<'_, u8>| {
        let _ = co.yield_(1).await;
        gate.wait().await;
        co.yield_(2).await
    }));
    assert_eq!(cleans.next(), Some(1));
    assert!(cleans.aclose().now_or_never().is_none());
    assert!(cleans.aclose().now_or_never().is_none());
    gate.open();
    assert_eq!(run(cleans.aclose()), Err(IgnoredClose(2)));
    // That close is over. In the middle of a later step, another is another.
    assert_eq!(run(cleans.aclose()), Ok(Some(Err(Interrupt::Closed))));
}

/// A close that was ignored is over; in the middle of a later step the next one is delivered.
#[test]
fn a_close_after_an_ignored_one_is_delivered() {
    let gate = Gate::default();
    let mut stubborn = pin!(generator(async |co: &mut Co<'_, u8>| {
        assert_eq!(co.yield_(1).await, Err(Interrupt::Closed));
        assert_eq!(co.yield_(2).await, Ok(()));
        gate.wait().await;
        co.yield_(3).await
    }));
    assert_eq!(stubborn.next(), Some(1));
    assert_eq!(run(stubborn.aclose()), Err(IgnoredClose(2)));
    assert!(stubborn.asend(()).now_or_never().is_none());
    assert!(stubborn.aclose().now_or_never().is_none());
    gate.open();
    assert_eq!(run(stubborn.aclose()), Ok(Some(Err(Interrupt::Closed))));
}

/// With `StreamExt` in scope `next` was ambiguous, when a generator was an iterator and a stream at once.
#[test]
fn next_means_one_thing_with_stream_adaptors_in_scope() {
    let mut pinned = pin!(generator(async |co: &mut Co<'_, u8>| co.yield_(1).await));
    assert_eq!(pinned.next(), Some(1));
    let mut boxed = generator(async |co: &mut Co<'_, u8>| co.yield_(1).await).boxed();
    assert_eq!(boxed.by_ref().filter(|n| *n > 0).count(), 1);
}

/// A step polled after it resolved said that the coroutine "has finished".
#[test]
fn a_used_up_step_says_what_is_wrong() {
    let mut echo = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, x| co
        .yield_(x)
        .await));
    let mut step = Box::pin(echo.asend(1));
    assert_eq!(run(step.as_mut()), Yielded(1));
    let caught = panic_of(|| run(step.as_mut()));
    assert!(
        caught.message.contains("a step is awaited once"),
        "{}",
        caught.message
    );
}

/// A13. `test_asyncgen.py` `test_async_generator_anext`, `test_anext_iter`: the default replaces the end, and nothing else.
#[test]
fn a_default_replaces_only_the_end() {
    run(async {
        let mut stream = pin!(generator(ticks));
        for expected in [0, 1, 2, 7, 7] {
            assert_eq!(stream.stream().next().await.unwrap_or(7), expected);
        }
    });
}

/// A sub-executor polls its children with wakers of its own, and only those that were woken: it would never poll a yield
/// again if the coroutine did not wake that waker before it runs the body.
#[test]
fn a_yield_inside_a_sub_executor_is_woken() {
    let mut c = pin!(coroutine(async |co: &mut Co<'_, u32, u32>, x| {
        let mut children = FuturesUnordered::new();
        children.push(co.yield_(x));
        children.next().await
    }));
    assert_eq!(c.send(1), Yielded(1));
    assert_eq!(c.send(2), Complete(Some(Ok(2))));
}

/// The same for a helper that yields many times, beside branches that are not ours, in a task.
#[test]
fn a_conversation_inside_a_sub_executor_goes_on() {
    async fn counts(co: &mut Co<'_, u32, u32>, mut x: u32) -> Result<u32, Interrupt> {
        for _ in 0..3 {
            tick().await;
            x += co.yield_(x).await?;
        }
        Ok(x)
    }
    async fn foreign(gate: &Gate) -> Result<u32, Interrupt> {
        gate.wait().await;
        Ok(0)
    }
    let gate = Gate::default();
    let mut c = pin!(coroutine(async |co: &mut Co<'_, u32, u32>, x| {
        let children: [std::pin::Pin<Box<dyn Future<Output = _>>>; 2] =
            [Box::pin(counts(co, x)), Box::pin(foreign(&gate))];
        join_all(children).await
    }));
    run(async {
        assert_eq!(c.asend(1).await, Yielded(1));
        assert_eq!(c.asend(1).await, Yielded(2));
        assert_eq!(c.asend(1).await, Yielded(3));
        gate.open();
        assert_eq!(c.asend(1).await, Complete(vec![Ok(4), Ok(0)]));
    });
}

/// Interrupts wake a sub-executor's child too, and so does a step that only goes on.
#[test]
fn throw_close_and_finish_step_wake_a_sub_executor() {
    let gate = Gate::default();
    let body = async |co: &mut Co<'_, u32, (), &'static str>, ()| {
        let child = async {
            let first = co.yield_(1).await;
            gate.wait().await;
            (first, co.yield_(2).await)
        };
        let mut children = FuturesUnordered::from_iter([child]);
        children.next().await.expect("it has one child")
    };
    let mut c = pin!(coroutine(body));
    run(async {
        assert_eq!(c.asend(()).await, Yielded(1));
        assert!(c.athrow("e").now_or_never().is_none());
        gate.open();
        assert_eq!(c.finish_step().await, Yielded(2));
        let heard = (Err(Interrupt::Thrown("e")), Err(Interrupt::Closed));
        assert_eq!(c.aclose().await, Ok(Some(heard)));
    });
}

/// Two coroutines driven inside a third, by a sub-executor, each woken by its own.
#[test]
fn coroutines_inside_a_sub_executor_inside_a_coroutine() {
    async fn ask_twice(co: &mut Co<'_, u32, u32>, x: u32) -> Result<u32, Interrupt> {
        let y = co.yield_(x + 1).await?;
        tick().await;
        let z = co.yield_(y + 1).await?;
        Ok(x + y + z)
    }
    let mut outer = pin!(coroutine(async |co: &mut Co<'_, u32, u32>, x| {
        let mut inner = pin!(coroutine(ask_twice));
        let mut stream = pin!(generator(ticks));
        let (asked, streamed) = join(
            co.delegate(inner.as_mut(), x),
            stream.stream().collect::<Vec<_>>(),
        )
        .await;
        (asked, streamed)
    }));
    run(async {
        assert_eq!(outer.asend(1).await, Yielded(2));
        assert_eq!(outer.asend(20).await, Yielded(21));
        assert_eq!(outer.asend(300).await, Complete((Ok(321), vec![0, 1, 2])));
    });
}

/// A yield that loses a race retracts its value, and the body goes on with what won.
#[test]
fn a_yield_that_loses_a_race_in_the_same_poll_was_never_asked() {
    let mut c = pin!(coroutine(async |co: &mut Co<'_, u32, ()>, ()| {
        let asked = co.yield_(1);
        match select(asked, ready("won")).await {
            Either::Left(_) => "asked",
            Either::Right((won, asked)) => {
                drop(asked);
                won
            }
        }
    }));
    assert_eq!(run(c.asend(())), Complete("won"));
}

/// A yield that is asked beside something that ends later: the value goes out, and the race goes on when the coroutine is
/// resumed.
#[test]
fn a_race_goes_on_across_a_yield() {
    let gate = Gate::default();
    let mut c = pin!(coroutine(async |co: &mut Co<'_, u32, u32>, x| {
        let mut asked = co.yield_(x);
        assert!(poll_once(&mut asked).await.is_pending());
        let left = match select(pin!(gate.wait()), asked).await {
            Either::Left(_) => "the gate",
            Either::Right(_) => "the answer",
        };
        (left, co.yield_(10 * x).await)
    }));
    assert_eq!(run(c.asend(1)), Yielded(1));
    gate.open();
    assert_eq!(run(c.asend(2)), Yielded(10));
    assert_eq!(run(c.asend(3)), Complete(("the gate", Ok(3))));
}

/// A coroutine may be resumed under another task, and by another thread, at each step.
#[test]
fn it_may_change_task_and_thread_between_steps() {
    let mut c: SendBoxCoroutine<'_, u32, u32, Result<u32, Interrupt>> =
        coroutine(async |co: &mut Co<'_, u32, u32>, x| {
            let mut children = FuturesUnordered::new();
            children.push(co.yield_(x));
            let y = children.next().await.expect("it has one child")?;
            tick().await;
            Ok(x + y)
        })
        .boxed_send();
    assert_eq!(run(c.asend(1)), Yielded(1));
    let sum = std::thread::spawn(move || run(c.asend(2)));
    assert_eq!(sum.join().unwrap(), Complete(Ok(3)));
}

/// The waker that counts is the latest: a step that is polled by a new task wakes that one, not the first.
#[test]
fn the_latest_task_is_woken() {
    let gate = Gate::default();
    let mut c = pin!(generator(async |co: &mut Co<'_, u32>| {
        gate.wait().await;
        co.yield_(1).await
    }));
    let (first, first_waker) = Wakes::new();
    let (second, second_waker) = Wakes::new();
    let mut step = Box::pin(c.asend(()));
    assert!(poll_with(step.as_mut(), &first_waker).is_pending());
    assert!(poll_with(step.as_mut(), &second_waker).is_pending());
    gate.open();
    assert_eq!((first.take(), second.take()), (0, 1));
    assert_eq!(
        poll_with(step.as_mut(), &second_waker),
        Poll::Ready(Yielded(1))
    );
}
