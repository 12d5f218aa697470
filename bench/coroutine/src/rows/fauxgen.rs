//! `fauxgen`: an attribute macro, pinned on the stack or in a box; values travel through the waker.

use std::hint::black_box;
use std::pin::{Pin, pin};

use fauxgen::{Generator, GeneratorState, generator};

use super::{Row, row};
use crate::workload::{Block, Mean, average, block, call, create, ended, far, sum, text};

const PINNED: &str = "fauxgen, pinned";
const BOXED: &str = "fauxgen, boxed";

pub(super) const ROWS: &[Row] = &[
    row!(Average, Inline, PINNED, |measure| measure.run(&mut |n| {
        let mut g = pin!(averager());
        average(n, |x| yielded(g.as_mut().resume(x)));
    })),
    row!(Average, Call, PINNED, |measure| {
        let mut g = pin!(averager());
        measure.run(&mut |n| average(n, |x| call(g.as_mut(), x, |g, x| yielded(g.resume(x)))));
    }),
    row!(Average, Boxed, BOXED, |measure| {
        let mut g: Erased<f64, f64> = black_box(Box::pin(averager()));
        measure.run(&mut |n| average(n, |x| yielded(g.as_mut().resume(x))));
    }),
    row!(Sum, Inline, PINNED, |measure| measure.run(&mut |n| {
        let mut g = pin!(numbers());
        sum(n, || item(g.as_mut().resume(())));
    })),
    row!(Sum, Call, PINNED, |measure| {
        let mut g = pin!(numbers());
        measure.run(&mut |n| sum(n, || call(g.as_mut(), (), |g, ()| item(g.resume(())))));
    }),
    row!(Sum, Boxed, BOXED, |measure| {
        let mut g: Erased<u64, ()> = black_box(Box::pin(numbers()));
        measure.run(&mut |n| sum(n, || item(g.as_mut().resume(()))));
    }),
    row!(Block, Call, PINNED, |measure| {
        let mut g = pin!(adder());
        measure.run(&mut |n| block(n, |b| call(g.as_mut(), b, |g, b| yielded(g.resume(b)))));
    }),
    row!(Block, Boxed, BOXED, |measure| {
        let mut g: Erased<Block, Block> = black_box(Box::pin(adder()));
        measure.run(&mut |n| block(n, |b| yielded(g.as_mut().resume(b))));
    }),
    row!(Text, Call, PINNED, |measure| {
        let mut g = pin!(echo());
        measure.run(&mut |n| text(n, |t| call(g.as_mut(), t, |g, t| yielded(g.resume(t)))));
    }),
    row!(Text, Boxed, BOXED, |measure| {
        let mut g: Erased<String, String> = black_box(Box::pin(echo()));
        measure.run(&mut |n| text(n, |t| yielded(g.as_mut().resume(t))));
    }),
    row!(Create, Call, PINNED, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| yielded(pin!(averager()).resume(x)))
        });
    })),
    row!(Create, Boxed, BOXED, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| {
                let mut g: Erased<f64, f64> = black_box(Box::pin(averager()));
                yielded(g.as_mut().resume(x))
            })
        });
    })),
];

type Erased<Y, A> = Pin<Box<dyn Generator<A, Yield = Y, Return = ()>>>;

#[generator(yield = f64, arg = f64)]
fn averager() {
    let mut mean = Mean::default();
    let mut x = argument!();
    loop {
        x = r#yield!(mean.add(x));
    }
}

#[generator(yield = u64)]
fn numbers() {
    for number in 0..far() {
        r#yield!(number);
    }
}

#[generator(yield = Block, arg = Block)]
fn adder() {
    let mut block = argument!();
    loop {
        block = r#yield!(block.plus_one());
    }
}

#[generator(yield = String, arg = String)]
fn echo() {
    let mut text = argument!();
    loop {
        text = r#yield!(text);
    }
}

#[inline(always)]
fn yielded<Y>(state: GeneratorState<Y, ()>) -> Y {
    match state {
        GeneratorState::Yielded(value) => value,
        GeneratorState::Complete(()) => ended(),
    }
}

#[inline(always)]
fn item<Y>(state: GeneratorState<Y, ()>) -> Option<Y> {
    match state {
        GeneratorState::Yielded(value) => Some(value),
        GeneratorState::Complete(()) => None,
    }
}
