//! Random conversations with random bodies, checked against a reference that is small enough to be believed.
//!
//! A [`Program`] is a list of things for a body to do. [`interpret`] is a real body that does them; [`Model`] says, from
//! Python's rules alone, what its driver must hear. Every value is a [`Token`] that is counted, so that each is dropped
//! exactly once and none is lost.
#![cfg(feature = "alloc")]

#[allow(dead_code, reason = "each test file uses its own part of it")]
mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;

use antiphon_coroutine::{
    BoxCoroutine, Co, Coroutine, CoroutineState, IgnoredClose, Interrupt, Snapshot, State,
    coroutine, generator,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use common::catch;

/// What a body does, one after the other; then it returns 0.
type Program = Vec<Op>;

#[derive(Clone, Debug)]
enum Op {
    /// Yields `value`, from `depth` helpers further in. `catches`: goes on after a throw. `ignores`: goes on after a close.
    Yield {
        value: u8,
        depth: u8,
        catches: bool,
        ignores: bool,
    },
    /// Hands the conversation to an inner object with a program of its own, and goes on when that one returns.
    Delegate(Program),
    /// Keeps a token until the body ends.
    Hold(u8),
    Return(u8),
    Panic,
}

/// What the driver does.
#[derive(Clone, Copy, Debug)]
enum Call {
    Send(u8),
    Throw(u8),
    Close,
}

/// What the driver hears.
#[derive(Debug, PartialEq)]
enum Answer {
    Yielded(u8),
    Returned(End),
    /// The error of a throw before the start.
    GaveBack(u8),
    NothingToClose,
    Ignored(u8),
    Panicked,
    /// The coroutine was finished: the call panics before it does anything.
    Refused,
}

/// How a body returns: with a value, or with the interrupt that it let through.
type End = Result<u8, Interrupt<u8>>;

// The reference.

/// A body as a flat list of steps and a place in it.
struct Model {
    steps: Vec<Step>,
    at: usize,
    state: State,
}

/// An [`Op`] with the delegations unrolled. `leave`: where to go on if an interrupt is let through; `None` at the top.
struct Step {
    op: Op,
    leave: Option<usize>,
}

impl Model {
    fn new(program: &Program) -> Self {
        let mut steps = Vec::new();
        flatten(program, &mut steps);
        Self {
            steps,
            at: 0,
            state: State::Created,
        }
    }

    fn call(&mut self, call: Call) -> Answer {
        match (self.state, call) {
            (State::Created, Call::Send(_)) => self.run(),
            (State::Created, Call::Throw(error)) => {
                self.state = State::Closed;
                Answer::GaveBack(error)
            }
            (State::Created, Call::Close) => {
                self.state = State::Closed;
                Answer::NothingToClose
            }
            (State::Suspended, Call::Send(_)) => {
                self.at += 1;
                self.run()
            }
            (State::Suspended, Call::Throw(error)) => self.interrupt(Interrupt::Thrown(error)),
            (State::Suspended, Call::Close) => match self.interrupt(Interrupt::Closed) {
                Answer::Yielded(value) => Answer::Ignored(value),
                other => other,
            },
            (_, Call::Close) => Answer::NothingToClose,
            (_, Call::Send(_) | Call::Throw(_)) => Answer::Refused,
        }
    }

    fn interrupt(&mut self, interrupt: Interrupt<u8>) -> Answer {
        let step = &self.steps[self.at];
        let Op::Yield {
            catches, ignores, ..
        } = step.op
        else {
            unreachable!("it sleeps at a yield")
        };
        if if interrupt.is_closed() {
            ignores
        } else {
            catches
        } {
            self.at += 1;
            return self.run();
        }
        // An outer body takes an inner's end, whatever it is, for the end of the delegation.
        match step.leave {
            Some(outer) => {
                self.at = outer;
                self.run()
            }
            None => self.end(Err(interrupt)),
        }
    }

    /// Goes on to the next yield.
    fn run(&mut self) -> Answer {
        while let Some(step) = self.steps.get(self.at) {
            match (&step.op, step.leave) {
                (&Op::Yield { value, .. }, _) => {
                    self.state = State::Suspended;
                    return Answer::Yielded(value);
                }
                (Op::Hold(_) | Op::Delegate(_), _) => self.at += 1,
                (Op::Return(_), Some(outer)) => self.at = outer,
                (&Op::Return(value), None) => return self.end(Ok(value)),
                (Op::Panic, _) => {
                    self.state = State::Panicked;
                    return Answer::Panicked;
                }
            }
        }
        self.end(Ok(0))
    }

    fn end(&mut self, end: End) -> Answer {
        self.state = State::Closed;
        Answer::Returned(end)
    }
}

fn flatten(program: &Program, steps: &mut Vec<Step>) {
    for op in program {
        let op = op.clone();
        match op {
            Op::Delegate(inner) => {
                // Where the inner's end leads is behind it; how long it is, is known once it is unrolled.
                let mut unrolled = Vec::new();
                flatten(&inner, &mut unrolled);
                let base = steps.len();
                let behind = base + unrolled.len();
                steps.extend(unrolled.into_iter().map(|step| Step {
                    leave: Some(step.leave.map_or(behind, |inner| base + inner)),
                    ..step
                }));
            }
            op => steps.push(Step { op, leave: None }),
        }
    }
}

// The real body.

/// A value that is counted.
#[derive(Debug)]
struct Token {
    value: u8,
    id: usize,
    ledger: Ledger,
}

/// How many tokens were made, and how often each was dropped.
#[derive(Clone, Debug, Default)]
struct Ledger(Rc<RefCell<(usize, BTreeMap<usize, u32>)>>);

impl Ledger {
    fn token(&self, value: u8) -> Token {
        let id = self.0.borrow().0;
        self.0.borrow_mut().0 += 1;
        let ledger = self.clone();
        Token { value, id, ledger }
    }

    fn assert_each_dropped_once(&self) {
        let (made, dropped) = &*self.0.borrow();
        assert_eq!(dropped.len(), *made, "a token was lost");
        assert!(
            dropped.values().all(|&n| n == 1),
            "a token was dropped twice"
        );
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        *self.ledger.0.borrow_mut().1.entry(self.id).or_default() += 1;
    }
}

type Return = Result<Token, Interrupt<Token>>;

/// What a body is sent: a token, or nothing.
trait Sent: 'static {
    fn make(value: u8, ledger: &Ledger) -> Self;
}

impl Sent for Token {
    fn make(value: u8, ledger: &Ledger) -> Self {
        ledger.token(value)
    }
}

impl Sent for () {
    fn make(_: u8, _: &Ledger) {}
}

type Handle<'c, S> = Co<'c, Token, S, Token>;

async fn interpret<S: Sent>(co: &mut Handle<'_, S>, program: &Program, ledger: &Ledger) -> Return {
    let mut held = Vec::new();
    for op in program {
        match op {
            &Op::Yield {
                value,
                depth,
                catches,
                ignores,
            } => match say(co, ledger.token(value), depth).await {
                Ok(()) => {}
                Err(Interrupt::Thrown(_)) if catches => {}
                Err(Interrupt::Closed) if ignores => {}
                Err(interrupt) => return Err(interrupt),
            },
            Op::Delegate(program) => {
                let inner = async |co: &mut Handle<'_, S>, _| interpret(co, program, ledger).await;
                // Boxed, because a program can hold programs.
                let mut inner = coroutine(inner).boxed();
                let first = S::make(0, ledger);
                let _ = co.delegate(inner.as_mut(), first).await;
            }
            &Op::Hold(value) => held.push(ledger.token(value)),
            &Op::Return(value) => return Ok(ledger.token(value)),
            Op::Panic => panic!("as programmed"),
        }
    }
    Ok(ledger.token(0))
}

/// Yields `value` from `depth` helpers further in.
async fn say<S>(co: &mut Handle<'_, S>, value: Token, depth: u8) -> Result<(), Interrupt<Token>> {
    if depth > 0 {
        return Box::pin(say(co, value, depth - 1)).await;
    }
    if value.value % 2 == 0 {
        co.yield_(said_at(line!(), value)).await.map(drop)
    } else {
        co.yield_(said_at(line!(), value)).await.map(drop)
    }
}

thread_local! {
    /// The line of the yield that spoke last, on this thread.
    static SAID_AT: Cell<u32> = const { Cell::new(0) };
}

fn said_at(line: u32, value: Token) -> Token {
    SAID_AT.set(line);
    value
}

// The driver.

/// Any form of the object: pinned or boxed, sent tokens or iterated.
trait Object {
    fn answer(&mut self, call: Call, ledger: &Ledger) -> Answer;
    fn look(&self) -> Snapshot;
}

macro_rules! object {
    ($type:ty $(, $F:ident)?; send: $send:expr) => {
        impl $(<$F: Future<Output = Return>>)? Object for $type {
            fn answer(&mut self, call: Call, ledger: &Ledger) -> Answer {
                match call {
                    Call::Send(value) => $send(self, value, ledger),
                    Call::Throw(error) => match self.throw(ledger.token(error)) {
                        Ok(state) => said(state),
                        Err(error) => Answer::GaveBack(error.value),
                    },
                    Call::Close => match self.close() {
                        Ok(Some(end)) => Answer::Returned(plain(end)),
                        Ok(None) => Answer::NothingToClose,
                        Err(IgnoredClose(token)) => Answer::Ignored(token.value),
                    },
                }
            }

            fn look(&self) -> Snapshot {
                assert_eq!(self.location(), self.snapshot().location);
                assert_eq!(
                    self.is_finished(),
                    matches!(self.state(), State::Closed | State::Panicked)
                );
                self.snapshot()
            }
        }
    };
}

object!(Pin<&mut Coroutine<F, Token, Token, Token>>, F;
    send: |this: &mut Self, value, ledger: &Ledger| said(this.send(ledger.token(value))));
object!(BoxCoroutine<'_, Token, Token, Return, Token>;
    send: |this: &mut Self, value, ledger: &Ledger| said(this.send(ledger.token(value))));
object!(Pin<&mut Coroutine<F, Token, (), Token>>, F;
    send: |this: &mut Self, _, _| iterated(this.next(), || this.take_return()));
object!(BoxCoroutine<'_, Token, (), Return, Token>;
    send: |this: &mut Self, _, _| iterated(this.next(), || this.take_return()));

fn said(state: CoroutineState<Token, Return>) -> Answer {
    match state {
        CoroutineState::Yielded(token) => Answer::Yielded(token.value),
        CoroutineState::Complete(end) => Answer::Returned(plain(end)),
    }
}

fn iterated(next: Option<Token>, take_return: impl FnOnce() -> Option<Return>) -> Answer {
    match next {
        Some(token) => Answer::Yielded(token.value),
        None => take_return().map_or(Answer::Refused, |end| Answer::Returned(plain(end))),
    }
}

fn plain(end: Return) -> End {
    match end {
        Ok(token) => Ok(token.value),
        Err(Interrupt::Thrown(token)) => Err(Interrupt::Thrown(token.value)),
        Err(Interrupt::Closed) => Err(Interrupt::Closed),
    }
}

/// Makes the calls, and compares after each.
fn converse(mut object: impl Object, program: &Program, calls: &[Call], ledger: &Ledger) {
    let mut model = Model::new(program);
    for &call in calls {
        let answer = match catch(|| object.answer(call, ledger)) {
            Ok(answer) => answer,
            Err(caught) if caught.message == "as programmed" => Answer::Panicked,
            Err(caught) => {
                let refused = ["which has finished", "which panicked earlier"];
                let known = refused.iter().any(|why| caught.message.contains(why));
                assert!(known, "{caught:?}");
                Answer::Refused
            }
        };
        assert_eq!(answer, model.call(call), "{call:?}");
        let seen = object.look();
        assert_eq!(seen.state, model.state, "after {call:?}");
        let asleep_at = (seen.state == State::Suspended).then(|| SAID_AT.get());
        assert_eq!(
            seen.location.map(Location::line),
            asleep_at,
            "after {call:?}"
        );
    }
}

/// Runs one conversation with each form of the object, and counts the tokens when all is dropped.
fn check(program: &Program, calls: &[Call]) {
    let ledger = Ledger::default();
    {
        let sent = || {
            coroutine(async |co: &mut Handle<'_, _>, _: Token| {
                interpret(co, program, &ledger).await
            })
        };
        converse(pin!(sent()), program, calls, &ledger);
        converse(sent().boxed(), program, calls, &ledger);
        let iterated =
            || generator(async |co: &mut Handle<'_, _>| interpret(co, program, &ledger).await);
        converse(pin!(iterated()), program, calls, &ledger);
        converse(iterated().boxed(), program, calls, &ledger);
    }
    ledger.assert_each_dropped_once();
}

// The tests.

fn programs() -> impl Strategy<Value = Program> {
    let say = (
        any::<u8>(),
        0..3u8,
        any::<bool>(),
        prop::bool::weighted(0.3),
    )
        .prop_map(|(value, depth, catches, ignores)| Op::Yield {
            value,
            depth,
            catches,
            ignores,
        });
    let op = prop_oneof![
        12 => say,
        3 => any::<u8>().prop_map(Op::Hold),
        1 => any::<u8>().prop_map(Op::Return),
        1 => Just(Op::Panic),
    ];
    let op = op.prop_recursive(
        3,
        24,
        4,
        |op| prop_oneof![3 => op.clone(), 1 => vec(op, 0..5).prop_map(Op::Delegate)],
    );
    vec(op, 0..8)
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        6 => any::<u8>().prop_map(Call::Send),
        2 => any::<u8>().prop_map(Call::Throw),
        1 => Just(Call::Close),
    ];
    vec(call, 0..16)
}

#[test]
fn every_conversation_goes_as_the_reference_says() {
    let config = Config {
        cases: if cfg!(miri) { 4 } else { 4000 },
        // What fails becomes a test of its own below, and not a file beside this one.
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&(programs(), calls()), |(program, calls)| {
            check(&program, &calls);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// The reference itself, by hand, on one conversation that touches each of its rules.
#[test]
fn the_reference_keeps_to_pythons_rules() {
    let say = |value, catches, ignores| Op::Yield {
        value,
        depth: 0,
        catches,
        ignores,
    };
    let inner = vec![say(2, true, false), say(3, false, true), Op::Return(9)];
    let program = vec![
        say(1, false, false),
        Op::Delegate(inner),
        say(4, false, true),
    ];
    let conversation = [
        (Call::Send(0), Answer::Yielded(1)),
        (Call::Send(0), Answer::Yielded(2)),
        (Call::Throw(7), Answer::Yielded(3)),
        (Call::Close, Answer::Ignored(4)),
        (Call::Close, Answer::Returned(Ok(0))),
        (Call::Close, Answer::NothingToClose),
        (Call::Send(0), Answer::Refused),
    ];
    let mut model = Model::new(&program);
    for (call, answer) in &conversation {
        assert_eq!(model.call(*call), *answer);
    }
    check(&program, &conversation.map(|(call, _)| call));
}
