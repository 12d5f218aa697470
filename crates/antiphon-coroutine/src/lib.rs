//! Coroutine objects on stable Rust.
#![no_std]
#![deny(unsafe_op_in_unsafe_fn)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod boot;
#[cfg(feature = "alloc")]
mod boxed;
mod co;
mod coroutine;
mod resume;
mod slot;
mod state;

pub use crate::co::{Co, Yield};
pub use crate::coroutine::{Coroutine, coroutine, generator};
pub use crate::resume::{Resume, Snapshot};
pub use crate::state::{CoroutineState, IgnoredClose, Interrupt, State};

#[cfg(feature = "alloc")]
pub use crate::boxed::{BoxCoroutine, Boxed, SendBoxCoroutine};
