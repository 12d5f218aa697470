//! What the tests of blocks share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use antiphon::context::{ContextManager, Ending, HandOver};
use antiphon::{CancelReason, Cancelled, DriverKind, Runtime, shield, time};

/// Runs `main` in virtual time.
pub(crate) fn simulate<T>(main: impl AsyncFnOnce() -> T) -> T {
    Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .expect("virtual time needs nothing of the system")
        .run(main)
}

pub(crate) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Longer than any exit is let live.
pub(crate) async fn settle() {
    time::sleep(Duration::from_secs(3600)).await.unwrap();
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AppError {
    Plain(&'static str),
    Cancelled(CancelReason),
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(what) => f.write_str(what),
            Self::Cancelled(reason) => write!(f, "cancelled: {reason}"),
        }
    }
}

impl std::error::Error for AppError {}

impl From<Cancelled> for AppError {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled.reason().clone())
    }
}

/// What happened, in order.
#[derive(Clone)]
pub(crate) struct Trace {
    said: Rc<RefCell<Vec<String>>>,
    start: Rc<Cell<Instant>>,
}

impl Trace {
    /// Times are counted from here.
    pub(crate) fn new() -> Self {
        Self {
            said: Rc::default(),
            start: Rc::new(Cell::new(time::now())),
        }
    }

    pub(crate) fn say(&self, what: impl fmt::Display) {
        self.said.borrow_mut().push(what.to_string());
    }

    /// Says it with the time.
    pub(crate) fn say_when(&self, what: impl fmt::Display) {
        let passed = (time::now() - self.start.get()).as_millis();
        self.say(format_args!("{passed} {what}"));
    }

    pub(crate) fn take(&self) -> String {
        self.said.take().join(", ")
    }
}

/// How an ending is written down.
pub(crate) fn told(ending: Ending<'_>) -> String {
    match ending {
        Ending::Value => "value".into(),
        Ending::Error(failure) => format!("error {failure}"),
        Ending::Cancelled(_, failure) => format!("cancelled {failure}"),
        Ending::Panicked => "panicked".into(),
        Ending::Dropped => "dropped".into(),
        _ => unreachable!("there are no others"),
    }
}

/// What a part of a block does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// It waits for so many milliseconds, and does well.
    Well(u64),
    /// It waits, and fails.
    Fail(u64, &'static str),
    /// It waits, and panics.
    Panic(u64, &'static str),
    /// It waits, and hears of no cancel.
    Stubborn(u64),
}

impl Act {
    pub(crate) async fn play(self) -> Result<(), AppError> {
        match self {
            Self::Well(wait) => Ok(time::sleep(ms(wait)).await?),
            Self::Fail(wait, what) => {
                time::sleep(ms(wait)).await?;
                Err(AppError::Plain(what))
            }
            Self::Panic(wait, what) => {
                time::sleep(ms(wait)).await?;
                panic!("{what}")
            }
            Self::Stubborn(wait) => {
                shield(async || time::sleep(ms(wait)).await).await?;
                Ok(())
            }
        }
    }
}

/// Says what is done to it, and has its exit handed over.
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    pub(crate) trace: Trace,
    pub(crate) exit: Act,
}

impl Guest {
    pub(crate) async fn enter(
        name: &'static str,
        trace: Trace,
        enter: Act,
        exit: Act,
    ) -> Result<Self, AppError> {
        enter.play().await?;
        trace.say_when(format_args!("enter {name}"));
        Ok(Self { name, trace, exit })
    }
}

impl ContextManager for Guest {
    type Error = AppError;
    type IfDropped = HandOver;

    async fn exit(self, ending: Ending<'_>) -> Result<(), AppError> {
        let Self { name, trace, exit } = &self;
        trace.say_when(format_args!("exit {name} ({})", told(ending)));
        exit.play().await?;
        trace.say_when(format_args!("left {name}"));
        Ok(())
    }

    fn let_go(self) {
        self.trace.say(format_args!("let go {}", self.name));
    }
}

/// Polls `future` so many times, and drops it if it has not ended then.
pub(crate) async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
