//! Operations under way: their entries, and the leaf that waits for one.
//!
//! ```text
//!             (1) start            (2) completion            (3) the leaf takes it
//!   free ─────────────▶ Waiting ────────────────▶ Waiting, with results ───────▶ free, if it was the last
//!                          │ (4) the leaf goes away: cancel, or detach
//!                          ▼
//!                       Orphaned ── (5) last completion: late results are dealt with ──▶ free
//! ```
//! Two kinds have a little more to them. A send that was taken in part goes on with the rest, so its leaf hears of it once,
//! when all was sent or it failed. Connections and bytes that nobody asks for end their operation at [`UNTAKEN_MAX`], so that
//! the kernel's queue fills up and the peers notice.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::Location;
use std::task::{Context, Poll};

use super::direct::Share;
use super::op::{Completion, Op, Output, Token};
use crate::explore::probe;
use crate::scope::is_explored_here;
use crate::wait::{Place, Waits, poll_place};
use crate::worker::{Address, Worker, current, try_current};

/// A worker's operations that are not over.
#[derive(Default)]
pub(crate) struct Operations {
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<u32>>,
    /// Memory for receives: a stream that waits has none.
    spare: RefCell<Vec<Vec<u8>>>,
    /// What the running task may still do at once in this turn.
    share: Cell<Option<Share>>,
}

struct Entry {
    /// Drawn anew for each operation that has this entry. A token carries it.
    generation: u32,
    state: State,
    /// Its end was asked for: it is not continued.
    is_cancelled: bool,
    /// The record of the leaf that waits, if one does.
    place: Option<Place>,
    /// Those of the others. All are woken; the first that runs takes the result, and the others wait on.
    more_places: Vec<Place>,
    /// What came and was not taken yet: several for an operation with many completions.
    results: VecDeque<io::Result<Output>>,
    /// The operation, once it is over: with its last result.
    op: Option<Op>,
}

/// What is to be done about a completion.
enum Next {
    Nothing,
    Wake {
        place: Option<Place>,
        more_places: Vec<Place>,
        /// Too many of its results were not taken: it should be ended.
        is_full: bool,
    },
    /// Its rest is an operation under the same token.
    GoOn(Op),
}

/// What there is of a completion.
pub(crate) enum Taken {
    /// A result, and the operation with its memory if it is over.
    Completion(io::Result<Output>, Option<Op>),
    NotYet,
    /// The loop that it belonged to has ended.
    Gone,
}

/// Idle buffers that a worker keeps, and how large one may be.
const SPARE_MAX: usize = 16;
const SPARE_CAPACITY_MAX: usize = 64 * 1024;

/// An operation that has so many results which nobody took is ended.
const UNTAKEN_MAX: usize = 64;

thread_local! {
    /// Drawn by every operation of every worker that this thread runs, one worker after the other: an operation that
    /// outlives its loop finds nothing in the next one.
    static GENERATION: Cell<u32> = const { Cell::new(0) };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Waiting,
    Orphaned,
}

impl Operations {
    fn insert(&self) -> Token {
        let mut entries = self.entries.borrow_mut();
        let index = self.free.borrow_mut().pop().unwrap_or_else(|| {
            entries.push(Entry {
                generation: 0,
                state: State::Free,
                is_cancelled: false,
                place: None,
                more_places: Vec::new(),
                results: VecDeque::new(),
                op: None,
            });
            u32::try_from(entries.len() - 1)
                .expect("fewer than 2^32 operations are under way on a worker")
        });
        let entry = &mut entries[index as usize];
        entry.generation =
            GENERATION.with(|generation| generation.replace(generation.get().wrapping_add(1)));
        entry.state = State::Waiting;
        entry.is_cancelled = false;
        Token(u64::from(entry.generation) << 32 | u64::from(index))
    }

    /// Returns `true` if `task` may do something at once.
    pub(super) fn may_try(&self, task: Address) -> bool {
        let share = Share::take(self.share.get(), task);
        if share.is_some() {
            self.share.set(share);
        }
        share.is_some()
    }

    fn remove(&self, entry: &mut Entry, token: Token) {
        entry.state = State::Free;
        entry.place = None;
        entry.more_places.clear();
        self.free.borrow_mut().push(token.index());
    }

    /// Takes a completion in.
    fn complete(&self, mut completion: Completion) -> Next {
        let mut entries = self.entries.borrow_mut();
        let token = completion.token;
        let Some(entry) = find(&mut entries, token) else {
            return Next::Nothing;
        };
        if !entry.is_cancelled {
            if let Some(op) = take_unsent(&mut completion) {
                return Next::GoOn(op);
            }
        }
        // It says no more than what waits to be taken.
        let is_hint = completion.op.is_none() && matches!(completion.result, Ok(Output::Count(_)));
        if is_hint && !entry.results.is_empty() {
            return Next::Nothing;
        }
        if entry.state == State::Orphaned {
            if completion.op.is_some() {
                self.remove(entry, token);
            }
            // A connection that nobody asks for is closed; bytes are those of a stream that has gone.
            drop(entries);
            drop(completion);
            return Next::Nothing;
        }
        entry.results.push_back(completion.result);
        entry.op = completion.op;
        let is_full = entry.results.len() >= UNTAKEN_MAX && !entry.is_cancelled;
        entry.is_cancelled |= is_full;
        Next::Wake {
            place: entry.place.take(),
            more_places: std::mem::take(&mut entry.more_places),
            is_full,
        }
    }

    /// Gives back the memory of the list of those who were woken.
    fn woken(&self, token: Token, mut places: Vec<Place>) {
        if let Some(entry) = find(&mut self.entries.borrow_mut(), token) {
            if entry.more_places.is_empty() {
                places.clear();
                entry.more_places = places;
            }
        }
    }

    /// Takes the next result of an operation, and its entry away with the last one.
    fn take(&self, token: Token) -> Taken {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = find(&mut entries, token) else {
            return Taken::Gone;
        };
        let Some(result) = entry.results.pop_front() else {
            return Taken::NotYet;
        };
        let op = if entry.results.is_empty() {
            entry.op.take()
        } else {
            None
        };
        if op.is_some() {
            self.remove(entry, token);
        }
        Taken::Completion(result, op)
    }

    fn watch(&self, token: Token, place: Place) {
        if let Some(entry) = find(&mut self.entries.borrow_mut(), token) {
            match entry.place {
                None => entry.place = Some(place),
                Some(other) if other == place || entry.more_places.contains(&place) => {}
                Some(_) => entry.more_places.push(place),
            }
        }
    }

    fn unwatch(&self, token: Token, place: Place) {
        if let Some(entry) = find(&mut self.entries.borrow_mut(), token) {
            if entry.place == Some(place) {
                entry.place = entry.more_places.pop();
            } else {
                entry.more_places.retain(|other| *other != place);
            }
        }
    }

    fn set_cancelled(&self, token: Token) {
        if let Some(entry) = find(&mut self.entries.borrow_mut(), token) {
            entry.is_cancelled = true;
        }
    }

    /// Leaves an operation to itself. Returns `true` if it is still under way.
    fn orphan(&self, token: Token, cancel: bool) -> bool {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = find(&mut entries, token) else {
            return false;
        };
        // They are dropped outside of the borrow: a connection is closed, and bytes are those of a stream that has gone.
        let results = std::mem::take(&mut entry.results);
        let op = entry.op.take();
        entry.place = None;
        entry.more_places.clear();
        entry.is_cancelled |= cancel;
        let is_over = op.is_some();
        if is_over {
            self.remove(entry, token);
        } else {
            entry.state = State::Orphaned;
        }
        drop(entries);
        drop((results, op));
        !is_over
    }

    /// Returns the tokens of all operations that are not over, for their end to be asked for.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let mut entries = self.entries.borrow_mut();
        let used = (0u64..)
            .zip(entries.iter_mut())
            .filter(|(_, entry)| entry.state != State::Free);
        let token = |(index, entry): (u64, &mut Entry)| {
            entry.is_cancelled = true;
            Token(u64::from(entry.generation) << 32 | index)
        };
        used.map(token).collect()
    }
}

/// The loop has ended. Streams may outlive it, and find the bytes that nobody took at their sockets.
impl Drop for Operations {
    fn drop(&mut self) {
        for entry in self.entries.get_mut() {
            let Some(Op::Incoming { socket, .. }) = &entry.op else {
                continue;
            };
            let mut late = socket.late.borrow_mut();
            for result in &entry.results {
                if let Ok(Output::Bytes(chunk)) = result {
                    late.extend_from_slice(chunk.as_ref());
                }
            }
        }
    }
}

fn find(entries: &mut [Entry], token: Token) -> Option<&mut Entry> {
    let entry = entries.get_mut(token.index() as usize)?;
    (entry.state != State::Free && u64::from(entry.generation) == token.0 >> 32).then_some(entry)
}

/// Takes the rest out of a send that was taken in part.
fn take_unsent(completion: &mut Completion) -> Option<Op> {
    let Ok(Output::Count(count)) = &completion.result else {
        return None;
    };
    let (buffer, from) = match &mut completion.op {
        Some(Op::Send { buffer, from, .. }) => (buffer, from),
        Some(Op::File(op)) => {
            return op.advance(*count).then(|| completion.op.take()).flatten();
        }
        _ => return None,
    };
    // Nothing sent is no progress: it would go on for ever.
    if *count == 0 || *from + *count >= buffer.len() {
        return None;
    }
    *from += *count;
    completion.op.take()
}

/// Has the next call to the simulator fail.
#[cold]
pub(super) fn fail_next(worker: &Worker) {
    if let Some(simulator) = worker.driver().simulator() {
        let next = simulator.calls();
        simulator.fail_call(Some(next));
    }
}

/// Takes in what a driver collected, and wakes who waits for it.
pub(crate) fn complete_all(worker: &Worker, completions: &mut Vec<Completion>) {
    worker.operations().share.set(None);
    for completion in completions.drain(..) {
        let token = completion.token;
        match worker.operations().complete(completion) {
            Next::Nothing => {}
            Next::GoOn(op) => worker.driver().submit(token, op),
            Next::Wake {
                place,
                more_places,
                is_full,
            } => {
                for place in place.iter().chain(&more_places) {
                    Waits::choose(worker, *place);
                }
                if more_places.capacity() > 0 {
                    worker.operations().woken(token, more_places);
                }
                if is_full {
                    worker.driver().cancel(token);
                }
            }
        }
    }
}

/// Lends empty memory, with no capacity if there is none to spare.
pub(crate) fn lend() -> Vec<u8> {
    try_current(|worker| worker.operations().spare.borrow_mut().pop())
        .flatten()
        .unwrap_or_default()
}

/// Takes memory back that was lent, or is of no use to a stream any more.
pub(crate) fn take_back(mut memory: Vec<u8>) {
    if (1..=SPARE_CAPACITY_MAX).contains(&memory.capacity()) {
        memory.clear();
        try_current(|worker| {
            let mut spare = worker.operations().spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(memory);
            }
        });
    }
}

/// A leaf: an operation that was started, and the wait for what comes of it.
///
/// Dropped before its last completion it asks the driver for the operation's end, and leaves the memory with it until
/// then.
pub(crate) struct Operation {
    token: Token,
    place: Option<Place>,
    is_over: bool,
    kind: &'static str,
    at: &'static Location<'static>,
}

impl Operation {
    /// Starts `op` on the running worker. `kind` and `at` are what the task tree shows.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    #[track_caller]
    pub(crate) fn start(op: Op, kind: &'static str, at: &'static Location<'static>) -> Self {
        let token = current(|worker| {
            let token = worker.operations().insert();
            if is_explored_here() && probe::call_begins(worker, kind, at) {
                fail_next(worker);
            }
            worker.driver().submit(token, op);
            token
        });
        Self {
            token,
            place: None,
            is_over: false,
            kind,
            at,
        }
    }

    /// Polls for the next completion: its result, and the operation with its memory if that was the last.
    ///
    /// On another thread's or a later loop, which knows nothing of the operation, it is an error.
    ///
    /// # Panics
    /// If it is polled after the last one.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<Output>, Option<Op>)> {
        match self.take() {
            Taken::Completion(result, op) => {
                self.leave();
                Poll::Ready((result, op))
            }
            Taken::NotYet => {
                // A place that was chosen for a result that has been taken meanwhile is given back here.
                if self.place.is_none() || poll_place(&mut self.place, cx).is_ready() {
                    let place = Waits::join(cx, self.kind, self.at);
                    self.place = Some(place);
                    self.watch(place);
                }
                Poll::Pending
            }
            Taken::Gone => Poll::Ready((
                Err(io::Error::other(
                    "the loop that the operation belongs to has ended",
                )),
                None,
            )),
        }
    }

    /// Takes the next completion, if it is there.
    ///
    /// # Panics
    /// If it is asked after the last one.
    pub(crate) fn take(&mut self) -> Taken {
        assert!(!self.is_over, "an operation was polled after it was over");
        let taken =
            try_current(|worker| worker.operations().take(self.token)).unwrap_or(Taken::Gone);
        self.is_over = matches!(taken, Taken::Completion(_, Some(_)) | Taken::Gone);
        taken
    }

    /// Has the leaf at `place` woken by the next completion. It must [`unwatch`](Self::unwatch) if it goes away before.
    pub(crate) fn watch(&self, place: Place) {
        try_current(|worker| worker.operations().watch(self.token, place));
    }

    pub(crate) fn unwatch(token: Token, place: Place) {
        try_current(|worker| worker.operations().unwatch(token, place));
    }

    pub(crate) const fn token(&self) -> Token {
        self.token
    }

    /// Asks for the operation's end. The completion still comes, and tells whether it was done all the same.
    pub(crate) fn cancel(&self) {
        if !self.is_over {
            try_current(|worker| {
                worker.operations().set_cancelled(self.token);
                worker.driver().cancel(self.token);
            });
        }
    }

    /// Ends the operation now, and returns the results that were not taken. No driver waits with the answer to a
    /// cancellation.
    pub(crate) fn end(mut self) -> Vec<io::Result<Output>> {
        let mut results = Vec::new();
        self.cancel();
        loop {
            match self.take() {
                Taken::Completion(result, op) => {
                    results.push(result);
                    if op.is_some() {
                        return results;
                    }
                }
                Taken::NotYet => {
                    try_current(|worker| {
                        let mut done = Vec::new();
                        worker.driver().wait(Some(worker.now()), &mut done);
                        complete_all(worker, &mut done);
                    });
                }
                Taken::Gone => return results,
            }
        }
    }

    /// Lets the operation run to its end in the background. Nobody hears of that.
    pub(crate) fn detach(mut self) {
        self.leave();
        if !self.is_over {
            self.is_over = true;
            try_current(|worker| worker.operations().orphan(self.token, false));
        }
    }

    fn leave(&mut self) {
        if let Some(place) = self.place.take() {
            Waits::leave(place);
            Self::unwatch(self.token, place);
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.leave();
        try_current(|worker| {
            if worker.operations().orphan(self.token, true) {
                worker.driver().cancel(self.token);
            }
        });
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("kind", &self.kind)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
