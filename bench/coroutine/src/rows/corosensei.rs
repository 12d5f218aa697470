//! `corosensei`: stackful. Its object is owned and its type erased by nature, so it has one form, listed with
//! the pinned ones (behind the same call) and with the boxed ones (without it).

use std::hint::black_box;

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::{Row, row};
use crate::workload::{Block, Mean, average, block, call, create, ended, far, sum, text};

const NAME: &str = "corosensei";

pub(super) const ROWS: &[Row] = &[
    row!(Average, Call, NAME, |measure| {
        let mut c = black_box(Coroutine::new(averager));
        measure.run(&mut |n| average(n, |x| call(&mut c, x, |c, x| yielded(c.resume(x)))));
    }),
    row!(Average, Boxed, NAME, |measure| {
        let mut c = black_box(Coroutine::new(averager));
        measure.run(&mut |n| average(n, |x| yielded(c.resume(x))));
    }),
    row!(Nested1, Boxed, NAME, |measure| {
        let mut c = black_box(Coroutine::new(averager_1));
        measure.run(&mut |n| average(n, |x| yielded(c.resume(x))));
    }),
    row!(Nested3, Boxed, NAME, |measure| {
        let mut c = black_box(Coroutine::new(averager_3));
        measure.run(&mut |n| average(n, |x| yielded(c.resume(x))));
    }),
    row!(Delegated, Call, "corosensei, by hand", |measure| {
        let mut c = black_box(Coroutine::new(averager_delegated));
        measure.run(&mut |n| average(n, |x| call(&mut c, x, |c, x| yielded(c.resume(x)))));
    }),
    row!(Sum, Call, NAME, |measure| {
        let mut c = black_box(Coroutine::new(numbers));
        measure.run(&mut |n| sum(n, || call(&mut c, (), |c, ()| c.resume(()).as_yield())));
    }),
    row!(Sum, Boxed, NAME, |measure| {
        let mut c = black_box(Coroutine::new(numbers));
        measure.run(&mut |n| sum(n, || c.resume(()).as_yield()));
    }),
    row!(Block, Boxed, NAME, |measure| {
        let mut c = black_box(Coroutine::new(adder));
        measure.run(&mut |n| block(n, |b| yielded(c.resume(b))));
    }),
    row!(Text, Boxed, NAME, |measure| {
        let mut c = black_box(Coroutine::new(echo));
        measure.run(&mut |n| text(n, |t| yielded(c.resume(t))));
    }),
    row!(Create, Boxed, "corosensei, new stack", |measure| measure
        .run(&mut |n| {
            create(n, |x| {
                call((), x, |(), x| {
                    yielded(black_box(Coroutine::new(averager)).resume(x))
                })
            });
        })),
    row!(Create, Boxed, "corosensei, stack reused", |measure| {
        let mut stack = Some(DefaultStack::default());
        measure.run(&mut |n| {
            create(n, |x| {
                call(&mut stack, x, |stack, x| {
                    let old = stack.take().expect("given back below");
                    let mut c = black_box(Coroutine::with_stack(old, averager));
                    let y = yielded(c.resume(x));
                    // What dropping it does, but for the stack.
                    c.force_unwind();
                    *stack = Some(c.into_stack());
                    y
                })
            });
        });
    }),
];

fn averager(yielder: &Yielder<f64, f64>, mut x: f64) {
    let mut mean = Mean::default();
    loop {
        x = yielder.suspend(mean.add(x));
    }
}

#[inline(never)]
fn averager_1(yielder: &Yielder<f64, f64>, x: f64) {
    averager(yielder, x);
}

#[inline(never)]
fn averager_2(yielder: &Yielder<f64, f64>, x: f64) {
    averager_1(yielder, x);
}

#[inline(never)]
fn averager_3(yielder: &Yielder<f64, f64>, x: f64) {
    averager_2(yielder, x);
}

/// What `delegate` does, written out.
fn averager_delegated(yielder: &Yielder<f64, f64>, mut x: f64) {
    let mut inner = black_box(Coroutine::new(averager));
    while let Some(y) = inner.resume(x).as_yield() {
        x = yielder.suspend(y);
    }
}

fn numbers(yielder: &Yielder<(), u64>, (): ()) {
    for number in 0..far() {
        yielder.suspend(number);
    }
}

fn adder(yielder: &Yielder<Block, Block>, mut block: Block) {
    loop {
        block = yielder.suspend(block.plus_one());
    }
}

fn echo(yielder: &Yielder<String, String>, mut text: String) {
    loop {
        text = yielder.suspend(text);
    }
}

#[inline(always)]
fn yielded<Y>(result: CoroutineResult<Y, ()>) -> Y {
    match result {
        CoroutineResult::Yield(value) => value,
        CoroutineResult::Return(()) => ended(),
    }
}
