//! The compiler's own coroutines and `gen` blocks, where a nightly compiler builds the rows.

use std::hint::black_box;
use std::ops::{Coroutine, CoroutineState};
use std::pin::{Pin, pin};

use super::{Row, row};
use crate::workload::{Block, Mean, average, block, call, create, ended, far, sum, text};

const PINNED: &str = "nightly, #[coroutine]";
const BOXED: &str = "nightly, #[coroutine] boxed";
const GEN: &str = "nightly, gen block";

pub(super) const ROWS: &[Row] = &[
    row!(Average, Inline, PINNED, |measure| measure.run(&mut |n| {
        let mut c = pin!(averager());
        average(n, |x| yielded(c.as_mut().resume(x)));
    })),
    row!(Average, Call, PINNED, |measure| {
        let mut c = pin!(averager());
        measure.run(&mut |n| average(n, |x| call(c.as_mut(), x, |c, x| yielded(c.resume(x)))));
    }),
    row!(Average, Boxed, BOXED, |measure| {
        let mut c: Erased<f64, f64> = black_box(Box::pin(averager()));
        measure.run(&mut |n| average(n, |x| yielded(c.as_mut().resume(x))));
    }),
    row!(Sum, Inline, PINNED, |measure| measure.run(&mut |n| {
        let mut c = pin!(numbers());
        sum(n, || item(c.as_mut().resume(())));
    })),
    row!(Sum, Call, PINNED, |measure| {
        let mut c = pin!(numbers());
        measure.run(&mut |n| sum(n, || call(c.as_mut(), (), |c, ()| item(c.resume(())))));
    }),
    row!(Sum, Boxed, BOXED, |measure| {
        let mut c: Erased<u64, ()> = black_box(Box::pin(numbers()));
        measure.run(&mut |n| sum(n, || item(c.as_mut().resume(()))));
    }),
    row!(Sum, Inline, GEN, |measure| measure.run(&mut |n| {
        let mut g = gen_numbers();
        sum(n, || g.next());
    })),
    row!(Sum, Call, GEN, |measure| {
        let mut g = gen_numbers();
        measure.run(&mut |n| sum(n, || call(&mut g, (), |g, ()| g.next())));
    }),
    row!(Sum, Boxed, GEN, |measure| {
        let mut g: Box<dyn Iterator<Item = u64>> = black_box(Box::new(gen_numbers()));
        measure.run(&mut |n| sum(n, || g.next()));
    }),
    row!(Block, Call, PINNED, |measure| {
        let mut c = pin!(adder());
        measure.run(&mut |n| block(n, |b| call(c.as_mut(), b, |c, b| yielded(c.resume(b)))));
    }),
    row!(Block, Boxed, BOXED, |measure| {
        let mut c: Erased<Block, Block> = black_box(Box::pin(adder()));
        measure.run(&mut |n| block(n, |b| yielded(c.as_mut().resume(b))));
    }),
    row!(Text, Call, PINNED, |measure| {
        let mut c = pin!(echo());
        measure.run(&mut |n| text(n, |t| call(c.as_mut(), t, |c, t| yielded(c.resume(t)))));
    }),
    row!(Text, Boxed, BOXED, |measure| {
        let mut c: Erased<String, String> = black_box(Box::pin(echo()));
        measure.run(&mut |n| text(n, |t| yielded(c.as_mut().resume(t))));
    }),
    row!(Create, Call, PINNED, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| yielded(pin!(averager()).resume(x)))
        });
    })),
    row!(Create, Boxed, BOXED, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| {
                let mut c: Erased<f64, f64> = black_box(Box::pin(averager()));
                yielded(c.as_mut().resume(x))
            })
        });
    })),
];

type Erased<Y, R> = Pin<Box<dyn Coroutine<R, Yield = Y, Return = ()>>>;

fn averager() -> impl Coroutine<f64, Yield = f64, Return = ()> {
    #[coroutine]
    static move |mut x: f64| {
        let mut mean = Mean::default();
        loop {
            x = yield mean.add(x);
        }
    }
}

fn numbers() -> impl Coroutine<(), Yield = u64, Return = ()> {
    #[coroutine]
    static move |()| {
        for number in 0..far() {
            yield number;
        }
    }
}

fn gen_numbers() -> impl Iterator<Item = u64> {
    gen move {
        for number in 0..far() {
            yield number;
        }
    }
}

fn adder() -> impl Coroutine<Block, Yield = Block, Return = ()> {
    #[coroutine]
    static move |mut block: Block| {
        loop {
            block = yield block.plus_one();
        }
    }
}

fn echo() -> impl Coroutine<String, Yield = String, Return = ()> {
    #[coroutine]
    static move |mut text: String| {
        loop {
            text = yield text;
        }
    }
}

#[inline(always)]
fn yielded<Y>(state: CoroutineState<Y, ()>) -> Y {
    match state {
        CoroutineState::Yielded(value) => value,
        CoroutineState::Complete(()) => ended(),
    }
}

#[inline(always)]
fn item<Y>(state: CoroutineState<Y, ()>) -> Option<Y> {
    match state {
        CoroutineState::Yielded(value) => Some(value),
        CoroutineState::Complete(()) => None,
    }
}
