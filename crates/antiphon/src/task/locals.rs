//! Context variables: values that a task carries, and that the tasks it spawns inherit.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use crate::worker::current;

/// A variable of which every task has its own value.
///
/// A task inherits the values that its spawner had at that moment; what either sets later is its own. Declared as a
/// `static`. Reading it costs a search through the variables that the task has, so keep them few.
///
/// # Examples
/// ```
/// use antiphon::{TaskLocal, run, spawn};
///
/// static REQUEST: TaskLocal<u32> = TaskLocal::new();
///
/// run(async || {
///     REQUEST.set(7);
///     let child = spawn(async || {
///         let inherited = REQUEST.get();
///         REQUEST.set(8);
///         inherited
///     });
///     assert_eq!(child.await.unwrap(), Some(7));
///     assert_eq!(REQUEST.get(), Some(7));
/// });
/// ```
pub struct TaskLocal<T: 'static> {
    /// Gives each variable an address of its own, which is its identity.
    _identity: u8,
    _value: std::marker::PhantomData<fn() -> T>,
}

impl<T: Clone + 'static> TaskLocal<T> {
    /// Makes a variable that no task has a value for yet.
    #[allow(
        clippy::new_without_default,
        reason = "it is only useful as a static, which can't call `default`"
    )]
    pub const fn new() -> Self {
        Self {
            _identity: 0,
            _value: std::marker::PhantomData,
        }
    }

    /// Returns a clone of the running task's value; `None` if it has none.
    ///
    /// # Panics
    /// If no task is running on this thread.
    #[track_caller]
    pub fn get(&'static self) -> Option<T> {
        let key = self.key();
        let value = current(|worker| worker.with_running(|task| task.locals()?.get(key)))?;
        value.downcast_ref::<T>().cloned()
    }

    /// Sets the running task's value.
    ///
    /// # Panics
    /// If no task is running on this thread.
    #[track_caller]
    pub fn set(&'static self, value: T) {
        let (key, value) = (self.key(), Rc::new(value));
        let previous =
            current(|worker| worker.with_running(|task| task.locals_to_set().set(key, value)));
        // Outside the borrow: its destructor may look at variables.
        drop(previous);
    }

    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<T> fmt::Debug for TaskLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocal").finish_non_exhaustive()
    }
}

type Variables = Vec<(usize, Rc<dyn Any>)>;

/// The variables of one task, if it has any. Shared with its spawner until one of them sets one.
#[derive(Default)]
pub(crate) struct Locals(Cell<Option<Rc<Variables>>>);

impl Locals {
    /// What a task spawned now inherits, if that is anything.
    pub(crate) fn inherit(&self) -> Option<Self> {
        Some(Self(Cell::new(Some(self.share()?))))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.share().is_none()
    }

    #[inline]
    fn share(&self) -> Option<Rc<Variables>> {
        let variables = self.0.take();
        let shared = variables.clone();
        self.0.set(variables);
        shared
    }

    fn get(&self, key: usize) -> Option<Rc<dyn Any>> {
        let variables = self.share()?;
        variables
            .iter()
            .find(|(found, _)| *found == key)
            .map(|(_, value)| Rc::clone(value))
    }

    /// Sets a variable and returns the value that it had.
    fn set(&self, key: usize, value: Rc<dyn Any>) -> Option<Rc<dyn Any>> {
        let mut shared = self.0.take().unwrap_or_default();
        let variables = Rc::make_mut(&mut shared);
        let place = variables.iter_mut().find(|(found, _)| *found == key);
        let previous = if let Some((_, place)) = place {
            Some(std::mem::replace(place, value))
        } else {
            variables.push((key, value));
            None
        };
        self.0.set(Some(shared));
        previous
    }
}
