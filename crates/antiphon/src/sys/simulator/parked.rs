//! Operations that are not over, each in the queue of its end and direction; and those of which something is to be reported.

use std::collections::VecDeque;
use std::io;

use super::entropy::Entropy;
use crate::sys::op::{Completion, Interest, Op, Output, Token};
use crate::sys::slots::{Key, Slots};
use crate::sys::tokens::Tokens;

#[derive(Debug)]
pub(super) struct Parked {
    /// Counts submissions.
    pub(super) number: u64,
    pub(super) token: Token,
    pub(super) op: Op,
    /// The end that it is about.
    pub(super) end: Key,
    /// Set when it was attempted.
    pub(super) is_begun: bool,
}

/// What is to be reported, and of which submission.
#[derive(Debug)]
pub(super) struct Done {
    number: u64,
    completion: Completion,
}

#[derive(Debug)]
pub(super) struct Queues {
    parked: Slots<Parked>,
    tokens: Tokens,
    /// By the index of the end, which its operations keep open.
    ends: Vec<End>,
    submitted: u64,
}

#[derive(Debug, Default)]
struct End {
    readers: VecDeque<Key>,
    writers: VecDeque<Key>,
}

impl Queues {
    pub(super) fn new() -> Self {
        Self {
            parked: Slots::new(),
            tokens: Tokens::default(),
            ends: Vec::new(),
            submitted: 0,
        }
    }

    /// Returns the number of a new submission.
    pub(super) const fn next_number(&mut self) -> u64 {
        self.submitted += 1;
        self.submitted
    }

    /// Puts an operation behind the others that wait at its end.
    pub(super) fn park(&mut self, end: Key, token: Token, op: Op) {
        let interest = op.interest();
        let at = self.parked.insert(Parked {
            number: self.submitted + 1,
            token,
            op,
            end,
            is_begun: false,
        });
        self.submitted += 1;
        self.tokens.insert(token, at);
        self.queue(end, interest).push_back(at);
    }

    /// Takes an operation away that is in no queue.
    pub(super) fn remove(&mut self, at: Key) -> Option<Parked> {
        let parked = self.parked.remove(at)?;
        self.tokens.remove(&parked.token);
        Some(parked)
    }

    pub(super) fn get_mut(&mut self, at: Key) -> Option<&mut Parked> {
        self.parked.get_mut(at)
    }

    pub(super) fn find(&self, token: Token) -> Option<Key> {
        self.tokens.get(&token).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.parked.len()
    }

    /// Takes a queue, to be put back when it was worked off.
    pub(super) fn take_queue(&mut self, end: Key, interest: Interest) -> VecDeque<Key> {
        std::mem::take(self.queue(end, interest))
    }

    pub(super) fn put_queue(&mut self, end: Key, interest: Interest, queue: VecDeque<Key>) {
        *self.queue(end, interest) = queue;
    }

    pub(super) fn leave_queue(&mut self, end: Key, interest: Interest, at: Key) {
        let queue = self.queue(end, interest);
        if queue.front() == Some(&at) {
            queue.pop_front();
        } else {
            queue.retain(|other| *other != at);
        }
    }

    fn queue(&mut self, end: Key, interest: Interest) -> &mut VecDeque<Key> {
        let index = end.index as usize;
        if index >= self.ends.len() {
            self.ends.resize_with(index + 1, End::default);
        }
        match interest {
            Interest::Read => &mut self.ends[index].readers,
            Interest::Write => &mut self.ends[index].writers,
        }
    }
}

impl Done {
    /// One of several.
    pub(super) const fn one(number: u64, token: Token, output: Output) -> Self {
        Self {
            number,
            completion: Completion {
                token,
                result: Ok(output),
                op: None,
            },
        }
    }

    pub(super) const fn last(
        number: u64,
        token: Token,
        op: Op,
        result: io::Result<Output>,
    ) -> Self {
        Self {
            number,
            completion: Completion {
                token,
                result,
                op: Some(op),
            },
        }
    }
}

/// Moves all of `done` to `completions`: in the order of submission, or in one that is drawn. Those of one operation stay in
/// theirs.
pub(super) fn report(
    done: &mut Vec<Done>,
    order: Option<&mut Entropy>,
    completions: &mut Vec<Completion>,
) {
    done.sort_by_key(|done| done.number);
    if let Some(order) = order {
        shuffle(done, order);
    }
    completions.extend(done.drain(..).map(|done| done.completion));
}

/// Draws which operation has its turn, as often as it has something to report; `done` is sorted.
fn shuffle(done: &mut Vec<Done>, order: &mut Entropy) {
    let mut turns: Vec<u64> = done.iter().map(|done| done.number).collect();
    order.shuffle(&mut turns);
    // Where the reports of each operation are, and the next of them.
    let mut next = std::collections::BTreeMap::new();
    for (index, done) in done.iter().enumerate() {
        next.entry(done.number).or_insert(index);
    }
    let mut sorted: Vec<_> = done.drain(..).map(Some).collect();
    for number in turns {
        let index = next.get_mut(&number).expect("each has an index");
        done.extend(sorted[*index].take());
        *index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_drawn_but_not_within_an_operation() {
        let reports = || -> Vec<_> {
            let report = |index: usize| {
                let number = index as u64 % 4;
                Done::one(number, Token(number), Output::Count(index))
            };
            (0..20).map(report).collect()
        };
        let order_of = |order: Option<&mut Entropy>| -> Vec<_> {
            let mut completions = Vec::new();
            super::report(&mut reports(), order, &mut completions);
            let index = |completion: Completion| match completion.result {
                Ok(Output::Count(index)) => index,
                other => panic!("it is another: {other:?}"),
            };
            completions.into_iter().map(index).collect()
        };
        let plain = order_of(None);
        assert_eq!(
            plain[..6],
            [0, 4, 8, 12, 16, 1],
            "in the order of submission"
        );
        let drawn = order_of(Some(&mut Entropy::of_seed(1)));
        assert_ne!(drawn, plain);
        assert_ne!(drawn, order_of(Some(&mut Entropy::of_seed(2))));
        for number in 0..4 {
            let of_one: Vec<_> = drawn.iter().filter(|index| *index % 4 == number).collect();
            assert!(of_one.is_sorted());
        }
    }
}
