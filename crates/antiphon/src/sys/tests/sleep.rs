//! The worker's sleep, and what ends it.

use std::io::Write;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use super::lab::Lab;

pub(super) fn a_kick_ends_the_sleep(lab: &mut Lab) {
    let kick = lab.driver.kick();
    let (ask, asked) = sync_channel::<()>(0);
    let kicker = thread::spawn(move || {
        while asked.recv().is_ok() {
            kick.kick();
        }
    });
    let mut done = Vec::new();
    for _ in 0..1000 {
        ask.send(()).unwrap();
        lab.driver.wait(None, &mut done);
    }
    drop(ask);
    kicker.join().unwrap();
    assert!(done.is_empty());
}

pub(super) fn a_kick_before_the_sleep_counts(lab: &mut Lab) {
    let kick = lab.driver.kick();
    for _ in 0..10 {
        kick.kick();
        kick.kick();
        lab.driver.wait(None, &mut Vec::new());
    }
    // The worker's box outlives the driver by a moment, so a kick may come late.
    let kick = lab.driver.kick();
    lab.driver = Box::new(crate::sys::Simulator::new());
    kick.kick();
}

/// More is submitted than the kernel takes at once, so it has to be told several times before the sleep.
pub(super) fn a_kick_among_many_submissions_counts(lab: &mut Lab) {
    let (socket, _peer) = lab.unix_pair();
    let kick = lab.driver.kick();
    for _ in 0..10 {
        for _ in 0..1000 {
            lab.recv(&socket, 1);
        }
        kick.kick();
        lab.driver.wait(None, &mut Vec::new());
    }
}

pub(super) fn a_sleep_ends_at_its_deadline(lab: &mut Lab) {
    for timeout in [1, 999, 1_000_000, 1_500_001].map(Duration::from_nanos) {
        let until = lab.driver.now() + timeout;
        let mut done = Vec::new();
        lab.driver.wait(Some(until), &mut done);
        assert!(lab.driver.now() >= until, "it is never early");
        assert!(done.is_empty());
    }
}

pub(super) fn a_moment_that_is_past_does_not_sleep(lab: &mut Lab) {
    let (socket, _peer) = lab.unix_pair();
    lab.recv(&socket, 9);
    // If it slept it would sleep for ever: nothing happens to the socket.
    for _ in 0..3 {
        lab.take_in();
    }
}

pub(super) fn completions_come_before_the_deadline(lab: &mut Lab) {
    let (socket, peer) = lab.unix_pair();
    let mut peer = peer.into_kernel();
    let token = lab.recv(&socket, 9);
    lab.assert_idle();
    let writer = thread::spawn(move || peer.write_all(b"x").unwrap());
    let mut done = Vec::new();
    // A year: the longest spans must not overflow on their way to the kernel either.
    lab.driver.wait(
        Some(Instant::now() + Duration::from_secs(86400 * 365)),
        &mut done,
    );
    assert_eq!(done.pop().unwrap().token, token);
    writer.join().unwrap();
}

pub(super) fn entropy_differs(lab: &mut Lab) {
    let (mut first, mut second) = ([0; 32], [0; 32]);
    lab.driver.fill_random(&mut first);
    lab.driver.fill_random(&mut second);
    assert_ne!(first, second);
}
