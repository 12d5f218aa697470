//! `remit`: generators only; nothing can be sent in.

use std::hint::black_box;
use std::pin::pin;

use remit::{Generator, Remit};

use super::{Row, row};
use crate::workload::{call, far, sum};

const PINNED: &str = "remit, pinned";

pub(super) const ROWS: &[Row] = &[
    row!(Sum, Inline, PINNED, |measure| measure.run(&mut |n| {
        let place = pin!(Generator::new());
        let mut g = place.of(numbers);
        sum(n, || g.next());
    })),
    row!(Sum, Call, PINNED, |measure| {
        let place = pin!(Generator::new());
        let mut g = place.of(numbers);
        measure.run(&mut |n| sum(n, || call(&mut g, (), |g, ()| g.next())));
    }),
    row!(Sum, Boxed, "remit, boxed", |measure| {
        let mut g: Box<dyn Iterator<Item = u64>> = black_box(Box::new(Generator::boxed(numbers)));
        measure.run(&mut |n| sum(n, || g.next()));
    }),
];

async fn numbers(remit: Remit<'_, u64>) {
    for number in 0..far() {
        remit.value(number).await;
    }
}
