//! No wake is lost: a worker never sleeps for ever on one that was delivered.

use std::sync::Arc;
use std::task::Poll;

use antiphon_models::{check, check_up_to, run};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

#[test]
fn two_threads_wake_a_task_each() {
    check(|| {
        run(|worker| {
            let tasks = [worker.spawn(), worker.spawn()];
            let threads = tasks.clone().map(|task| thread::spawn(move || task.wake()));
            let mut steps = [0, 0];
            worker.turns(|task| {
                let index = tasks.iter().position(|other| other.will_wake(task));
                steps[index.expect("one of the two")] += 1;
                if steps.contains(&0) {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            });
            // One wake each, and so one step each.
            assert_eq!(steps, [1, 1]);
            for thread in threads {
                thread.join().unwrap();
            }
        });
    });
}

/// What a thread does before it wakes a task is seen by the step that follows, also when an earlier wake of the same task
/// is still in the box and this one is left out.
#[test]
fn a_step_sees_what_was_done_before_its_wake() {
    check(|| {
        run(|worker| {
            let done = Arc::new(AtomicUsize::new(0));
            let task = worker.spawn();
            let thread = thread::spawn({
                let done = Arc::clone(&done);
                move || {
                    for count in 1..=2 {
                        done.store(count, Ordering::Relaxed);
                        task.wake_by_ref();
                    }
                }
            });
            let mut steps = 0;
            worker.turns(|_| {
                steps += 1;
                if done.load(Ordering::Relaxed) == 2 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            });
            assert!(steps <= 2);
            thread.join().unwrap();
        });
    });
}

/// As when a timer is due, or a socket ready, at the moment of a wake: the worker is up already when the kick comes, and
/// perhaps asleep again.
#[test]
fn a_sleep_that_ends_by_itself_loses_nothing() {
    check_up_to(5, || {
        run(|worker| {
            let done = Arc::new(AtomicUsize::new(0));
            let task = worker.spawn();
            let waking = thread::spawn({
                let done = Arc::clone(&done);
                move || {
                    for count in 1..=2 {
                        done.store(count, Ordering::Relaxed);
                        task.wake_by_ref();
                    }
                }
            });
            let ringing = thread::spawn({
                let bell = Arc::clone(worker.bell());
                move || bell.ring()
            });
            worker.turns(|_| {
                if done.load(Ordering::Relaxed) == 2 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            });
            waking.join().unwrap();
            ringing.join().unwrap();
        });
    });
}

/// A wake on a thread that has a loop of its own goes to the loop whose task it is.
#[test]
fn two_workers_wake_each_other() {
    check(|| {
        let answer_to = Arc::new(Mutex::new(None));
        run(|worker| {
            let asking = worker.spawn();
            let other = thread::spawn({
                let (asking, answer_to) = (asking.clone(), Arc::clone(&answer_to));
                move || {
                    run(|worker| {
                        let answered = worker.spawn();
                        *answer_to.lock().unwrap() = Some(answered.clone());
                        asking.wake();
                        worker.turns(|task| {
                            assert!(task.will_wake(&answered));
                            Poll::Ready(())
                        });
                    });
                }
            });
            worker.turns(|task| {
                assert!(task.will_wake(&asking));
                let answered = answer_to.lock().unwrap().take();
                answered.expect("is there before the wake").wake();
                Poll::Ready(())
            });
            other.join().unwrap();
        });
    });
}

/// A task that wakes itself in its step is due again before the worker thinks of sleep: its thread needs no mailbox.
#[test]
fn a_wake_at_home_needs_no_mail() {
    check(|| {
        run(|worker| {
            let task = worker.spawn();
            task.wake_by_ref();
            let mut steps = 0;
            worker.turns(|task| {
                steps += 1;
                if steps == 3 {
                    return Poll::Ready(());
                }
                task.wake_by_ref();
                assert!(!worker.has_mail());
                Poll::Pending
            });
            assert_eq!(worker.bell().kicks(), 0);
        });
    });
}
