//! The library under test: pinned, and as a `BoxCoroutine`.

use std::hint::black_box;
use std::pin::pin;

use antiphon_coroutine::{
    BoxCoroutine, Co,
    CoroutineState::{self, Complete, Yielded},
    Interrupt, coroutine, generator,
};

use super::{Measure, Row, row};
use crate::workload::{Block, Mean, average, block, call, create, ended, far, sum, text};

const PINNED: &str = "antiphon, pinned";
const BOXED: &str = "antiphon, BoxCoroutine";

pub(super) const ROWS: &[Row] = &[
    row!(Average, Inline, PINNED, |measure| measure.run(&mut |n| {
        let mut c = pin!(coroutine(averager));
        average(n, |x| yielded(c.send(x)));
    })),
    row!(Average, Call, PINNED, |measure| {
        let mut c = pin!(coroutine(averager));
        measure.run(&mut |n| average(n, |x| call(c.as_mut(), x, |mut c, x| yielded(c.send(x)))));
    }),
    row!(Average, Boxed, BOXED, |measure| {
        average_boxed(measure, coroutine(averager).boxed());
    }),
    row!(Nested1, Call, PINNED, |measure| {
        let mut c = pin!(coroutine(averager_1));
        measure.run(&mut |n| average(n, |x| call(c.as_mut(), x, |mut c, x| yielded(c.send(x)))));
    }),
    row!(Nested1, Boxed, BOXED, |measure| {
        average_boxed(measure, coroutine(averager_1).boxed());
    }),
    row!(Nested3, Call, PINNED, |measure| {
        let mut c = pin!(coroutine(averager_3));
        measure.run(&mut |n| average(n, |x| call(c.as_mut(), x, |mut c, x| yielded(c.send(x)))));
    }),
    row!(Nested3, Boxed, BOXED, |measure| {
        average_boxed(measure, coroutine(averager_3).boxed());
    }),
    row!(Delegated, Call, "antiphon, delegate", |measure| {
        let mut c = pin!(coroutine(averager_delegated));
        measure.run(&mut |n| average(n, |x| call(c.as_mut(), x, |mut c, x| yielded(c.send(x)))));
    }),
    row!(Sum, Inline, PINNED, |measure| measure.run(&mut |n| {
        let mut numbers = pin!(generator(numbers));
        sum(n, || numbers.next());
    })),
    row!(Sum, Call, PINNED, |measure| {
        let mut numbers = pin!(generator(numbers));
        measure.run(&mut |n| sum(n, || call(numbers.as_mut(), (), |mut c, ()| c.next())));
    }),
    row!(Sum, Boxed, BOXED, |measure| {
        let numbers = generator(numbers);
        let mut numbers: BoxCoroutine<'_, u64, (), Result<(), Interrupt>> =
            black_box(numbers.boxed());
        measure.run(&mut |n| sum(n, || numbers.next()));
    }),
    row!(Block, Call, PINNED, |measure| {
        let mut c = pin!(coroutine(adder));
        measure.run(&mut |n| block(n, |b| call(c.as_mut(), b, |mut c, b| yielded(c.send(b)))));
    }),
    row!(Block, Boxed, BOXED, |measure| {
        let mut c = black_box(coroutine(adder).boxed());
        measure.run(&mut |n| block(n, |b| yielded(c.send(b))));
    }),
    row!(Text, Call, PINNED, |measure| {
        let mut c = pin!(coroutine(echo));
        measure.run(&mut |n| text(n, |t| call(c.as_mut(), t, |mut c, t| yielded(c.send(t)))));
    }),
    row!(Text, Boxed, BOXED, |measure| {
        let mut c = black_box(coroutine(echo).boxed());
        measure.run(&mut |n| text(n, |t| yielded(c.send(t))));
    }),
    row!(Create, Call, PINNED, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| yielded(pin!(coroutine(averager)).send(x)))
        });
    })),
    row!(Create, Boxed, BOXED, |measure| measure.run(&mut |n| {
        create(n, |x| {
            call((), x, |(), x| {
                yielded(black_box(coroutine(averager).boxed()).send(x))
            })
        });
    })),
];

type Outcome = Result<(), Interrupt>;

fn average_boxed(measure: &mut dyn Measure, c: BoxCoroutine<'_, f64, f64, Outcome>) {
    let mut c = black_box(c);
    measure.run(&mut |n| average(n, |x| yielded(c.send(x))));
}

async fn averager(co: &mut Co<'_, f64, f64>, mut x: f64) -> Outcome {
    let mut mean = Mean::default();
    loop {
        x = co.yield_(mean.add(x)).await?;
    }
}

/// The same once more: a body of its own, which the compiler can inline, as it can `averager` in the rows without helpers.
async fn helper(co: &mut Co<'_, f64, f64>, mut x: f64) -> Outcome {
    let mut mean = Mean::default();
    loop {
        x = co.yield_(mean.add(x)).await?;
    }
}

async fn averager_1(co: &mut Co<'_, f64, f64>, x: f64) -> Outcome {
    helper(co, x).await
}

async fn averager_2(co: &mut Co<'_, f64, f64>, x: f64) -> Outcome {
    averager_1(co, x).await
}

async fn averager_3(co: &mut Co<'_, f64, f64>, x: f64) -> Outcome {
    averager_2(co, x).await
}

async fn averager_delegated(co: &mut Co<'_, f64, f64>, x: f64) -> Outcome {
    let mut inner = pin!(coroutine(averager));
    co.delegate(inner.as_mut(), x).await
}

async fn numbers(co: &mut Co<'_, u64>) -> Outcome {
    for number in 0..far() {
        co.yield_(number).await?;
    }
    Ok(())
}

async fn adder(co: &mut Co<'_, Block, Block>, mut block: Block) -> Outcome {
    loop {
        block = co.yield_(block.plus_one()).await?;
    }
}

async fn echo(co: &mut Co<'_, String, String>, mut text: String) -> Outcome {
    loop {
        text = co.yield_(text).await?;
    }
}

#[inline(always)]
fn yielded<Y, R>(state: CoroutineState<Y, R>) -> Y {
    match state {
        Yielded(value) => value,
        Complete(_) => ended(),
    }
}
