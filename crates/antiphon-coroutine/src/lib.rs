//! Coroutine objects on stable Rust: send to them, throw into them, close them, ask where they sleep.
//!
//! A coroutine is a function that can stop in the middle, say something, and wait for an answer. Here it is an
//! *object*: whoever holds it decides when it goes on and with what. It touches the world only through what it
//! yields, and hears from it only through what is sent back; that makes it the smallest honest building block for
//! protocols without I/O, parsers fed piece by piece, simulations, and schedulers.
//!
//! ```
//! use antiphon_coroutine::{coroutine, CoroutineState::*, Interrupt};
//! use std::pin::pin;
//!
//! let mut average = pin!(coroutine(async |co, mut x: f64| -> Result<(), Interrupt> {
//!     let (mut sum, mut n) = (0.0, 0.0);
//!     loop {
//!         sum += x;
//!         n += 1.0;
//!         x = co.yield_(sum / n).await?;
//!     }
//! }));
//! assert_eq!(average.send(10.0), Yielded(10.0));
//! assert_eq!(average.send(20.0), Yielded(15.0));
//! assert_eq!(average.close(), Ok(Some(Err(Interrupt::Closed))));
//! ```
//!
//! # The parts
//! - [`coroutine`] and [`generator`] make an object of an async closure or an `async fn`. The body gets a
//!   [`Co`], and speaks with [`Co::yield_`].
//! - [`Coroutine`] is the object, pinned: [`send`](Coroutine::send), [`throw`](Coroutine::throw),
//!   [`close`](Coroutine::close); and to look at it, [`state`](Coroutine::state), [`location`](Coroutine::location),
//!   [`origin`](Coroutine::origin), [`name`](Coroutine::name).
#![cfg_attr(
    feature = "alloc",
    doc = "- [`BoxCoroutine`] and [`SendBoxCoroutine`] are its owned forms, with a type that can be written down."
)]
//! - [`CoroutineState`] is its answer; [`Interrupt`] is what a yield hears instead of a value.
//! - Delegation (Python's `yield from`) is a function call with the handle; [`Co::delegate`] does it for objects.
//! - Generators are [`Iterator`]s, and with the feature `stream` there is a view of them as `Stream`s, whose bodies may
//!   await anything.
//!   [`asend`](Coroutine::asend), [`athrow`](Coroutine::athrow) and [`aclose`](Coroutine::aclose) do the same for
//!   coroutines that are sent values.
//!
//! # What it costs
//! A pinned coroutine allocates nothing, takes no lock, reads no clock and no thread-local, and needs no macro. Its
//! size is the body's plus a slot for one value each way. `bench/README.md` in the repository has the resume times
//! beside those of hand-written state machines and of other crates.
//!
//! # What is not supported
//! - Values sent can't borrow from a single call of `send`: their type is the same for the whole life of the object.
//! - Frames between the outermost and the innermost are not visible; `location` is the innermost line.
//! - A recursive body boxes its recursion (`Box::pin(body(co)).await`), as any recursive `async fn` does.
//! - Dropping a suspended coroutine runs destructors, but does not deliver [`Interrupt::Closed`]; `close` does.
//!
//! # Features
//! - `alloc` (default): the boxed forms. Without it the crate needs `core` alone.
//! - `stream`: generators as `Stream`s, through `futures-core`.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;

mod boot;
#[cfg(feature = "alloc")]
mod boxed;
mod co;
mod coroutine;
#[cfg(all(doctest, feature = "alloc"))]
mod refusals;
mod resume;
mod slot;
mod state;
#[cfg(feature = "stream")]
mod stream;

pub use crate::co::{Co, Yield};
pub use crate::coroutine::{Coroutine, coroutine, generator};
pub use crate::resume::{Resume, Snapshot};
pub use crate::state::{CoroutineState, IgnoredClose, Interrupt, State};

#[cfg(feature = "stream")]
pub use crate::stream::GeneratorStream;

#[cfg(feature = "alloc")]
pub use crate::boxed::{BoxCoroutine, Boxed, SendBoxCoroutine};
