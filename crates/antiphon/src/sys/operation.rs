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
//! when all was sent or it failed. Connections that nobody asks for end their accept at [`ACCEPTED_MAX`], so that the
//! kernel's queue fills up and the peers notice.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::Location;
use std::task::{Context, Poll};

use super::op::{Completion, Op, Output, Token};
use crate::wait::{Place, Waits, poll_place};
use crate::worker::{Worker, current, try_current};

/// A worker's operations that are not over.
#[derive(Default)]
pub(crate) struct Operations {
    entries: RefCell<Vec<Entry>>,
    free: RefCell<Vec<u32>>,
}

struct Entry {
    /// Drawn anew for each operation that has this entry. A token carries it.
    generation: u32,
    state: State,
    /// Its end was asked for: it is not continued.
    is_cancelled: bool,
    /// What came and was not taken yet: several for an operation with many completions.
    results: VecDeque<Completion>,
    /// The records of the leaves that wait. All are woken; the first that runs takes the result, and the others wait on.
    places: Vec<Place>,
}

/// What is to be done about a completion.
enum Next {
    Nothing,
    Wake(Vec<Place>),
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

/// An accept that has so many connections which nobody took is ended.
const ACCEPTED_MAX: usize = 64;

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
                results: VecDeque::new(),
                places: Vec::new(),
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

    fn remove(&self, entry: &mut Entry, token: Token) {
        entry.state = State::Free;
        entry.places.clear();
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
        if entry.state == State::Orphaned {
            if completion.op.is_some() {
                self.remove(entry, token);
            }
            drop(entries);
            rescue(&completion);
            return Next::Nothing;
        }
        entry.results.push_back(completion);
        Next::Wake(std::mem::take(&mut entry.places))
    }

    /// Gives back the memory of the list of those who were woken. Returns `true` if the operation should be ended because
    /// too many of its results were not taken.
    fn woken(&self, token: Token, places: Vec<Place>) -> bool {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = find(&mut entries, token) else {
            return false;
        };
        if entry.places.is_empty() {
            entry.places = places;
            entry.places.clear();
        }
        let is_full = entry.results.len() >= ACCEPTED_MAX && !entry.is_cancelled;
        entry.is_cancelled |= is_full;
        is_full
    }

    /// Takes the next result of an operation, and its entry away with the last one.
    fn take(&self, token: Token) -> Taken {
        let mut entries = self.entries.borrow_mut();
        let Some(entry) = find(&mut entries, token) else {
            return Taken::Gone;
        };
        let Some(completion) = entry.results.pop_front() else {
            return Taken::NotYet;
        };
        if completion.op.is_some() {
            self.remove(entry, token);
        }
        Taken::Completion(completion.result, completion.op)
    }

    fn watch(&self, token: Token, place: Place) {
        if let Some(entry) = find(&mut self.entries.borrow_mut(), token) {
            if !entry.places.contains(&place) {
                entry.places.push(place);
            }
        }
    }

    fn unwatch(&self, token: Token, place: Place) {
        if let Some(entry) = find(&mut self.entries.borrow_mut(), token) {
            entry.places.retain(|other| *other != place);
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
        let results = std::mem::take(&mut entry.results);
        entry.places.clear();
        entry.is_cancelled |= cancel;
        let is_over = results
            .back()
            .is_some_and(|completion| completion.op.is_some());
        if is_over {
            self.remove(entry, token);
        } else {
            entry.state = State::Orphaned;
        }
        drop(entries);
        results.iter().for_each(rescue);
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

/// The results that nobody took are dealt with at the end of the loop, which the sockets may outlive.
impl Drop for Operations {
    fn drop(&mut self) {
        for entry in self.entries.get_mut() {
            entry.results.iter().for_each(rescue);
        }
    }
}

fn find(entries: &mut [Entry], token: Token) -> Option<&mut Entry> {
    let entry = entries.get_mut(token.index() as usize)?;
    (entry.state != State::Free && u64::from(entry.generation) == token.0 >> 32).then_some(entry)
}

/// Deals with a result that nobody waits for any more. Bytes go to the socket, whose next reader finds them; a connection
/// is closed, and so is what was connected when its socket goes.
fn rescue(completion: &Completion) {
    if let (
        Ok(Output::Count(count)),
        Some(Op::Recv {
            socket,
            buffer,
            peek: false,
        }),
    ) = (&completion.result, &completion.op)
    {
        socket
            .late
            .borrow_mut()
            .extend_from_slice(&buffer[buffer.len() - count..]);
    }
}

/// Takes the rest out of a send that was taken in part.
fn take_unsent(completion: &mut Completion) -> Option<Op> {
    let (Ok(Output::Count(count)), Some(Op::Send { buffer, from, .. })) =
        (&completion.result, &mut completion.op)
    else {
        return None;
    };
    // Nothing sent is no progress: it would go on for ever.
    if *count == 0 || *from + *count >= buffer.len() {
        return None;
    }
    *from += *count;
    completion.op.take()
}

/// Takes in what a driver collected, and wakes who waits for it.
pub(crate) fn complete_all(worker: &Worker, completions: &mut Vec<Completion>) {
    for completion in completions.drain(..) {
        let token = completion.token;
        match worker.operations().complete(completion) {
            Next::Nothing => {}
            Next::GoOn(op) => worker.driver().submit(token, op),
            Next::Wake(places) => {
                for place in &places {
                    Waits::choose(worker, *place);
                }
                if worker.operations().woken(token, places) {
                    worker.driver().cancel(token);
                }
            }
        }
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
