//! How the leaves are explored: who is exposed, and what is heard of it.
#![allow(dead_code, reason = "each test uses its own part")]

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use antiphon::explore::{Explorer, Fault, exposed};
use antiphon::time::sleep;
use antiphon::{Cancelled, Outcome, join_all, spawn, yield_now};
use futures_util::FutureExt;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

pub(crate) type Ends = Result<(), Box<dyn Error>>;
pub(crate) type Body = Pin<Box<dyn Future<Output = Ends>>>;

/// Who of those who meet at a leaf is exposed. Those who are not must come to their end whatever happens to the others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Each by itself, so that a fault happens to one of them.
    Apart,
    /// All of them, in one scope.
    Together,
    /// Every other one, in one scope: a fault in one of them finds others chosen that have not run yet.
    Half,
}

/// Explores `program` in every shape.
#[track_caller]
pub(crate) fn meeting<F: Future<Output = ()>>(name: &str, program: impl Fn(Shape) -> F) {
    for shape in [Shape::Apart, Shape::Together, Shape::Half] {
        explore_as(&format!("{name} {shape:?}"), || program(shape));
    }
}

/// Explores a program in which only one is exposed.
#[track_caller]
pub(crate) fn alone<F: Future<Output = ()>>(name: &str, program: impl Fn() -> F) {
    explore_as(name, program);
}

#[track_caller]
fn explore_as<F: Future<Output = ()>>(name: &str, program: impl Fn() -> F) {
    let explorer = Explorer::new()
        .faults(&[Fault::Cancel, Fault::Panic])
        .orders(4);
    match explorer.run(program) {
        Ok(all) => println!("{name}: {} points, {} runs", all.points(), all.runs()),
        Err(failure) => panic!("{name}: {failure}"),
    }
}

/// How an exposed body ended.
#[derive(Debug)]
pub(crate) enum How<T> {
    Done(T),
    Cancelled,
    Panicked,
}

impl<T> How<T> {
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    pub(crate) const fn is_panicked(&self) -> bool {
        matches!(self, Self::Panicked)
    }
}

/// Has `body` exposed, and catches the panic that is injected. An error that no cancel has brought about is a panic.
pub(crate) async fn attempt<T, E: std::fmt::Debug>(
    body: impl AsyncFnOnce() -> Result<T, E>,
) -> How<T> {
    match AssertUnwindSafe(exposed(body)).catch_unwind().await {
        Ok(Outcome::Done(value)) => How::Done(value),
        Ok(Outcome::Cancelled(..)) => How::Cancelled,
        Ok(Outcome::Failed(error)) => panic!("it failed without a cancel: {error:?}"),
        Err(_) => How::Panicked,
    }
}

pub(crate) fn body(future: impl Future<Output = Ends> + 'static) -> Body {
    Box::pin(future)
}

/// Runs the bodies in this shape until all have ended.
pub(crate) async fn play(shape: Shape, bodies: impl IntoIterator<Item = Body>) {
    let mut inside = Vec::new();
    let mut outside = Vec::new();
    for (index, body) in bodies.into_iter().enumerate() {
        match shape {
            Shape::Apart => outside.push(spawn(async move || {
                attempt(async || body.await).await;
            })),
            Shape::Half if index % 2 == 1 => outside.push(spawn(async move || {
                body.await.expect("nothing is done to it");
            })),
            Shape::Together | Shape::Half => inside.push(body),
        }
    }
    if !inside.is_empty() {
        attempt(async || {
            let results = join_all(inside.into_iter().map(|body| async move || body.await));
            results.await.into_iter().collect::<Ends>()
        })
        .await;
    }
    for task in outside {
        task.await.expect("nobody panics here");
    }
}

/// Awaits `future` no longer than `patience`, or, if that is zero, until all others have had a step; then drops it, even if
/// it could go on just then.
pub(crate) async fn look<F: Future>(
    patience: Duration,
    future: F,
) -> Result<Option<F::Output>, Cancelled> {
    let (mut rest, mut turn) = (pin!(sleep(patience)), pin!(yield_now()));
    let mut future = pin!(future);
    poll_fn(|cx| {
        let over = if patience.is_zero() {
            turn.as_mut().poll(cx)
        } else {
            rest.as_mut().poll(cx)
        };
        if let Poll::Ready(result) = over {
            return Poll::Ready(result.map(|()| None));
        }
        future.as_mut().poll(cx).map(|output| Ok(Some(output)))
    })
    .await
}

/// A number that many count with.
#[derive(Clone, Default)]
pub(crate) struct Count(Rc<Cell<usize>>);

impl Count {
    pub(crate) fn get(&self) -> usize {
        self.0.get()
    }

    pub(crate) fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// Counts one more until what is returned is dropped. Returns how many there are now.
    pub(crate) fn enter(&self) -> (usize, impl Sized + 'static) {
        struct Leave(Count);
        impl Drop for Leave {
            fn drop(&mut self) {
                self.0.0.set(self.0.get() - 1);
            }
        }
        self.add();
        (self.get(), Leave(self.clone()))
    }
}

/// What was said, in its order.
pub(crate) struct Log<T>(Rc<RefCell<Vec<T>>>);

impl<T> Log<T> {
    pub(crate) fn say(&self, what: T) {
        self.0.borrow_mut().push(what);
    }

    pub(crate) fn take(&self) -> Vec<T> {
        self.0.take()
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// A thing that one at a time has, and that is found again whatever becomes of who had it.
pub(crate) struct Slot<T>(Rc<Cell<Option<T>>>);

impl<T> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Rc::new(Cell::new(Some(value))))
    }

    pub(crate) fn lend(&self) -> Lent<T> {
        Lent {
            value: Some(self.take()),
            slot: Self(Rc::clone(&self.0)),
        }
    }

    pub(crate) fn take(&self) -> T {
        self.0.take().expect("it is here again")
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

pub(crate) struct Lent<T> {
    value: Option<T>,
    slot: Slot<T>,
}

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value
            .as_ref()
            .expect("it is taken when this is dropped")
    }
}

impl<T> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value
            .as_mut()
            .expect("it is taken when this is dropped")
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        self.slot.0.set(self.value.take());
    }
}
