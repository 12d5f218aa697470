//! Looking at a coroutine while it sleeps: state, lines, name. `docs/python-semantics.md`, I1-I7.
#![cfg(feature = "alloc")]

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::panic::Location;
use std::pin::pin;

use antiphon_coroutine::CoroutineState::Yielded;
use antiphon_coroutine::{Co, Interrupt, Snapshot, State, coroutine, generator};
use expect_test::expect;
use futures_util::FutureExt as _;

use common::{Gate, Trace, panic_of, run};

fn line(at: Option<&'static Location<'static>>) -> Option<u32> {
    at.map(|at| {
        assert_eq!(at.file(), file!());
        at.line()
    })
}

/// I1. `test_coroutines.py` `test_cr_await`; `test_generators.py` `YieldFromTests.test_generator_gi_yieldfrom`. What a
/// coroutine sleeps at is a line of source, that of the innermost yield.
#[test]
fn the_location_is_the_line_of_the_innermost_yield() {
    async fn helper(co: &mut Co<'_, u32>) -> Result<(), Interrupt> {
        co.yield_(line!()).await
    }
    let mut c = generator(async |co| -> Result<(), Interrupt> {
        co.yield_(line!()).await?;
        helper(co).await?;
        let mut object = pin!(generator(helper));
        co.delegate(object.as_mut(), ()).await?;
        let later = co.yield_(line!());
        // Asked here, but the line is where the value was said.
        later.await
    })
    .boxed();
    assert_eq!(c.location(), None);
    while let Yielded(expected) = c.send(()) {
        assert_eq!(line(c.location()), Some(expected));
    }
    assert_eq!(c.location(), None);
}

/// I1. There is none after a close, and none after a panic.
#[test]
fn there_is_no_location_once_it_is_over() {
    let mut closed = pin!(generator(async |co| -> Result<(), Interrupt> {
        co.yield_(line!()).await
    }));
    let expected = closed.next();
    assert_eq!(line(closed.location()), expected);
    let _ = closed.close();
    assert_eq!(closed.location(), None);

    let mut panicked = pin!(generator(async |co: &mut Co<'_, u32>| {
        let _ = co.yield_(line!()).await;
        panic!("on purpose");
    }));
    let expected = panicked.next();
    assert_eq!(line(panicked.location()), expected);
    panic_of(|| panicked.next());
    assert_eq!(panicked.location(), None);
}

/// I2. `test_inspect.py` `TestGetCoroutineState.test_suspended`, `test_closed_after_exhaustion`,
/// `test_closed_after_immediate_exception`, `test_closed_after_close`, `test_easy_debugging`; `TestGetGeneratorState`.
#[test]
fn the_state_follows_the_life() {
    let one_yield = || generator(async |co| -> Result<(), Interrupt<()>> { co.yield_(1).await });

    let mut exhausted = pin!(one_yield());
    assert_eq!(exhausted.state(), State::Created);
    assert!(!exhausted.is_finished());
    let _ = exhausted.send(());
    assert_eq!(exhausted.state(), State::Suspended);
    assert!(!exhausted.is_finished());
    let _ = exhausted.send(());
    assert_eq!(exhausted.state(), State::Closed);
    assert!(exhausted.is_finished());

    let mut thrown = pin!(one_yield());
    let _ = thrown.send(());
    let _ = thrown.throw(());
    assert_eq!(thrown.state(), State::Closed);

    let mut closed = pin!(one_yield());
    let _ = closed.close();
    assert_eq!(closed.state(), State::Closed);

    let mut panicked = pin!(generator(async |_: &mut Co<'_, ()>| panic!("on purpose")));
    panic_of(|| panicked.send(()));
    assert_eq!(panicked.state(), State::Panicked);
    assert!(panicked.is_finished());

    let names = [
        State::Created,
        State::Suspended,
        State::Awaiting,
        State::Closed,
        State::Panicked,
    ]
    .map(|state| state.to_string());
    assert_eq!(
        names,
        ["created", "suspended", "awaiting", "closed", "panicked"]
    );
}

/// I2. `test_inspect.py` `TestGetAsyncGenState`. `Awaiting` is ours: asleep, but at somebody else's future.
#[test]
fn a_step_that_waits_for_somebody_else_is_awaiting() {
    let gate = Gate::default();
    let mut c = pin!(generator(async |co| -> Result<(), Interrupt> {
        gate.wait().await;
        co.yield_(line!()).await
    }));
    assert!(c.asend(()).now_or_never().is_none());
    assert_eq!((c.state(), c.location()), (State::Awaiting, None));
    assert!(!c.is_finished());
    gate.open();
    let expected = run(c.finish_step()).yielded();
    assert_eq!(c.state(), State::Suspended);
    assert_eq!(line(c.location()), expected);
}

/// I3. `test_yield_from.py` `test_delegating_generators_claim_to_be_running`. Nobody can look while a body runs, so there
/// is no `Running`. What can be looked at in the middle of an outer's step is an inner that it holds.
#[test]
fn an_inner_is_looked_at_by_its_outer_between_its_steps() {
    let mut outer = pin!(generator(async |co: &mut Co<'_, Snapshot>| {
        let mut inner = generator(async |co: &mut Co<'_, u8>| co.yield_(1).await)
            .with_name("inner")
            .boxed();
        co.yield_(inner.snapshot()).await?;
        let _ = inner.send(());
        co.yield_(inner.snapshot()).await?;
        let _ = inner.close();
        co.yield_(inner.snapshot()).await
    }));
    let states: Vec<_> = outer.by_ref().map(|inner| inner.state).collect();
    assert_eq!(states, [State::Created, State::Suspended, State::Closed]);
}

/// I4. `test_coroutines.py` `test_cr_frame_after_close`; `test_generators.py` `test_close_releases_frame_locals`.
#[test]
fn closing_releases_the_locals_at_once() {
    let trace = Trace::default();
    let mut holds = pin!(generator(async |co: &mut Co<'_, u8>| {
        let _local = trace.guard("local");
        co.yield_(1).await
    }));
    assert_eq!(holds.next(), Some(1));
    assert_eq!(holds.close(), Ok(Some(Err(Interrupt::Closed))));
    assert_eq!(trace.take(), ["drop local"]);
    assert_eq!(holds.state(), State::Closed);
}

/// I5. `test_generators.py` `test_name`; `test_asyncgen.py` `test_async_gen_api_01`. The name can be given once, before the
/// coroutine is pinned.
#[test]
fn the_name_is_the_bodys_path_or_the_one_given() {
    async fn named(_: &mut Co<'_, ()>) {}
    assert_eq!(
        generator(named).name(),
        concat!(
            module_path!(),
            "::the_name_is_the_bodys_path_or_the_one_given::named"
        )
    );
    let closure = coroutine(async |_: &mut Co<'_, ()>, ()| {});
    assert!(closure.name().starts_with(concat!(
        module_path!(),
        "::the_name_is_the_bodys_path_or_the_one_given::{{closure}}"
    )));
    let closure = closure.with_name("Ada");
    assert_eq!(closure.name(), "Ada");
    assert_eq!(closure.boxed().name(), "Ada");
}

/// I6. `test_coroutines.py` `OriginTrackingTest.test_origin_tracking`. Always tracked, and one line deep: whoever wraps
/// the constructor passes the blame on with `#[track_caller]`.
#[test]
fn the_origin_is_the_line_where_it_was_made() {
    #[track_caller]
    fn wrapper() -> u32 {
        generator(async |_: &mut Co<'_, ()>| {}).origin().line()
    }
    let (made, expected) = (coroutine(async |_: &mut Co<'_, ()>, ()| {}), line!());
    assert_eq!(line(Some(made.origin())), Some(expected));
    let (made, expected) = (generator(async |_: &mut Co<'_, ()>| {}), line!());
    assert_eq!(line(Some(made.origin())), Some(expected));
    let mut boxed = made.boxed();
    assert_eq!(line(Some(boxed.origin())), Some(expected));
    let _ = boxed.send(());
    assert_eq!(line(Some(boxed.origin())), Some(expected));
    assert_eq!((wrapper(), line!()), (line!(), line!()));
}

/// I7. `test_inspect.py` `test_getcoroutinelocals`. There is no list of locals: a snapshot, and `Debug`, tell the rest.
#[test]
fn debug_shows_what_is_known() {
    async fn body(co: &mut Co<'_, u8>) -> Result<(), Interrupt> {
        co.yield_(1).await
    }
    let mut boxed = generator(body).with_name("boxed").boxed();
    let mut pinned = pin!(generator(body).with_name("pinned"));
    let mut shown = vec![format!("{boxed:?}"), format!("{pinned:?}")];
    let _ = (boxed.send(()), pinned.send(()));
    shown.extend([format!("{boxed:?}"), format!("{pinned:?}")]);
    let asleep_at = boxed.location().map(ToString::to_string).unwrap();
    let _ = (boxed.send(()), pinned.send(()));
    shown.extend([format!("{boxed:?}"), format!("{pinned:?}")]);
    let shown = shown.join("\n").replace(&asleep_at, "LOCATION");
    let shown = shown.replace(&boxed.origin().to_string(), "ORIGIN");
    let shown = shown.replace(&pinned.origin().to_string(), "ORIGIN");
    expect![[r#"
        BoxCoroutine { name: "boxed", state: Created, origin: ORIGIN }
        Coroutine { name: "pinned", state: Created, origin: ORIGIN }
        BoxCoroutine { name: "boxed", state: Suspended, location: LOCATION, origin: ORIGIN }
        Coroutine { name: "pinned", state: Suspended, location: LOCATION, origin: ORIGIN }
        BoxCoroutine { name: "boxed", state: Closed, origin: ORIGIN }
        Coroutine { name: "pinned", state: Closed, origin: ORIGIN }"#]]
    .assert_eq(&shown);
}

/// I7. The snapshot is the same as what each method says.
#[test]
fn the_snapshot_agrees_with_the_methods() {
    let mut c = pin!(generator(async |co: &mut Co<'_, u8>| co.yield_(1).await));
    loop {
        let snapshot = c.snapshot();
        assert_eq!(snapshot.state, c.state());
        assert_eq!(snapshot.name, c.name());
        assert_eq!(snapshot.origin, c.origin());
        assert_eq!(snapshot.location, c.location());
        if c.next().is_none() {
            assert_eq!(c.snapshot().state, State::Closed);
            break;
        }
    }
}
