//! Events with names.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::SendError;
use super::leaf::Leaf;
use crate::scope::Cancelled;
use crate::wait::Queue;

/// A place where tasks wait for events by name, first come first served.
///
/// An event resumes *one* waiter, the first, and hands it a value of type `V`. An event that nobody waits for is not
/// remembered: whoever waits afterwards waits for the next one. A task that waits again in reaction to an event is not
/// resumed by that same event.
///
/// # Examples
/// Each order waits to be paid, then to be shipped:
/// ```
/// use antiphon::{Cancelled, run, spawn, sync::EventHub, yield_now};
/// use std::rc::Rc;
///
/// run(async || {
///     let hub = Rc::new(EventHub::<&str>::new());
///     let orders: Vec<_> = (1..=2)
///         .map(|order| {
///             let hub = Rc::clone(&hub);
///             spawn(async move || {
///                 hub.wait("paid").await?;
///                 hub.wait("shipped").await?;
///                 Ok::<_, Cancelled>(order)
///             })
///         })
///         .collect();
///     yield_now().await?;
///     assert_eq!(hub.waiting("paid"), 2);
///
///     assert!(hub.fire("paid"), "the first order hears it");
///     assert!(!hub.fire("shipped"), "nobody waits for that yet");
///     yield_now().await?;
///     assert!(hub.fire("shipped"));
///     yield_now().await?;
///     assert!(orders[0].is_finished() && !orders[1].is_finished());
///     Ok::<(), Cancelled>(())
/// })?;
/// # Ok::<(), antiphon::Cancelled>(())
/// ```
pub struct EventHub<K, V = ()> {
    /// Who waits for which event. A name has an entry as long as its line has members.
    lines: RefCell<BTreeMap<K, Rc<Line>>>,
    /// What was handed to waiters that have not run yet, by the number of the handing.
    handed: RefCell<BTreeMap<u64, Handed<V>>>,
    /// How many events there were. One who waits notes the number that it does not wait for.
    events: Cell<u64>,
    /// How many values were handed to somebody.
    handings: Cell<u64>,
}

/// Those who wait for one event.
struct Line {
    queue: Queue,
    /// The futures that refer to this line: they stand in the queue, or were chosen and have not run yet.
    members: Cell<usize>,
}

/// A value on its way.
struct Handed<V> {
    value: V,
    /// The number of the event that it came with.
    event: u64,
}

impl<K: Ord + Clone, V> EventHub<K, V> {
    /// Makes a hub where nobody waits.
    pub const fn new() -> Self {
        Self {
            lines: RefCell::new(BTreeMap::new()),
            handed: RefCell::new(BTreeMap::new()),
            events: Cell::new(0),
            handings: Cell::new(0),
        }
    }

    /// Waits for the event `key`, and returns what it brings.
    ///
    /// It stands in line from the first poll on.
    ///
    /// # Errors
    /// [`Cancelled`] if the scope is cancelled before; in a scope that is cancelled already it does not stand in line at all.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** It leaves the line, and those behind it move up. An event that came before the cancel is returned, and
    /// the next wait is the one that ends; if the future is dropped then, the event goes to the next one who was waiting for it
    /// when it was fired.
    #[track_caller]
    pub const fn wait(&self, key: K) -> EventHubWait<'_, K, V> {
        EventHubWait {
            hub: self,
            key,
            line: None,
            leaf: Leaf::new(Location::caller()),
        }
    }

    /// Resumes the first who waits for `key`, and hands it `value`.
    ///
    /// # Errors
    /// [`SendError::Closed`], with `value`, if nobody waits. It does not wait, and is never cancelled.
    pub fn fire_with<Q: Ord + ?Sized>(&self, key: &Q, value: V) -> Result<(), SendError<V>>
    where
        K: Borrow<Q>,
    {
        let event = self.next_event();
        match self.line(key) {
            Some(line) => self
                .hand(&line.queue, Handed { value, event })
                .map_err(SendError::Closed),
            None => Err(SendError::Closed(value)),
        }
    }

    /// Resumes all who wait for `key` now, in their order, and hands each a clone of `value`. Returns how many there were.
    pub fn fire_all_with<Q: Ord + ?Sized>(&self, key: &Q, value: V) -> usize
    where
        K: Borrow<Q>,
        V: Clone,
    {
        let event = self.next_event();
        let Some(line) = self.line(key) else { return 0 };
        // No more clones than are handed out; those who join meanwhile come after the event, and get none.
        let waiting = line.queue.len();
        let hand = |_: &usize| {
            self.hand(
                &line.queue,
                Handed {
                    value: value.clone(),
                    event,
                },
            )
            .is_ok()
        };
        (0..waiting).take_while(hand).count()
    }

    /// Returns how many wait for `key`.
    pub fn waiting<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.line(key).map_or(0, |line| line.queue.len())
    }

    fn next_event(&self) -> u64 {
        self.events.set(self.events.get() + 1);
        self.events.get()
    }

    fn line<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Rc<Line>>
    where
        K: Borrow<Q>,
    {
        let lines = self
            .lines
            .try_borrow()
            .unwrap_or_else(|_| used_by_its_keys());
        lines.get(key).cloned()
    }

    /// Makes one more a member of the line of those who wait for `key`.
    fn enter_line(&self, key: &K) -> Rc<Line> {
        let line = self.line(key).unwrap_or_else(|| self.open_line(key));
        line.members.set(line.members.get() + 1);
        line
    }

    #[cold]
    fn open_line(&self, key: &K) -> Rc<Line> {
        // Outside of the borrow: cloning it may run code that opens the line.
        let key = key.clone();
        let mut lines = self
            .lines
            .try_borrow_mut()
            .unwrap_or_else(|_| used_by_its_keys());
        Rc::clone(lines.entry(key).or_insert_with(|| {
            Rc::new(Line {
                queue: Queue::new(),
                members: Cell::new(0),
            })
        }))
    }

    /// Undoes [`enter_line`](Self::enter_line). The last member closes the line.
    fn leave_line(&self, key: &K, line: &Line) {
        line.members.set(line.members.get() - 1);
        if line.members.get() == 0 {
            let entry = self
                .lines
                .try_borrow_mut()
                .unwrap_or_else(|_| used_by_its_keys())
                .remove_entry(key);
            // The key's destructor runs outside of the borrow.
            drop(entry);
        }
    }

    /// Hands a value to the first in `line`, if it stood there before the event. Gives the value back if not.
    fn hand(&self, line: &Queue, handed: Handed<V>) -> Result<(), V> {
        let number = self.handings.get();
        self.handings.set(number + 1);
        let event = handed.event;
        self.handed.borrow_mut().insert(number, handed);
        if line.choose_first_if(|events| (events < event).then_some(number)) {
            return Ok(());
        }
        Err(self.take_handed(number).value)
    }

    fn take_handed(&self, number: u64) -> Handed<V> {
        self.handed
            .borrow_mut()
            .remove(&number)
            .expect("what is handed is taken once, by the one who was told of it")
    }
}

impl<K: Ord + Clone> EventHub<K> {
    /// Resumes the first who waits for `key`. Returns `false` if nobody does.
    pub fn fire<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.fire_with(key, ()).is_ok()
    }

    /// Resumes all who wait for `key` now, in their order. Returns how many there were.
    pub fn fire_all<Q: Ord + ?Sized>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
    {
        self.fire_all_with(key, ())
    }
}

impl<K: Ord + Clone, V> Default for EventHub<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for EventHub<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(lines) = self.lines.try_borrow() else {
            return f.write_str("EventHub(<in use>)");
        };
        f.debug_map()
            .entries(lines.iter().map(|(key, line)| (key, line.queue.len())))
            .finish()
    }
}

#[cold]
fn used_by_its_keys() -> ! {
    panic!(
        "an `EventHub` was used by the `Ord` or `Debug` of its own keys, while it was looking at them"
    )
}

/// The future of [`EventHub::wait`].
#[must_use = "futures do nothing unless awaited"]
pub struct EventHubWait<'a, K: Ord + Clone, V = ()> {
    hub: &'a EventHub<K, V>,
    key: K,
    /// The line that it is a member of, from the first poll until it is over.
    line: Option<Rc<Line>>,
    leaf: Leaf,
}

/// The key is not pinned.
impl<K: Ord + Clone, V> Unpin for EventHubWait<'_, K, V> {}

impl<K: Ord + Clone, V> EventHubWait<'_, K, V> {
    fn leave_line(&mut self) {
        if let Some(line) = self.line.take() {
            self.hub.leave_line(&self.key, &line);
        }
    }
}

impl<K: Ord + Clone, V> Future for EventHubWait<'_, K, V> {
    type Output = Result<V, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.leaf.begin(cx))?;
        let line = this
            .line
            .get_or_insert_with(|| this.hub.enter_line(&this.key));
        if this.leaf.is_waiting() {
            let result = ready!(this.leaf.poll(cx, &line.queue));
            let value = result.map(|number| this.hub.take_handed(number).value);
            this.leave_line();
            return Poll::Ready(value);
        }
        this.leaf
            .join(&line.queue, cx, "event hub", this.hub.events.get());
        Poll::Pending
    }
}

impl<K: Ord + Clone, V> Drop for EventHubWait<'_, K, V> {
    fn drop(&mut self) {
        let Some(line) = &self.line else { return };
        let handed = self
            .leaf
            .leave(&line.queue)
            .map(|number| self.hub.take_handed(number));
        // If all were resumed, there is nobody left to pass it on to.
        let passed_on = handed.map(|handed| self.hub.hand(&line.queue, handed));
        self.leave_line();
        // The value's destructor, if nobody got it, runs last.
        drop(passed_on);
    }
}

impl<K: Ord + Clone + fmt::Debug, V> fmt::Debug for EventHubWait<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHubWait")
            .field("key", &self.key)
            .field("leaf", &self.leaf)
            .finish_non_exhaustive()
    }
}
