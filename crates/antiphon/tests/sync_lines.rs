//! Every wait at a meeting place is seen with its kind and its line, and is gone when it is over.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::future::Future;
use std::panic::Location;
use std::pin::pin;
use std::rc::Rc;

use antiphon::sync::{
    Barrier, Condvar, Event, EventHub, Mutex, RwLock, Semaphore, broadcast, mpsc, oneshot, watch,
};
use antiphon::tree;
use expect_test::expect;
use sync_support::{Trace, check};

/// Polls once with the task's own waker, says what the tree says of it, and drops the future. `at` is on the line
/// that made it.
async fn look(trace: &Trace, at: &Location<'_>, future: impl Future) {
    {
        let mut future = pin!(future);
        let is_ready =
            std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_ready()))
                .await;
        assert!(!is_ready, "it waits");
        for wait in tree().tasks.iter().flat_map(|task| &task.waits) {
            assert_eq!((wait.at.file(), wait.at.line()), (at.file(), at.line()));
            trace.say(wait.kind);
        }
    }
    assert!(
        tree().tasks.iter().all(|task| task.waits.is_empty()),
        "nothing is left of a wait that was given up"
    );
}

macro_rules! look {
    ($trace:ident, $future:expr) => {
        look(&$trace, here(), $future).await
    };
}

#[track_caller]
fn here() -> &'static Location<'static> {
    Location::caller()
}

#[test]
fn each_wait_has_a_kind_and_a_line() {
    check(
        async |trace| {
            let mutex = Mutex::new(());
            let _held = mutex.lock().await.unwrap();
            look!(trace, mutex.lock());

            let (other, condvar) = (Mutex::new(()), Condvar::new());
            let guard = other.lock().await.unwrap();
            look!(trace, condvar.wait(guard));
            let guard = other.lock().await.unwrap();
            look!(trace, condvar.wait_while(guard, |()| true));

            let rwlock = RwLock::new(());
            let _writing = rwlock.write().await.unwrap();
            look!(trace, rwlock.read());
            look!(trace, rwlock.write());

            let semaphore = Rc::new(Semaphore::new(0));
            look!(trace, semaphore.acquire(1));
            look!(trace, semaphore.acquire_owned(1));

            let (event, barrier, hub) = (Event::new(), Barrier::new(2), EventHub::<&str>::new());
            look!(trace, event.wait());
            look!(trace, barrier.wait());
            look!(trace, hub.wait("event"));

            let (sender, mut receiver) = mpsc::channel(1);
            look!(trace, receiver.recv());
            sender.send(()).await.unwrap();
            look!(trace, sender.send(()));
            look!(trace, sender.reserve());

            let (_sender, mut receiver) = broadcast::channel::<()>(1);
            look!(trace, receiver.recv());
            let (_sender, mut receiver) = watch::channel(());
            look!(trace, receiver.changed());
            let (sender, _receiver) = oneshot::channel::<()>();
            look!(trace, sender.closed());
            // A receiver is itself the future: it has the line that made the channel.
            let (at, (_sender, receiver)) = (here(), oneshot::channel::<()>());
            look(&trace, at, receiver).await;
        },
        expect![[r#"
            mutex
            condvar
            condvar
            rwlock read
            rwlock write
            semaphore
            semaphore
            event
            barrier
            event hub
            mpsc recv
            mpsc send
            mpsc send
            broadcast
            watch
            oneshot closed
            oneshot
        "#]],
    );
}
