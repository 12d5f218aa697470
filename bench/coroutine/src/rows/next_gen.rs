//! `next-gen`: attribute macros, pinned on the stack or in a box.

use std::hint::black_box;
use std::pin::Pin;

use next_gen::generator::{Generator, GeneratorState};
use next_gen::{generator, mk_gen};

use super::{Row, row};
use crate::workload::{Block, Mean, average, block, call, create, ended, far, sum, text};

const PINNED: &str = "next-gen, pinned";
const BOXED: &str = "next-gen, boxed";

pub(super) const ROWS: &[Row] = &[
    row!(Average, Inline, PINNED, |measure| measure.run(&mut |n| {
        mk_gen!(let mut g = averager());
        average(n, |x| yielded(g.as_mut().resume(x)));
    })),
    row!(Average, Call, PINNED, |measure| {
        mk_gen!(let mut g = averager());
        measure.run(&mut |n| average(n, |x| call(g.as_mut(), x, |g, x| yielded(g.resume(x)))));
    }),
    row!(Average, Boxed, BOXED, |measure| {
        mk_gen!(let g = box averager());
        let mut g: Erased<f64, f64> = black_box(g);
        measure.run(&mut |n| average(n, |x| yielded(g.as_mut().resume(x))));
    }),
    row!(Sum, Inline, PINNED, |measure| measure.run(&mut |n| {
        mk_gen!(let mut g = numbers());
        sum(n, || item(g.as_mut().resume(())));
    })),
    row!(Sum, Call, PINNED, |measure| {
        mk_gen!(let mut g = numbers());
        measure.run(&mut |n| sum(n, || call(g.as_mut(), (), |g, ()| item(g.resume(())))));
    }),
    row!(Sum, Boxed, BOXED, |measure| {
        mk_gen!(let g = box numbers());
        let mut g: Erased<u64, ()> = black_box(g);
        measure.run(&mut |n| sum(n, || item(g.as_mut().resume(()))));
    }),
    row!(Block, Call, PINNED, |measure| {
        mk_gen!(let mut g = adder());
        measure.run(&mut |n| block(n, |b| call(g.as_mut(), b, |g, b| yielded(g.resume(b)))));
    }),
    row!(Block, Boxed, BOXED, |measure| {
        mk_gen!(let g = box adder());
        let mut g: Erased<Block, Block> = black_box(g);
        measure.run(&mut |n| block(n, |b| yielded(g.as_mut().resume(b))));
    }),
    row!(Text, Call, PINNED, |measure| {
        mk_gen!(let mut g = echo());
        measure.run(&mut |n| text(n, |t| call(g.as_mut(), t, |g, t| yielded(g.resume(t)))));
    }),
    row!(Text, Boxed, BOXED, |measure| {
        mk_gen!(let g = box echo());
        let mut g: Erased<String, String> = black_box(g);
        measure.run(&mut |n| text(n, |t| yielded(g.as_mut().resume(t))));
    }),
    row!(Create, Call, PINNED, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| {
                mk_gen!(let mut g = averager());
                yielded(g.as_mut().resume(x))
            })
        });
    })),
    row!(Create, Boxed, BOXED, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| {
                mk_gen!(let g = box averager());
                let mut g: Erased<f64, f64> = black_box(g);
                yielded(g.as_mut().resume(x))
            })
        });
    })),
];

type Erased<Y, R> = Pin<Box<dyn Generator<R, Yield = Y, Return = ()>>>;

#[generator(yield(f64), resume(f64) as mut x)]
fn averager() {
    let mut mean = Mean::default();
    loop {
        x = yield_!(mean.add(x));
    }
}

#[generator(yield(u64))]
fn numbers() {
    for number in 0..far() {
        yield_!(number);
    }
}

#[generator(yield(Block), resume(Block) as mut block)]
fn adder() {
    loop {
        block = yield_!(block.plus_one());
    }
}

#[generator(yield(String), resume(String) as mut text)]
fn echo() {
    loop {
        text = yield_!(text);
    }
}

#[inline(always)]
fn yielded<Y>(state: GeneratorState<Y, ()>) -> Y {
    match state {
        GeneratorState::Yielded(value) => value,
        GeneratorState::Returned(()) => ended(),
    }
}

#[inline(always)]
fn item<Y>(state: GeneratorState<Y, ()>) -> Option<Y> {
    match state {
        GeneratorState::Yielded(value) => Some(value),
        GeneratorState::Returned(()) => None,
    }
}
