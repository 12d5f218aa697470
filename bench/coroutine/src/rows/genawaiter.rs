//! `genawaiter`: `stack`, where a macro pins a shelf, and `rc`, where two allocations are shared.
//!
//! Its first resume argument is lost, so the bodies begin with a yield of nothing of interest.

use std::hint::black_box;
use std::pin::Pin;

use genawaiter::GeneratorState::{self, Complete, Yielded};
use genawaiter::{Coroutine, rc, stack, stack::let_gen_using};

use super::{Row, row};
use crate::workload::{Block, Mean, average, block, call, create, ended, far, sum, text};

const STACK: &str = "genawaiter, stack";
const RC: &str = "genawaiter, rc";

pub(super) const ROWS: &[Row] = &[
    row!(Average, Inline, STACK, |measure| measure.run(&mut |n| {
        let_gen_using!(g, averager);
        average(n, |x| yielded(g.resume_with(x)));
    })),
    row!(Average, Inline, RC, |measure| measure.run(&mut |n| {
        let mut g = rc::Gen::new(averager_rc);
        average(n, |x| yielded(g.resume_with(x)));
    })),
    row!(Average, Call, STACK, |measure| {
        let_gen_using!(g, averager);
        measure.run(&mut |n| average(n, |x| call(&mut *g, x, |g, x| yielded(g.resume_with(x)))));
    }),
    row!(Average, Call, RC, |measure| {
        let mut g = rc::Gen::new(averager_rc);
        measure.run(&mut |n| average(n, |x| call(&mut g, x, |g, x| yielded(g.resume_with(x)))));
    }),
    row!(Average, Boxed, RC, |measure| {
        let mut g: Erased<f64, f64> = black_box(Box::pin(rc::Gen::new(averager_rc)));
        measure.run(&mut |n| average(n, |x| yielded(g.as_mut().resume_with(x))));
    }),
    row!(Nested1, Call, STACK, |measure| {
        let_gen_using!(g, averager_1);
        measure.run(&mut |n| average(n, |x| call(&mut *g, x, |g, x| yielded(g.resume_with(x)))));
    }),
    row!(Nested3, Call, STACK, |measure| {
        let_gen_using!(g, averager_3);
        measure.run(&mut |n| average(n, |x| call(&mut *g, x, |g, x| yielded(g.resume_with(x)))));
    }),
    row!(Delegated, Call, "genawaiter, stack, by hand", |measure| {
        let_gen_using!(g, averager_delegated);
        measure.run(&mut |n| average(n, |x| call(&mut *g, x, |g, x| yielded(g.resume_with(x)))));
    }),
    row!(Sum, Inline, STACK, |measure| measure.run(&mut |n| {
        let_gen_using!(g, numbers);
        sum(n, || item(g.resume()));
    })),
    row!(Sum, Inline, RC, |measure| measure.run(&mut |n| {
        let mut g = rc::Gen::new(numbers_rc);
        sum(n, || item(g.resume()));
    })),
    row!(Sum, Call, STACK, |measure| {
        let_gen_using!(g, numbers);
        measure.run(&mut |n| sum(n, || call(&mut *g, (), |g, ()| item(g.resume()))));
    }),
    row!(Sum, Call, RC, |measure| {
        let mut g = rc::Gen::new(numbers_rc);
        measure.run(&mut |n| sum(n, || call(&mut g, (), |g, ()| item(g.resume()))));
    }),
    row!(Sum, Boxed, RC, |measure| {
        let mut g: Erased<u64, ()> = black_box(Box::pin(rc::Gen::new(numbers_rc)));
        measure.run(&mut |n| sum(n, || item(g.as_mut().resume_with(()))));
    }),
    row!(Block, Call, STACK, |measure| {
        let_gen_using!(g, adder);
        measure.run(&mut |n| block(n, |b| call(&mut *g, b, |g, b| yielded(g.resume_with(b)))));
    }),
    row!(Block, Boxed, RC, |measure| {
        let mut g: Erased<Block, Block> = black_box(Box::pin(rc::Gen::new(adder_rc)));
        measure.run(&mut |n| block(n, |b| yielded(g.as_mut().resume_with(b))));
    }),
    row!(Text, Call, STACK, |measure| {
        let_gen_using!(g, echo);
        measure.run(&mut |n| text(n, |t| call(&mut *g, t, |g, t| yielded(g.resume_with(t)))));
    }),
    row!(Text, Boxed, RC, |measure| {
        let mut g: Erased<String, String> = black_box(Box::pin(rc::Gen::new(echo_rc)));
        measure.run(&mut |n| text(n, |t| yielded(g.as_mut().resume_with(t))));
    }),
    row!(Create, Call, STACK, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| {
                let_gen_using!(g, averager);
                yielded(g.resume_with(x))
            })
        });
    })),
    row!(Create, Call, RC, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| {
                yielded(black_box(rc::Gen::new(averager_rc)).resume_with(x))
            })
        });
    })),
];

type Erased<Y, R> = Pin<Box<dyn Coroutine<Yield = Y, Resume = R, Return = ()>>>;

async fn averager(co: stack::Co<'_, f64, f64>) {
    let mut mean = Mean::default();
    let mut x = co.yield_(0.0).await;
    loop {
        x = co.yield_(mean.add(x)).await;
    }
}

/// The same once more, for the rows with helpers, so that the compiler can inline each where it is used.
async fn helper(co: &stack::Co<'_, f64, f64>) {
    let mut mean = Mean::default();
    let mut x = co.yield_(0.0).await;
    loop {
        x = co.yield_(mean.add(x)).await;
    }
}

async fn averager_1(co: stack::Co<'_, f64, f64>) {
    average_1(&co).await;
}

async fn averager_3(co: stack::Co<'_, f64, f64>) {
    average_3(&co).await;
}

async fn average_1(co: &stack::Co<'_, f64, f64>) {
    helper(co).await;
}

async fn average_2(co: &stack::Co<'_, f64, f64>) {
    average_1(co).await;
}

async fn average_3(co: &stack::Co<'_, f64, f64>) {
    average_2(co).await;
}

/// What `delegate` does, written out.
async fn averager_delegated(co: stack::Co<'_, f64, f64>) {
    let_gen_using!(inner, averager);
    let mut x = co.yield_(0.0).await;
    while let Yielded(y) = inner.resume_with(x) {
        x = co.yield_(y).await;
    }
}

async fn averager_rc(co: rc::Co<f64, f64>) {
    let mut mean = Mean::default();
    let mut x = co.yield_(0.0).await;
    loop {
        x = co.yield_(mean.add(x)).await;
    }
}

async fn numbers(co: stack::Co<'_, u64>) {
    for number in 0..far() {
        co.yield_(number).await;
    }
}

async fn numbers_rc(co: rc::Co<u64>) {
    for number in 0..far() {
        co.yield_(number).await;
    }
}

async fn adder(co: stack::Co<'_, Block, Block>) {
    let mut block = co.yield_(Block::default()).await;
    loop {
        block = co.yield_(block.plus_one()).await;
    }
}

async fn adder_rc(co: rc::Co<Block, Block>) {
    let mut block = co.yield_(Block::default()).await;
    loop {
        block = co.yield_(block.plus_one()).await;
    }
}

async fn echo(co: stack::Co<'_, String, String>) {
    let mut text = co.yield_(String::new()).await;
    loop {
        text = co.yield_(text).await;
    }
}

async fn echo_rc(co: rc::Co<String, String>) {
    let mut text = co.yield_(String::new()).await;
    loop {
        text = co.yield_(text).await;
    }
}

#[inline(always)]
fn yielded<Y>(state: GeneratorState<Y, ()>) -> Y {
    match state {
        Yielded(value) => value,
        Complete(()) => ended(),
    }
}

#[inline(always)]
fn item<Y>(state: GeneratorState<Y, ()>) -> Option<Y> {
    match state {
        Yielded(value) => Some(value),
        Complete(()) => None,
    }
}
