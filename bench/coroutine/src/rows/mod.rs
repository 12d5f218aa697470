//! The rows. Each module writes the workloads in one way, in that way's most natural form.
//!
//! A row sets its object up on its own stack and hands the harness a closure that resumes it `n` times. Rows of
//! [`Form::Inline`] set it up inside that closure instead, where the optimiser sees that nobody else can reach it.
//! Objects of [`Form::Boxed`] pass through `black_box`, so that their type is forgotten.

use crate::workload::{Form, Workload};

mod hand;

mod antiphon;
mod corosensei;
mod fauxgen;
mod genawaiter;
mod next_gen;
#[cfg(nightly)]
mod nightly;
mod remit;

/// The name of the rows that everything is compared with.
pub const HAND: &str = "hand-written";
/// The name of our rows, up to the first comma.
pub const OURS: &str = "antiphon";

/// One cell to measure.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What the body does.
    pub workload: Workload,
    /// How far the compiler sees.
    pub form: Form,
    /// Who wrote the coroutine, and which of its ways it is.
    pub name: &'static str,
    /// Sets the object up, and has it measured.
    pub run: fn(&mut dyn Measure),
}

/// Whoever measures: a clock, an instruction counter, `divan`.
pub trait Measure {
    /// Calls `resume` with the numbers of resumes that it likes, as often as it likes.
    fn run(&mut self, resume: &mut dyn FnMut(u64));
}

impl Row {
    /// Returns the row's name on the command line.
    pub fn key(&self) -> String {
        let name = self.name.replace(", ", "/").replace(' ', "-");
        format!("{}/{}/{name}", self.workload.key(), self.form)
    }

    /// Returns `true` if this is a crate for stable Rust that can carry a resume argument, as ours.
    pub fn is_peer(&self) -> bool {
        let peers = ["genawaiter", "next-gen", "fauxgen", "corosensei"];
        peers.iter().any(|peer| self.name.starts_with(peer))
    }

    /// Returns `true` if this is a row of the library under test.
    pub fn is_ours(&self) -> bool {
        self.name.starts_with(OURS)
    }
}

/// Returns every row, those of one workload together.
pub fn all() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(hand::ROWS);
    rows.extend(antiphon::ROWS);
    rows.extend(genawaiter::ROWS);
    rows.extend(next_gen::ROWS);
    rows.extend(fauxgen::ROWS);
    rows.extend(corosensei::ROWS);
    rows.extend(remit::ROWS);
    #[cfg(nightly)]
    rows.extend(nightly::ROWS);
    rows.sort_by_key(|row| (row.workload, row.form));
    rows
}

/// Writes one row: workload, form, name, and the closure that sets it up and runs it.
macro_rules! row {
    ($workload:ident, $form:ident, $name:expr, $run:expr) => {
        $crate::rows::Row {
            workload: $crate::workload::Workload::$workload,
            form: $crate::workload::Form::$form,
            name: $name,
            run: $run,
        }
    };
}
use row;
