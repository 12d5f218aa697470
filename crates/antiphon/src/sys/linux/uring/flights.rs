//! All operations in flight, and what is to be told to the kernel next. Makes no system call.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use io_uring::{cqueue, opcode, squeue};

use super::flight::{Answer, Flight, Stage};
use super::pool::Pool;
use crate::sys::op::{Completion, Op, Output, Token};
use crate::sys::slots::{Key, Slots, join, split};
use crate::sys::tokens::Tokens;

#[derive(Debug)]
pub(super) struct Flights {
    slots: Slots<Flight>,
    tokens: Tokens,
    /// To be submitted. A key of an operation that is over meanwhile is skipped.
    queued: VecDeque<Key>,
    /// To be cancelled. A queue of its own, which goes first: however many operations wait for room, a cancellation does
    /// not wait behind them.
    cancels: VecDeque<Key>,
    pub(super) done: Vec<Completion>,
    /// How many of `done` are last completions.
    done_last: usize,
    /// Memory for receives. Here, so that it stays when the flights have to. `None` if the kernel has no such thing.
    pool: Option<Rc<Pool>>,
    /// Cleared when the kernel turns out to have no receives that take memory from there.
    uses_pool: bool,
}

/// What the `user_data` of an entry leads to. The two bits that a key leaves free tell which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Operation(Key),
    /// A cancellation. What came of it says the operation's own completion.
    Cancel,
    /// The bell.
    Bell,
}

impl Subject {
    pub(super) fn encode(self) -> u64 {
        match self {
            Self::Operation(key) => join(key.generation, key.index),
            Self::Cancel => 1 << 62,
            Self::Bell => 2 << 62,
        }
    }

    pub(super) fn decode(user_data: u64) -> Self {
        let (generation, index) = split(user_data);
        match user_data >> 62 {
            0 => Self::Operation(Key { index, generation }),
            1 => Self::Cancel,
            _ => Self::Bell,
        }
    }
}

impl Flights {
    pub(super) fn new(pool: Option<Rc<Pool>>) -> Self {
        Self {
            slots: Slots::new(),
            tokens: Tokens::default(),
            queued: VecDeque::new(),
            cancels: VecDeque::new(),
            done: Vec::new(),
            done_last: 0,
            uses_pool: pool.is_some(),
            pool,
        }
    }

    pub(super) fn submit(&mut self, token: Token, op: Op) {
        match Flight::message(&op) {
            Ok(message) => {
                let key = self.slots.insert(Flight::new(token, op, message));
                self.tokens.insert(token, key);
                self.queued.push_back(key);
            }
            Err(error) => self.report_last(token, op, Err(error)),
        }
    }

    /// Asks once for an operation's end. One that the kernel does not know yet is over at once.
    ///
    /// For one that it does know, asking once is enough: the kernel takes submissions in order, so it finds the operation,
    /// or has completed it; and one that is just being worked on it marks, and answers `EALREADY`.
    pub(super) fn cancel(&mut self, token: Token) {
        let Some(key) = self.tokens.get(&token).copied() else {
            return;
        };
        let Some(flight) = self.slots.get_mut(key) else {
            return;
        };
        if std::mem::replace(&mut flight.is_cancelled, true) {
            return;
        }
        match flight.stage {
            Stage::Queued | Stage::QueuedPoll => self.finish(key, Err(cancelled())),
            Stage::Submitted | Stage::Polling => self.cancels.push_back(key),
        }
    }

    /// Asks for the end of all operations.
    pub(super) fn cancel_all(&mut self) {
        for token in self.tokens.keys().copied().collect::<Vec<_>>() {
            self.cancel(token);
        }
    }

    /// Returns what to tell the kernel next. It is then as good as told.
    pub(super) fn next_entry(&mut self) -> Option<squeue::Entry> {
        while let Some(key) = self.cancels.pop_front() {
            // One that has been answered meanwhile has nothing left to be cancelled.
            if self
                .slots
                .get_mut(key)
                .is_some_and(|flight| matches!(flight.stage, Stage::Submitted | Stage::Polling))
            {
                let target = Subject::Operation(key).encode();
                return Some(
                    opcode::AsyncCancel::new(target)
                        .build()
                        .user_data(Subject::Cancel.encode()),
                );
            }
        }
        while let Some(key) = self.queued.pop_front() {
            if let Some(flight) = self.slots.get_mut(key) {
                let entry = flight
                    .entry(self.uses_pool)
                    .user_data(Subject::Operation(key).encode());
                flight.stage = match flight.stage {
                    Stage::QueuedPoll | Stage::Polling => Stage::Polling,
                    Stage::Queued | Stage::Submitted => Stage::Submitted,
                };
                return Some(entry);
            }
        }
        None
    }

    /// Takes in a completion of the operation that `key` leads to.
    ///
    /// # Safety
    /// It is the kernel's, to an entry that [`next_entry`](Self::next_entry) returned.
    pub(super) unsafe fn complete(&mut self, key: Key, completion: &cqueue::Entry) {
        let Some(flight) = self.slots.get_mut(key) else {
            unreachable!("the kernel completed an operation after its last completion")
        };
        // SAFETY: the key is that of the entry, so the answer is to this flight's submission.
        let answer = unsafe { flight.answer(completion, self.pool.as_ref()) };
        let is_last = !cqueue::more(completion.flags());
        match answer {
            Answer::Over(result) => {
                debug_assert!(is_last, "more is to come of what is over");
                self.finish(key, result);
            }
            Answer::NotHere => {
                self.forgo_pool();
                self.finish(key, Ok(Output::Count(0)));
            }
            Answer::One(output) => {
                self.done.push(Completion {
                    token: flight.token,
                    result: Ok(output),
                    op: None,
                });
                if is_last {
                    self.queue(key, Stage::Queued);
                }
            }
            Answer::Again => self.queue(key, Stage::Queued),
            Answer::AgainWhenReady => self.queue(key, Stage::QueuedPoll),
        }
    }

    /// Has receives only waited for from now on.
    pub(super) fn forgo_pool(&mut self) {
        self.uses_pool = false;
    }

    /// Hands out the completions.
    pub(super) fn take_done(&mut self, done: &mut Vec<Completion>) {
        self.done_last = 0;
        if done.is_empty() {
            std::mem::swap(done, &mut self.done);
        } else {
            done.append(&mut self.done);
        }
    }

    /// The operations whose last completion has not been handed out.
    pub(super) fn len(&self) -> usize {
        self.slots.len() + self.done_last
    }

    /// Returns `true` if there is nothing that the kernel holds, or that it is to be told.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Queues an operation for the kernel, again, unless it is to end.
    fn queue(&mut self, key: Key, stage: Stage) {
        let Some(flight) = self.slots.get_mut(key) else {
            return;
        };
        if flight.is_cancelled {
            self.finish(key, Err(cancelled()));
        } else {
            flight.stage = stage;
            self.queued.push_back(key);
        }
    }

    fn finish(&mut self, key: Key, result: io::Result<Output>) {
        if let Some(Flight { token, op, .. }) = self.slots.remove(key) {
            self.tokens.remove(&token);
            self.report_last(token, op, result);
        }
    }

    fn report_last(&mut self, token: Token, op: Op, result: io::Result<Output>) {
        self.done_last += 1;
        self.done.push(Completion {
            token,
            result,
            op: Some(op),
        });
    }
}

fn cancelled() -> io::Error {
    io::Error::from_raw_os_error(libc::ECANCELED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::slots::GENERATION_MAX;

    #[test]
    fn each_subject_comes_back_as_it_went() {
        let operation = |index, generation| Subject::Operation(Key { index, generation });
        let last = operation(u32::MAX, GENERATION_MAX);
        for subject in [
            operation(0, 0),
            operation(7, 1),
            last,
            Subject::Cancel,
            Subject::Bell,
        ] {
            assert_eq!(Subject::decode(subject.encode()), subject);
        }
    }
}
