//! What becomes of a close or a throw that hits an inner body, for each thing it may do about it: Python's
//! `TestInterestingEdgeCases`. `docs/python-semantics.md`, D9.
#![cfg(feature = "alloc")]

use std::fmt::Write as _;
use std::pin::pin;

use antiphon_coroutine::{BoxCoroutine, Co, IgnoredClose, Interrupt, coroutine};
use expect_test::expect;

/// What the inner body does when it is hit.
#[derive(Clone, Copy, Debug)]
enum When {
    Propagates,
    RaisesOwn,
    RaisesClosed,
    Yields,
    Returns,
}

#[derive(Debug, PartialEq)]
enum Error {
    Closed,
    Thrown(&'static str),
    Own,
}

impl From<Interrupt<&'static str>> for Error {
    fn from(interrupt: Interrupt<&'static str>) -> Self {
        match interrupt {
            Interrupt::Closed => Self::Closed,
            Interrupt::Thrown(error) => Self::Thrown(error),
        }
    }
}

type Handle<'c> = Co<'c, &'static str, (), &'static str>;
type Outcome = Result<&'static str, Error>;
type Outer<'a> = BoxCoroutine<'a, &'static str, (), Outcome, &'static str>;

async fn inner(co: &mut Handle<'_>, when: When) -> Outcome {
    let Err(hit) = co.yield_("asleep").await else {
        return Ok("was sent to");
    };
    match when {
        When::Propagates => Err(hit.into()),
        When::RaisesOwn => Err(Error::Own),
        When::RaisesClosed => Err(Error::Closed),
        When::Yields => match co.yield_("more").await {
            Ok(()) => Ok("went on"),
            Err(again) => Err(again.into()),
        },
        When::Returns => Ok("v"),
    }
}

fn by_call(when: When, seen: &mut Option<String>) -> Outer<'_> {
    let outer = async move |co: &mut Handle<'_>, ()| {
        let result = inner(co, when).await;
        *seen = Some(format!("{result:?}"));
        result
    };
    coroutine(outer).boxed()
}

fn by_object(when: When, seen: &mut Option<String>) -> Outer<'_> {
    let outer = async move |co: &mut Handle<'_>, ()| {
        let mut object = pin!(coroutine(async |co: &mut Handle<'_>, ()| {
            inner(co, when).await
        }));
        let result = co.delegate(object.as_mut(), ()).await;
        *seen = Some(format!("{result:?}"));
        result
    };
    coroutine(outer).boxed()
}

/// Says what the outer heard from its await, what its driver heard, and whether the outer has ended.
fn cell(make: fn(When, &mut Option<String>) -> Outer<'_>, when: When, close: bool) -> String {
    let mut seen = None;
    let mut outer = make(when, &mut seen);
    assert_eq!(outer.send(()).yielded(), Some("asleep"));
    let driver = if close {
        match outer.close() {
            Ok(answer) => format!("{:?}", answer.expect("it was suspended")),
            Err(IgnoredClose(value)) => format!("IgnoredClose({value:?})"),
        }
    } else {
        format!("{:?}", outer.throw("e").expect("it was started"))
    };
    let state = outer.state();
    drop(outer);
    let seen = seen.unwrap_or_else(|| "nothing yet".to_string());
    format!("await: {seen}; driver: {driver}; {state}")
}

/// D9. `test_yield_from.py` `TestInterestingEdgeCases.test_close_and_throw_work`, `_raise_generator_exit`,
/// `_raise_stop_iteration`, `_raise_base_exception`, `_raise_exception`, `_yield`, `_return`. The columns are ours:
/// there is one kind of throw, and no end-of-iteration exception that could be thrown. A call and an object must agree.
#[test]
fn the_matrix() {
    let mut table = String::new();
    let rows = [
        When::Propagates,
        When::RaisesOwn,
        When::RaisesClosed,
        When::Yields,
        When::Returns,
    ];
    for when in rows {
        writeln!(table, "{when:?}").unwrap();
        for (column, close) in [("close()", true), ("throw(e)", false)] {
            let [call, object] = [by_call, by_object].map(|make| cell(make, when, close));
            assert_eq!(
                call, object,
                "{when:?}, {column}: a call and an object differ"
            );
            writeln!(table, "  {column:8} {call}").unwrap();
        }
    }
    expect![[r#"
        Propagates
          close()  await: Err(Closed); driver: Err(Closed); closed
          throw(e) await: Err(Thrown("e")); driver: Complete(Err(Thrown("e"))); closed
        RaisesOwn
          close()  await: Err(Own); driver: Err(Own); closed
          throw(e) await: Err(Own); driver: Complete(Err(Own)); closed
        RaisesClosed
          close()  await: Err(Closed); driver: Err(Closed); closed
          throw(e) await: Err(Closed); driver: Complete(Err(Closed)); closed
        Yields
          close()  await: nothing yet; driver: IgnoredClose("more"); suspended
          throw(e) await: nothing yet; driver: Yielded("more"); suspended
        Returns
          close()  await: Ok("v"); driver: Ok("v"); closed
          throw(e) await: Ok("v"); driver: Complete(Ok("v")); closed
    "#]]
    .assert_eq(&table);
}

/// D9, the row "yields": what the inner makes of the resumption after that.
#[test]
fn after_a_value_in_answer_to_a_close_the_inner_goes_on() {
    for make in [by_call, by_object] {
        let mut seen = None;
        let mut outer = make(When::Yields, &mut seen);
        assert_eq!(outer.send(()).yielded(), Some("asleep"));
        assert_eq!(outer.close(), Err(IgnoredClose("more")));
        assert_eq!(outer.send(()).complete(), Some(Ok("went on")));
        drop(outer);
        assert_eq!(seen.as_deref(), Some(r#"Ok("went on")"#));
    }
}
