//! Looking names up.
//!
//! The system's resolver knows what the others don't: the hosts file, the local domain, `nsswitch`. But it can only be
//! called and waited for, so a few threads do that. They start when a name is looked up and end when there was none for a
//! while. A lookup that nobody waits for any more is finished and forgotten: there is no way to end it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use crate::io::Leaf;
use crate::worker::{contain, current};

/// Looks `host` up for the call of `leaf`, which has begun. The answer may have no address in it. A call that is cancelled
/// leaves at once, and its answer is dropped when it comes.
pub(super) async fn resolve(
    host: String,
    port: u16,
    mut leaf: Leaf,
) -> io::Result<Vec<SocketAddr>> {
    if let Some(known) = current(|worker| worker.driver().resolve(&host, port)) {
        return known;
    }
    let lookup = Arc::new(Lookup {
        host,
        port,
        inside: Mutex::default(),
    });
    RESOLVER.submit(Arc::clone(&lookup))?;
    poll_fn(|cx| {
        let result = lookup.poll(cx);
        if result.is_pending() {
            leaf.wait(cx, "name lookup")?;
        }
        result
    })
    .await
}

struct Lookup {
    host: String,
    port: u16,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    result: Option<io::Result<Vec<SocketAddr>>>,
    waker: Option<Waker>,
}

impl Lookup {
    /// Called by a thread of the resolver.
    fn run(&self) {
        let result = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map(Iterator::collect);
        let waker = {
            let mut inside = lock(&self.inside);
            inside.result = Some(result);
            inside.waker.take()
        };
        if let Some(waker) = waker {
            // It may be somebody else's code, and the thread has others to serve.
            contain(|| waker.wake());
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<io::Result<Vec<SocketAddr>>> {
        // Cloning and dropping a foreign waker runs its code: not under the lock.
        let waker = cx.waker().clone();
        let mut inside = lock(&self.inside);
        if let Some(result) = inside.result.take() {
            return Poll::Ready(result);
        }
        let previous = inside.waker.replace(waker);
        drop(inside);
        drop(previous);
        Poll::Pending
    }
}

/// The threads, and what they have to do.
struct Resolver {
    state: Mutex<State>,
    is_due: Condvar,
}

struct State {
    lookups: VecDeque<Arc<Lookup>>,
    threads: usize,
    /// Threads that wait for a lookup, or were notified of one and are on their way to it.
    idle: usize,
}

static RESOLVER: Resolver = Resolver {
    state: Mutex::new(State {
        lookups: VecDeque::new(),
        threads: 0,
        idle: 0,
    }),
    is_due: Condvar::new(),
};

/// A name server that does not answer holds a thread for some seconds; so many of them hold up all lookups.
const THREADS_MAX: usize = 16;

/// How long a thread waits for another lookup.
const IDLE_MAX: Duration = Duration::from_secs(10);

impl Resolver {
    fn submit(&'static self, lookup: Arc<Lookup>) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.lookups.push_back(lookup);
        if state.lookups.len() <= state.idle {
            self.is_due.notify_one();
            return Ok(());
        }
        if state.threads < THREADS_MAX {
            let started = thread::Builder::new()
                .name("antiphon resolver".into())
                .spawn(|| self.work());
            match started {
                Ok(_) => state.threads += 1,
                // The threads that there are will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => {
                    state.lookups.pop_back();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// A thread's life.
    fn work(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(lookup) = state.lookups.pop_front() {
                drop(state);
                lookup.run();
                drop(lookup);
                state = lock(&self.state);
                continue;
            }
            state.idle += 1;
            let (woken, timeout) = self
                .is_due
                .wait_timeout(state, IDLE_MAX)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.lookups.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// A panic can't leave the values half way: each step under a lock is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::task::Wake;

    use super::*;

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("a waker that panics"));
        }
    }

    /// It ended its thread, which was counted on; sixteen of them ended all lookups of the process.
    #[test]
    fn a_waker_that_panics_does_not_end_its_thread() {
        let lookup = Lookup {
            host: "127.0.0.1".into(),
            port: 80,
            inside: Mutex::default(),
        };
        let waker = Waker::from(Arc::new(Panics));
        assert!(lookup.poll(&Context::from_waker(&waker)).is_pending());
        lookup.run();
        let answer = lookup.poll(&Context::from_waker(Waker::noop()));
        assert!(
            matches!(&answer, Poll::Ready(Ok(addresses)) if addresses.len() == 1),
            "{answer:?}"
        );
    }
}
