//! What the tests of the meeting places share.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test file uses a part of it"
)]

pub(crate) mod cancels;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

use expect_test::Expect;
use proptest::test_runner::Config;

/// What happened, line by line.
#[derive(Clone, Default)]
pub(crate) struct Trace(Rc<RefCell<String>>);

impl Trace {
    pub(crate) fn say(&self, line: impl fmt::Display) {
        let mut lines = self.0.borrow_mut();
        lines.push_str(&line.to_string());
        lines.push('\n');
    }

    pub(crate) fn take(&self) -> String {
        self.0.take()
    }
}

/// Runs a scenario and compares what it says.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "it is written in place")]
pub(crate) fn check(scenario: impl AsyncFnOnce(Trace), expected: Expect) {
    let trace = Trace::default();
    antiphon::run(async || scenario(trace.clone()).await);
    let lines = trace.0.take();
    expected.assert_eq(&lines);
}

/// Says its name when it is dropped, and runs what it was given.
pub(crate) struct Guest(
    pub(crate) Trace,
    pub(crate) &'static str,
    pub(crate) Option<Box<dyn FnOnce()>>,
);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.say(format_args!("dropped: {}", self.1));
        if let Some(then) = self.2.take() {
            then();
        }
    }
}

/// Polls once, with a waker that does nothing.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_with(future, Waker::noop())
}

pub(crate) fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// Counts its wakes.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        (Arc::clone(&count), Waker::from(count))
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is done to a hooked waker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    Cloned,
    Woken,
    Dropped,
}

type Hook = Rc<dyn Fn(Touch)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

static HOOKED: RawWakerVTable = RawWakerVTable::new(
    |data| {
        touch(Touch::Cloned);
        RawWaker::new(data, &HOOKED)
    },
    |_| {
        touch(Touch::Woken);
        touch(Touch::Dropped);
    },
    |_| touch(Touch::Woken),
    |_| touch(Touch::Dropped),
);

fn touch(touch: Touch) {
    let hook = HOOK.with_borrow(Clone::clone);
    if let Some(hook) = hook {
        hook(touch);
    }
}

/// A waker that runs code of this thread when it is cloned, woken or dropped: the worst guest that safe code can be.
pub(crate) fn hooked_waker(hook: impl Fn(Touch) + 'static) -> Waker {
    HOOK.set(Some(Rc::new(hook)));
    // SAFETY: the functions take any data word and dereference none. On another thread they find no hook.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &HOOKED)) }
}

/// Unhooks the waker. What the hook had captured is dropped.
pub(crate) fn unhook() {
    let hook = HOOK.take();
    drop(hook);
}

/// How models are tried: less often where each step takes long.
pub(crate) fn tries() -> Config {
    Config {
        cases: if cfg!(miri) { 6 } else { 400 },
        failure_persistence: None,
        ..Config::default()
    }
}

/// How many steps a try has at most.
pub(crate) const STEPS: usize = if cfg!(miri) { 25 } else { 80 };
