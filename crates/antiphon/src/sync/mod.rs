//! Meeting places for the tasks of one worker.
//!
//! Nothing here crosses threads, so nothing here is atomic: a lock that is free costs the check of a flag, and all types
//! are neither `Send` nor `Sync`.
//!
//! | to … | there is |
//! |---|---|
//! | keep others off a value across an await | [`Mutex`], [`RwLock`] |
//! | let so many in at a time | [`Semaphore`] |
//! | wait until a condition holds | [`Condvar`], [`Event`], [`Barrier`] |
//! | wait for an event by its name | [`EventHub`] |
//! | hand one value over | [`oneshot`] |
//! | hand values over in order, with back-pressure | [`mpsc`] |
//! | tell everything to everybody | [`broadcast`] |
//! | tell everybody the latest | [`watch`] |
//!
//! ```
//! use antiphon::sync::{Mutex, mpsc};
//! use std::rc::Rc;
//!
//! antiphon::run(async || {
//!     let (sender, mut receiver) = mpsc::channel(8);
//!     let total = Rc::new(Mutex::new(0));
//!     let adder = antiphon::spawn({
//!         let total = Rc::clone(&total);
//!         async move || {
//!             while let Some(n) = receiver.recv().await? {
//!                 *total.lock().await? += n;
//!             }
//!             Ok::<(), antiphon::Cancelled>(())
//!         }
//!     });
//!     for n in 1..=10 {
//!         sender.send(n).await.unwrap();
//!     }
//!     drop(sender);
//!     adder.await.unwrap()?;
//!     assert_eq!(*total.lock().await?, 55);
//!     Ok::<(), antiphon::Cancelled>(())
//! })?;
//! # Ok::<(), antiphon::Cancelled>(())
//! ```
//!
//! # First come, first served
//! Whoever waits is served in the order in which it began to wait, that is, was first polled. There is no barging: what is
//! released while somebody waits is *handed* to the first who does, and whoever comes later joins the end of the queue,
//! even if the one chosen has not run yet. So nobody starves, and a released lock never wakes a task in vain.
//!
//! # Cancelled
//! Every wait here ends with [`Cancelled`](crate::Cancelled), or with an error that was caused by it, when its
//! [scope](crate::CancelScope) is cancelled: what was waited for *did not happen*. It leaves its queue, those behind it move
//! up, and no permit, value or wake-up is lost or doubled. In a scope that is cancelled already nothing is begun, even what
//! would not have to wait; what is to be had without waiting, `try_` functions give all the same. One that was chosen before
//! the cancel keeps what it was chosen for and goes on; the next wait is the one that ends.
//!
//! # Going away
//! A future that is dropped while it waits leaves its queue, and those behind it move up. Dropped after it was chosen and
//! before it ran, it passes on what it was chosen for: no wake-up, no permit and no value is lost. A future that is
//! *forgotten* ([`std::mem::forget`]) keeps its place in the queue, and keeps what it is handed. A future waits on the
//! loop in which it was first polled, and should not outlive it: what it is handed after that loop has ended, nobody gets.
//!
//! # Code of others
//! Wakers that are not the loop's (those of `FuturesUnordered`, say), destructors, and the `Clone` of values run while
//! nothing is borrowed, and find every type here in order. Only the `Ord` and `Debug` of an [`EventHub`]'s keys must not
//! use that hub: it panics.
//!
//! # Not supported
//! No lock asks who comes: a task that locks again what it has locked waits for itself, and [`tree`](crate::tree()) shows it
//! as the holder of what it waits for. Nothing is poisoned by a panic;
//! the guard is dropped, and the next one finds the value as it was left.

// What they share.
mod error;
mod holder;
mod leaf;

// Locks, and what comes with them.
mod condvar;
mod mutex;
mod rwlock;
mod semaphore;

// Events.
mod barrier;
mod event;
mod event_hub;

// Channels.
pub mod broadcast;
pub mod mpsc;
pub mod oneshot;
pub mod watch;

pub use self::barrier::{Barrier, BarrierWait, BarrierWaitResult};
pub use self::condvar::{Condvar, CondvarWait};
pub use self::error::{
    AcquireError, RecvError, SendError, TryAcquireError, TryRecvError, TrySendError,
};
pub use self::event::{Event, EventWait};
pub use self::event_hub::{EventHub, EventHubWait};
pub use self::mutex::{Mutex, MutexGuard, MutexLock};
pub use self::rwlock::{RwLock, RwLockRead, RwLockReadGuard, RwLockWrite, RwLockWriteGuard};
pub use self::semaphore::{
    OwnedSemaphorePermit, Semaphore, SemaphoreAcquire, SemaphoreAcquireOwned, SemaphorePermit,
};
