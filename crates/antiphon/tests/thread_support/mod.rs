//! What the tests with threads have in common.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::thread;

use antiphon::thread::{Receiver, Sender, channel};
use antiphon::{DriverKind, Runtime};

/// Runs `body` on each driver, that of virtual time among them.
#[track_caller]
pub(crate) fn for_each_driver<F: AsyncFn()>(body: F) {
    let kinds = [
        DriverKind::Readiness,
        DriverKind::Auto,
        DriverKind::VirtualTime,
    ];
    for kind in kinds {
        let mut runtime = Runtime::builder().driver(kind).build().unwrap();
        println!("driver: {}", runtime.driver());
        runtime.run(&body);
    }
}

/// Runs `main` in virtual time.
pub(crate) fn simulate<T>(main: impl AsyncFnOnce() -> T) -> T {
    Runtime::builder()
        .driver(DriverKind::VirtualTime)
        .build()
        .expect("virtual time needs nothing of the system")
        .run(main)
}

/// Waits for something that another thread is about to do, and tells nobody of.
pub(crate) fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// Something that a closure does: it says that it has begun, and goes on when it is let.
pub(crate) struct Held {
    begun: Receiver<()>,
    let_go: Sender<()>,
}

impl Held {
    /// Returns it, and what the closure calls.
    pub(crate) fn new() -> (Self, impl FnOnce() + Send + 'static) {
        let (tell, begun) = channel(1);
        let (let_go, mut wait) = channel(1);
        let hold = move || {
            // Either may be closed, if it is let go by being dropped.
            drop(tell.blocking_send(()));
            let _: Option<()> = wait.blocking_recv();
        };
        (Self { begun, let_go }, hold)
    }

    /// Waits until the closure has begun.
    pub(crate) async fn begun(&mut self) {
        assert_eq!(self.begun.recv().await, Ok(Some(())));
    }

    pub(crate) fn let_go(self) {
        self.let_go.try_send(()).unwrap();
    }
}
