//! What must not compile, each beside the nearest program that does.
//!
//! A `compile_fail` test passes for any error at all, so every refusal here follows a twin that differs from it in
//! the one line that matters and that compiles and runs. Where the error has a code (a lifetime that does not live
//! long enough has none), a nightly rustdoc checks that it is that error.
//!
//! # Swapping the handles of two bodies
//! An unbranded handle could be swapped with an inner body's, and then speak through a slot that is gone.
//! ```
//! use antiphon_coroutine::{coroutine, Co, Interrupt};
//! use std::pin::pin;
//! let mut outer = pin!(coroutine(async |outer: &mut Co<'_, u8, u8>, _| -> Result<(), Interrupt> {
//!     let mut inner = pin!(coroutine(async |inner: &mut Co<'_, u8, u8>, _| -> Result<(), Interrupt> {
//!         let _ = (inner, outer);
//!         Ok(())
//!     }));
//!     let _ = inner.send(0);
//!     Ok(())
//! }));
//! let _ = outer.send(0);
//! ```
//! ```compile_fail
//! use antiphon_coroutine::{coroutine, Co, Interrupt};
//! use std::pin::pin;
//! let mut outer = pin!(coroutine(async |outer: &mut Co<'_, u8, u8>, _| -> Result<(), Interrupt> {
//!     let mut inner = pin!(coroutine(async |inner: &mut Co<'_, u8, u8>, _| -> Result<(), Interrupt> {
//!         std::mem::swap(inner, outer);
//!         Ok(())
//!     }));
//!     let _ = inner.send(0);
//!     Ok(())
//! }));
//! let _ = outer.send(0);
//! ```
//!
//! # Returning the handle
//! ```
//! use antiphon_coroutine::{coroutine, Co};
//! async fn body(co: &mut Co<'_, u8, u8>, first: u8) -> u8 { let _ = co; first }
//! let _ = coroutine(body);
//! ```
//! ```compile_fail
//! use antiphon_coroutine::{coroutine, Co};
//! async fn body<'a, 'c>(co: &'a mut Co<'c, u8, u8>, first: u8) -> &'a mut Co<'c, u8, u8> { let _ = first; co }
//! let _ = coroutine(body);
//! ```
//!
//! # Keeping the handle in a place that outlives the body
//! ```
//! use antiphon_coroutine::{coroutine, Co, Interrupt};
//! let mut kept: Option<u8> = None;
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, first| -> Result<(), Interrupt> {
//!     let _ = co;
//!     kept = Some(first);
//!     Ok(())
//! });
//! ```
//! ```compile_fail
//! use antiphon_coroutine::{coroutine, Co, Interrupt};
//! let mut kept: Option<&mut Co<'_, u8, u8>> = None;
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, first| -> Result<(), Interrupt> {
//!     let _ = first;
//!     kept = Some(co);
//!     Ok(())
//! });
//! ```
//!
//! # Leaking the handle into a static
//! ```
//! use antiphon_coroutine::{coroutine, Co, Interrupt};
//! use std::sync::Mutex;
//! static KEPT: Mutex<Option<u8>> = Mutex::new(None);
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, first| -> Result<(), Interrupt> {
//!     let _ = co;
//!     *KEPT.lock().unwrap() = Some(first);
//!     Ok(())
//! });
//! ```
//! ```compile_fail,E0521
//! use antiphon_coroutine::{coroutine, Co, Interrupt};
//! use std::sync::Mutex;
//! static KEPT: Mutex<Option<&'static mut Co<'static, u8, u8>>> = Mutex::new(None);
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, first| -> Result<(), Interrupt> {
//!     let _ = first;
//!     *KEPT.lock().unwrap() = Some(co);
//!     Ok(())
//! });
//! ```
//!
//! # Leaking a yield in flight
//! ```
//! use antiphon_coroutine::{coroutine, Co, Interrupt};
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, first| -> Result<(), Interrupt> {
//!     let boxed = Box::new(co.yield_(first));
//!     boxed.await?;
//!     Ok(())
//! });
//! ```
//! ```compile_fail
//! use antiphon_coroutine::{coroutine, Co, Interrupt, Yield};
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, first| -> Result<(), Interrupt> {
//!     let leaked: &'static mut Yield<'static, 'static, u8, u8> = Box::leak(Box::new(co.yield_(first)));
//!     leaked.await?;
//!     Ok(())
//! });
//! ```
//!
//! # Two yields in flight at once
//! ```
//! use antiphon_coroutine::{coroutine, Co, Interrupt};
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, _| -> Result<(), Interrupt> {
//!     co.yield_(1).await?;
//!     co.yield_(2).await?;
//!     Ok(())
//! });
//! ```
//! ```compile_fail,E0499
//! use antiphon_coroutine::{coroutine, Co, Interrupt};
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, _| -> Result<(), Interrupt> {
//!     let (one, two) = (co.yield_(1), co.yield_(2));
//!     one.await?;
//!     two.await?;
//!     Ok(())
//! });
//! ```
//!
//! # Resuming while running
//! A body that could reach its own object would need the `&mut` that its caller is using.
//! ```
//! use antiphon_coroutine::{coroutine, Interrupt};
//! use std::{cell::RefCell, pin::pin};
//! let seen = RefCell::new(0u8);
//! let mut own = pin!(coroutine(async |co, first: u8| -> Result<(), Interrupt> {
//!     *seen.borrow_mut() = first;
//!     co.yield_(1u8).await?;
//!     Ok(())
//! }));
//! let _ = own.send(1);
//! assert_eq!(*seen.borrow(), 1);
//! ```
//! ```compile_fail,E0597
//! use antiphon_coroutine::{coroutine, BoxCoroutine, Interrupt};
//! use std::cell::RefCell;
//! let own: RefCell<Option<BoxCoroutine<'_, u8, u8, Result<(), Interrupt>>>> = RefCell::new(None);
//! *own.borrow_mut() = Some(coroutine(async |co, first: u8| -> Result<(), Interrupt> {
//!     let _ = own.borrow_mut().as_mut().unwrap().send(first);
//!     co.yield_(1u8).await?;
//!     Ok(())
//! }).boxed());
//! ```
//!
//! # Two threads into one coroutine
//! ```
//! use antiphon_coroutine::{coroutine, Interrupt};
//! let mut one = coroutine(async |co, x: u8| -> Result<(), Interrupt> { co.yield_(x).await.map(drop) }).boxed_send();
//! std::thread::scope(|s| {
//!     s.spawn(|| one.send(1));
//! });
//! ```
//! ```compile_fail,E0499
//! use antiphon_coroutine::{coroutine, Interrupt};
//! let mut one = coroutine(async |co, x: u8| -> Result<(), Interrupt> { co.yield_(x).await.map(drop) }).boxed_send();
//! std::thread::scope(|s| {
//!     s.spawn(|| one.send(1));
//!     s.spawn(|| one.send(2));
//! });
//! ```
//!
//! # Moving a coroutine that holds something bound to its thread
//! ```
//! use antiphon_coroutine::{generator, Interrupt};
//! use std::rc::Rc;
//! let local = generator(async |co| -> Result<(), Interrupt> {
//!     let shared = Rc::new(1u8);
//!     co.yield_(*shared).await
//! });
//! let _ = local.boxed();
//! ```
//! ```compile_fail
//! use antiphon_coroutine::{generator, Interrupt};
//! use std::rc::Rc;
//! let local = generator(async |co| -> Result<(), Interrupt> {
//!     let shared = Rc::new(1u8);
//!     co.yield_(*shared).await
//! });
//! let _ = local.boxed_send();
//! ```
//!
//! # Resuming without pinning
//! ```
//! use antiphon_coroutine::{coroutine, Interrupt};
//! use std::pin::pin;
//! let mut c = pin!(coroutine(async |co, x: u8| -> Result<(), Interrupt> { co.yield_(x).await.map(drop) }));
//! let _ = c.send(1);
//! ```
//! ```compile_fail,E0599
//! use antiphon_coroutine::{coroutine, Interrupt};
//! let mut c = coroutine(async |co, x: u8| -> Result<(), Interrupt> { co.yield_(x).await.map(drop) });
//! let _ = c.send(1);
//! ```
//!
//! # Copying a coroutine
//! ```
//! use antiphon_coroutine::{coroutine, Interrupt};
//! let c = coroutine(async |co, x: u8| -> Result<(), Interrupt> { co.yield_(x).await.map(drop) });
//! let _moved = c;
//! ```
//! ```compile_fail,E0599
//! use antiphon_coroutine::{coroutine, Interrupt};
//! let c = coroutine(async |co, x: u8| -> Result<(), Interrupt> { co.yield_(x).await.map(drop) });
//! let _copy = c.clone();
//! ```
//!
//! # Speaking through the handle from another thread, after the body
//! ```
//! use antiphon_coroutine::{coroutine, Co};
//! use std::pin::pin;
//! std::thread::scope(|s| {
//!     let mut c = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, x| { s.spawn(move || x); let _ = co; }));
//!     let _ = c.send(1);
//! });
//! ```
//! ```compile_fail
//! use antiphon_coroutine::{coroutine, Co};
//! use std::pin::pin;
//! std::thread::scope(|s| {
//!     let mut c = pin!(coroutine(async |co: &mut Co<'_, u8, u8>, x| { s.spawn(move || drop(co.yield_(x))); }));
//!     let _ = c.send(1);
//! });
//! ```
//!
//! # Keeping an inner coroutine that speaks through the outer handle
//! ```
//! use antiphon_coroutine::{coroutine, BoxCoroutine, Co};
//! let mut kept: Option<BoxCoroutine<'_, u8, u8, u8>> = None;
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, x| {
//!     let _ = co.yield_(x).await;
//!     kept = Some(coroutine(async move |_: &mut Co<'_, u8, u8>, y: u8| x + y).boxed());
//! });
//! ```
//! ```compile_fail
//! use antiphon_coroutine::{coroutine, BoxCoroutine, Co};
//! let mut kept: Option<BoxCoroutine<'_, u8, u8, u8>> = None;
//! let _ = coroutine(async |co: &mut Co<'_, u8, u8>, x| {
//!     let inner = async move |_: &mut Co<'_, u8, u8>, y: u8| { let _ = co.yield_(y).await; x };
//!     kept = Some(coroutine(inner).boxed());
//! });
//! ```
//!
//! # Being resumed without being a coroutine
//! ```
//! use antiphon_coroutine::Resume;
//! fn accepts<C: Resume<Yield = u8>>(_: &C) {}
//! ```
//! ```compile_fail
//! use antiphon_coroutine::Resume;
//! struct Mine;
//! impl Resume for Mine {}
//! ```
