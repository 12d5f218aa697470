//! What one resume costs: the same bodies written with Antiphon, by hand, and with other crates.
//!
//! - [`workload`]: the loops that resume, written once, and the barrier between a loop and what it resumes.
//! - [`rows`]: one module for each way of writing the bodies. A [`Row`](rows::Row) is one cell to measure.
//! - [`timing`]: all rows in turn, in many short rounds, compared within a round.
//! - [`instructions`]: the same rows under callgrind, which counts instead of measuring.
//! - [`report`]: the table, the machine it was made on, and the project's bars.
//!
//! The program (`main.rs`) prints the table. `benches/resume.rs` runs single rows under `divan`.
#![cfg_attr(nightly, feature(coroutines, coroutine_trait, gen_blocks))]
#![allow(
    clippy::inline_always,
    reason = "what is inlined and what is not is what the rows are about"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and nanoseconds of a benchmark are far below 2^52"
)]

pub mod instructions;
pub mod report;
pub mod rows;
pub mod timing;
pub mod workload;
