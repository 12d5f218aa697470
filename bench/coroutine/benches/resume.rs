//! The rows one by one, with their distributions: `cargo bench -p antiphon-bench-coroutine -- average/call`.
//!
//! For comparing rows use the program, which interleaves them; this is for looking at one.

use std::fmt;

use antiphon_bench_coroutine::rows::{self, Measure, Row};
use divan::{Bencher, counter::ItemsCount};

/// Resumes in one iteration: enough to make divan's clock reads disappear.
const RESUMES: u64 = 1_000;

fn main() {
    divan::main();
}

#[divan::bench(args = rows::all().into_iter().map(Named))]
fn resume(bencher: Bencher<'_, '_>, row: &Named) {
    (row.0.run)(&mut Divan(Some(bencher)));
}

struct Named(Row);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.key())
    }
}

struct Divan<'a, 'b>(Option<Bencher<'a, 'b>>);

impl Measure for Divan<'_, '_> {
    fn run(&mut self, resume: &mut dyn FnMut(u64)) {
        if let Some(bencher) = self.0.take() {
            bencher
                .counter(ItemsCount::new(RESUMES))
                .bench_local(|| resume(RESUMES));
        }
    }
}
