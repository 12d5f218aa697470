//! A context manager of two closures.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::ending::Ending;
use super::if_dropped::HandOver;
use super::manager::ContextManager;

/// Makes something to enter of two closures: `enter` makes the value, `exit` ends it.
///
/// Await it for a guard, or give it to [`with`](super::with()). Neither closure runs before that. Both own what they use, so
/// that the loop can take the exit over; a guard that is dropped without [`with`](super::with()) drops the value and does
/// not run `exit`.
///
/// # Errors
/// What `enter` returns.
///
/// # Examples
/// ```
/// use antiphon::context::{Ending, from_fn, with};
/// use antiphon::{Cancelled, run, yield_now};
/// use std::{cell::Cell, rc::Rc};
///
/// run(async || {
///     let users = Rc::new(Cell::new(0));
///     let (entering, exiting) = (Rc::clone(&users), Rc::clone(&users));
///     let counted = from_fn(
///         async move || {
///             entering.set(entering.get() + 1);
///             Ok::<_, Cancelled>("a name")
///         },
///         async move |_name, _ending: Ending<'_>| {
///             yield_now().await?;
///             exiting.set(exiting.get() - 1);
///             Ok::<_, Cancelled>(())
///         },
///     );
///     let body = with(counted, async |name| {
///         assert_eq!(**name, "a name");
///         Ok::<_, Cancelled>(users.get())
///     });
///     assert_eq!(body.await?, 1);
///     assert_eq!(users.get(), 0);
///     Ok::<(), Cancelled>(())
/// })?;
/// # Ok::<(), Cancelled>(())
/// ```
pub async fn from_fn<A, C, V, N, X>(enter: A, exit: C) -> Result<Made<V, C>, N>
where
    A: AsyncFnOnce() -> Result<V, N>,
    C: for<'a> AsyncFnOnce(V, Ending<'a>) -> Result<(), X> + 'static,
    V: 'static,
    X: fmt::Display + 'static,
{
    let value = enter().await?;
    Ok(Made { value, exit })
}

/// Makes something to enter of a value that is there already.
///
/// # Errors
/// None.
///
/// # Examples
/// ```
/// use antiphon::context::{entered, from_fn, with};
/// use antiphon::{Cancelled, run};
///
/// run(async || {
///     let three = from_fn(async || Ok::<_, Cancelled>(3), async |_, _| Ok::<(), Cancelled>(()));
///     let three = three.await?;
///     assert_eq!(*three, 3);
///     let four = with(entered(three), async |three| Ok::<_, Cancelled>(**three + 1)).await?;
///     assert_eq!(four, 4);
///     Ok::<(), Cancelled>(())
/// })?;
/// # Ok::<(), Cancelled>(())
/// ```
pub fn entered<V: ContextManager>(value: V) -> std::future::Ready<Result<V, V::Error>> {
    std::future::ready(Ok(value))
}

/// A value with the closure that ends it: see [`from_fn`]. It dereferences to the value.
pub struct Made<V, C> {
    value: V,
    exit: C,
}

impl<V, C> Made<V, C> {
    /// Returns the value. What was to end it is dropped.
    pub fn into_inner(this: Self) -> V {
        this.value
    }
}

impl<V, C, X> ContextManager for Made<V, C>
where
    C: for<'a> AsyncFnOnce(V, Ending<'a>) -> Result<(), X> + 'static,
    V: 'static,
    X: fmt::Display + 'static,
{
    type Error = X;
    type IfDropped = HandOver;

    async fn exit(self, ending: Ending<'_>) -> Result<(), X> {
        (self.exit)(self.value, ending).await
    }
}

impl<V, C> Deref for Made<V, C> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V, C> DerefMut for Made<V, C> {
    fn deref_mut(&mut self) -> &mut V {
        &mut self.value
    }
}

impl<V: fmt::Debug, C> fmt::Debug for Made<V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Made").field(&self.value).finish()
    }
}
