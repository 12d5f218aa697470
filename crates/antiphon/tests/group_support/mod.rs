//! What the tests of groups, races and joins share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::any::Any;
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use antiphon::{Cancelled, ChildError, DriverKind, GroupError, Runtime, StartError};

/// Runs `main` in virtual time: at once, and always in the same order.
pub(crate) fn simulate<T>(main: impl AsyncFnOnce() -> T) -> T {
    Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .unwrap()
        .run(main)
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub(crate) fn say(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

/// The error of the tests: one of their own, or that of a wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Own(&'static str),
    Wait(Cancelled),
    Child(String, Option<Cancelled>),
}

impl Fault {
    pub(crate) fn own(&self) -> &'static str {
        match self {
            Self::Own(what) => what,
            other => panic!("{other:?} is no error of the test's own"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(what) => f.write_str(what),
            Self::Wait(cancelled) => write!(f, "in the test: {cancelled}"),
            Self::Child(what, _) => write!(f, "{what}"),
        }
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Own(_) | Self::Child(_, None) => None,
            Self::Wait(cancelled) | Self::Child(_, Some(cancelled)) => Some(cancelled),
        }
    }
}

impl From<Cancelled> for Fault {
    fn from(cancelled: Cancelled) -> Self {
        Self::Wait(cancelled)
    }
}

impl From<ChildError> for Fault {
    fn from(error: ChildError) -> Self {
        Self::Child(error.to_string(), antiphon::find_cancelled(&error).cloned())
    }
}

impl From<GroupError<Fault>> for Fault {
    fn from(error: GroupError<Fault>) -> Self {
        error.into_first()
    }
}

impl From<StartError<Fault>> for Fault {
    fn from(error: StartError<Fault>) -> Self {
        Self::Child(error.to_string(), antiphon::find_cancelled(&error).cloned())
    }
}

/// The texts of all errors of a group.
pub(crate) fn texts(error: &GroupError<Fault>) -> Vec<String> {
    error.iter().map(ToString::to_string).collect()
}

pub(crate) async fn sleep(millis: u64) -> Result<(), Cancelled> {
    antiphon::time::sleep(Duration::from_millis(millis)).await
}

/// Sleeps until it is cancelled.
pub(crate) async fn sleep_long() -> Result<(), Fault> {
    Ok(sleep(3_600_000).await?)
}

/// Says so when it is dropped, and does what it was given.
pub(crate) struct Guest<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for Guest<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Polls a future once, with a waker that does nothing.
pub(crate) fn poke<F: Future + ?Sized>(future: Pin<&mut F>) -> bool {
    future
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

/// The message of the panic of `f`.
pub(crate) fn panic_of(f: impl FnOnce()) -> String {
    message(&*catch_unwind(AssertUnwindSafe(f)).unwrap_err())
}

pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}

/// Ends by a panic.
pub(crate) fn fall(what: &str) -> Result<(), Fault> {
    panic!("{what}")
}
