//! What the tests of scopes share.

use std::cell::RefCell;
use std::rc::Rc;

use antiphon::{DriverKind, Runtime};

/// Runs `main` in virtual time.
pub(crate) fn simulate<T>(main: impl AsyncFnOnce() -> T) -> T {
    Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .expect("virtual time needs nothing of the system")
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
