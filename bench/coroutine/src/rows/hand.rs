//! State machines written by hand: what every row is compared with.
//!
//! The averager is an enum with the states of a coroutine, since that is what it stands in for; the other machines
//! are as small as they can be.

use std::hint::black_box;

use super::{HAND, Row, row};
use crate::workload::{Block, Mean, average, block, call, create, far, sum, text};

pub(super) const ROWS: &[Row] = &[
    row!(Average, Inline, HAND, |measure| measure.run(&mut |n| {
        let mut machine = Averager::Created;
        average(n, |x| machine.resume(x));
    })),
    row!(Average, Call, HAND, average_by_call),
    row!(Average, Boxed, HAND, |measure| {
        let mut machine = black_box(averager_boxed());
        measure.run(&mut |n| average(n, &mut machine));
    }),
    row!(Nested1, Call, HAND, average_by_call),
    row!(Nested3, Call, HAND, average_by_call),
    row!(Delegated, Call, HAND, average_by_call),
    row!(Sum, Inline, HAND, |measure| measure.run(&mut |n| {
        let mut numbers = Numbers::new();
        sum(n, || numbers.next());
    })),
    row!(Sum, Call, HAND, |measure| {
        let mut numbers = Numbers::new();
        measure.run(&mut |n| sum(n, || call(&mut numbers, (), |numbers, ()| numbers.next())));
    }),
    row!(Sum, Boxed, HAND, |measure| {
        let mut numbers: Box<dyn Iterator<Item = u64>> = black_box(Box::new(Numbers::new()));
        measure.run(&mut |n| sum(n, || numbers.next()));
    }),
    row!(Block, Call, HAND, |measure| {
        let mut machine = Adder { resumed: 0 };
        measure.run(&mut |n| block(n, |b| call(&mut machine, b, Adder::resume)));
    }),
    row!(Block, Boxed, HAND, |measure| {
        let mut machine = Adder { resumed: 0 };
        let mut machine: Box<dyn FnMut(Block) -> Block> =
            black_box(Box::new(move |b| machine.resume(b)));
        measure.run(&mut |n| block(n, &mut machine));
    }),
    row!(Text, Call, HAND, |measure| {
        let mut machine = Echo { resumed: 0 };
        measure.run(&mut |n| text(n, |t| call(&mut machine, t, Echo::resume)));
    }),
    row!(Text, Boxed, HAND, |measure| {
        let mut machine = Echo { resumed: 0 };
        let mut machine: Box<dyn FnMut(String) -> String> =
            black_box(Box::new(move |t| machine.resume(t)));
        measure.run(&mut |n| text(n, &mut machine));
    }),
    row!(Create, Call, HAND, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| black_box(Averager::Created).resume(x))
        });
    })),
    row!(Create, Boxed, HAND, |measure| measure.run(&mut |n| {
        create(n, |x| call((), x, |(), x| black_box(averager_boxed())(x)));
    })),
];

fn average_by_call(measure: &mut dyn super::Measure) {
    let mut machine = Averager::Created;
    measure.run(&mut |n| average(n, |x| call(&mut machine, x, Averager::resume)));
}

enum Averager {
    Created,
    Suspended(Mean),
}

impl Averager {
    #[inline(always)]
    fn resume(&mut self, x: f64) -> f64 {
        match self {
            Self::Created => {
                let mut mean = Mean::default();
                let y = mean.add(x);
                *self = Self::Suspended(mean);
                y
            }
            Self::Suspended(mean) => mean.add(x),
        }
    }
}

fn averager_boxed() -> Box<dyn FnMut(f64) -> f64> {
    let mut machine = Averager::Created;
    Box::new(move |x| machine.resume(x))
}

struct Numbers {
    next: u64,
    end: u64,
}

impl Numbers {
    fn new() -> Self {
        Self {
            next: 0,
            end: far(),
        }
    }
}

impl Iterator for Numbers {
    type Item = u64;

    #[inline(always)]
    fn next(&mut self) -> Option<u64> {
        if self.next == self.end {
            return None;
        }
        self.next += 1;
        Some(self.next - 1)
    }
}

/// Counts its resumes, for something to remember between them.
struct Adder {
    resumed: u64,
}

impl Adder {
    #[inline(always)]
    fn resume(&mut self, block: Block) -> Block {
        self.resumed += 1;
        block.plus_one()
    }
}

/// Counts its resumes, for something to remember between them.
struct Echo {
    resumed: u64,
}

impl Echo {
    #[inline(always)]
    fn resume(&mut self, text: String) -> String {
        self.resumed += 1;
        text
    }
}
