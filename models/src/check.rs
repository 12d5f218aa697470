//! How a property is checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use loom::model::Builder;

use crate::worker;

/// Runs `model` under every order of its threads, or within the limits that loom's variables set, such as
/// `LOOM_MAX_PREEMPTIONS`.
///
/// # Panics
/// If `model` does so under one of the orders, or if all its threads sleep for ever.
pub fn check(model: impl Fn() + Send + Sync + 'static) {
    run(&Builder::new(), model);
}

/// Does as [`check`] does, for a model with too many orders: leaves out those in which more than `switches_max` times a
/// thread has to stop for another though it could go on.
///
/// # Panics
/// As [`check`].
pub fn check_up_to(switches_max: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(switches_max);
    run(&builder, model);
}

fn run(builder: &Builder, model: impl Fn() + Send + Sync + 'static) {
    let orders = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&orders);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        worker::make_boxes();
        model();
    });
    println!("{} orders", orders.load(Ordering::Relaxed));
}
