//! Children with names.

use std::error::Error;
use std::fmt;
use std::panic::Location;

use super::handle::ChildHandle;
use super::nursery::Group;

/// A child to be, with a name: see [`Group::child`].
///
/// # Examples
/// ```
/// use antiphon::{Cancelled, group, run};
///
/// run(async || {
///     group(async |group| {
///         let child = group.child().name("waiter").spawn(async || Ok(()));
///         assert_eq!(child.name(), Some("waiter"));
///         Ok::<(), Cancelled>(())
///     })
///     .await
///     .unwrap();
/// });
/// ```
#[must_use = "a child starts when `spawn` is called"]
pub struct ChildBuilder<'a, 'env, E> {
    group: &'a Group<'env, E>,
    name: Option<Box<str>>,
}

impl<'a, 'env, E> ChildBuilder<'a, 'env, E> {
    pub(super) const fn new(group: &'a Group<'env, E>) -> Self {
        Self { group, name: None }
    }

    /// Names the child, for messages and the task tree.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    pub(super) fn into_parts(self) -> (&'a Group<'env, E>, Option<Box<str>>) {
        (self.group, self.name)
    }
}

impl<'env, E: Error + 'static> ChildBuilder<'_, 'env, E> {
    /// Starts the child: see [`Group::spawn`].
    ///
    /// # Panics
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn spawn<F, T>(self, body: F) -> ChildHandle<T>
    where
        F: AsyncFnOnce() -> Result<T, E> + 'env,
        T: 'env,
    {
        let state = &self.group.state;
        state.spawn(body(), self.name, Location::caller())
    }

    /// Starts a child that has a handle to the group: see [`Group::spawn_with`].
    ///
    /// # Panics
    /// If no loop is running on this thread.
    #[track_caller]
    pub fn spawn_with<F, T>(self, body: F) -> ChildHandle<T>
    where
        F: AsyncFnOnce(Group<'env, E>) -> Result<T, E> + 'env,
        T: 'env,
    {
        let body = body(self.group.clone());
        self.group.state.spawn(body, self.name, Location::caller())
    }
}

impl<E> fmt::Debug for ChildBuilder<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildBuilder")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
