//! Whole programs, interrupted wherever they can be: they leave everything in order, and nothing behind.
//!
//! `ANTIPHON_ROUNDS` says how many seeds of each program are explored, and `ANTIPHON_SEED` where they begin.

#[path = "programs/mod.rs"]
mod programs;

use std::panic::AssertUnwindSafe;

use antiphon::Outcome;
use antiphon::explore::{Explorer, Fault, exposed};
use futures_util::FutureExt;

use programs::echo_server::EchoServer;
use programs::handshake::Handshakes;
use programs::transfer::Transfers;
use programs::{Load, Program};

#[test]
fn an_echo_server_is_in_order_wherever_it_is_interrupted() {
    // A connection that is on its way into the queue when somebody panics is closed without an exit.
    explore::<EchoServer>(&[Fault::Cancel, Fault::Error]);
}

#[test]
fn transfers_are_in_order_wherever_they_are_interrupted() {
    // A store that panics keeps no promise.
    explore::<Transfers>(&[Fault::Cancel, Fault::Error]);
}

#[test]
fn handshakes_are_in_order_wherever_they_are_interrupted() {
    explore::<Handshakes>(&[Fault::Cancel, Fault::Error, Fault::Panic]);
}

/// Explores a program with a small load.
fn explore<P: Program>(faults: &[Fault]) {
    let rounds = from_environment("ANTIPHON_ROUNDS").unwrap_or(2);
    let first = from_environment("ANTIPHON_SEED").unwrap_or(1);
    for seed in first..first + rounds {
        let result = Explorer::new().faults(faults).orders(4).run(|| async {
            let program = P::new(seed, Load::Small);
            let run = exposed(async || program.run().await);
            // A panic that was injected has gone its way by now.
            let outcome = AssertUnwindSafe(run).catch_unwind().await;
            program.check(matches!(outcome, Ok(Outcome::Done(()))));
            match outcome {
                Ok(outcome) => outcome.into_result(),
                Err(_) => Ok(()),
            }
        });
        match result {
            Ok(all) => println!(
                "{}, seed {seed}: {} points, {} runs",
                P::NAME,
                all.points(),
                all.runs()
            ),
            Err(failure) => panic!("{}, ANTIPHON_SEED={seed}: {failure}", P::NAME),
        }
    }
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
}
