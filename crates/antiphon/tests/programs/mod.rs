//! Whole programs that may be cancelled anywhere, and know afterwards whether all is in order.
//!
//! A program needs a loop that runs, and nothing else: it listens at port 0, takes the time from the loop, and draws what is
//! random from its seed. So whoever runs it decides which driver there is and when it is cancelled.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod echo_server;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod transfer;

use std::cell::Cell;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon::net::TcpStream;
use antiphon::sync::SendError;
use antiphon::{CancelScope, Cancelled, time, yield_now};
use socket2::SockRef;

/// A program.
pub(crate) trait Program {
    const NAME: &'static str;

    /// Makes one. What is random in it follows from `seed`.
    fn new(seed: u64, load: Load) -> Self;

    /// Runs it to its end. All that it starts has ended then.
    ///
    /// # Errors
    /// Of no kind, unless it is cancelled.
    async fn run(&self) -> io::Result<()>;

    /// Checks what must be true after [`run`](Self::run), and more if that returned `Ok`: `is_done`.
    ///
    /// # Panics
    /// If it is not.
    fn check(&self, is_done: bool);

    /// Returns how far it got, from 0 to [`END`](Self::END), which it reaches with a full load if
    /// nobody cancels it.
    fn progress(&self) -> usize;

    const END: usize;
}

/// How much a program has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Full,
    /// As little as shows all that it does: for those who run it thousands of times.
    Small,
}

impl Load {
    pub(crate) const fn choose<T: Copy>(self, full: T, small: T) -> T {
        match self {
            Self::Full => full,
            Self::Small => small,
        }
    }
}

/// Set where sockets are the system's: it takes in more than the programs have to say, so nobody would wait to send.
pub(crate) static HAS_SYSTEM_SOCKETS: AtomicBool = AtomicBool::new(false);

/// Has the system take in little from `stream` at once.
pub(crate) fn keep_small(stream: &TcpStream) -> io::Result<()> {
    if HAS_SYSTEM_SOCKETS.load(Ordering::Relaxed) {
        SockRef::from(stream).set_send_buffer_size(16 * 1024)?;
    }
    Ok(())
}

/// Numbers that look random, from a seed: `SplitMix64`.
pub(crate) struct Random(Cell<u64>);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// Another one of the same seed, with numbers of its own.
    pub(crate) fn fork(&self) -> Self {
        Self::new(self.next())
    }

    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&self, limit: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap() % limit
    }

    /// Waits for a little: not at all, for some turns, or for some microseconds.
    pub(crate) async fn pause(&self) -> Result<(), Cancelled> {
        match self.below(8) {
            0..4 => Ok(()),
            4 => {
                let micros = u64::try_from(self.below(200)).unwrap();
                time::sleep(Duration::from_micros(micros)).await
            }
            _ => {
                for _ in 0..self.below(4) {
                    yield_now().await?;
                }
                Ok(())
            }
        }
    }
}

/// Runs `call` with little patience: it is cancelled before it begins, in the very step in which it is woken, after a while, or
/// never. `None` if it was ended by that.
pub(crate) async fn impatient<T>(
    random: &Random,
    call: impl AsyncFnOnce() -> io::Result<T>,
) -> io::Result<Option<T>> {
    let poll = match random.below(6) {
        chosen @ 0..2 => Some(chosen),
        2 | 3 => {
            let micros = u64::try_from(random.below(200)).unwrap();
            return time::move_on_after(Duration::from_micros(micros), call).await;
        }
        _ => None,
    };
    let scope = CancelScope::new();
    let mut call = pin!(scope.run(call));
    let mut polls = 0;
    let outcome = poll_fn(|cx| {
        if poll == Some(polls) {
            scope.cancel("out of patience");
        }
        polls += 1;
        call.as_mut().poll(cx)
    });
    outcome.await.unless_cancelled()
}

/// Says why something was not sent, without the thing.
pub(crate) fn unsent<T>(error: &SendError<T>) -> io::Error {
    match error.as_cancelled() {
        Some(cancelled) => cancelled.clone().into(),
        None => io::ErrorKind::BrokenPipe.into(),
    }
}
