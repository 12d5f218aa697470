//! Tasks and workers that end while threads still hold wakers of theirs, and those that come after them.

use std::sync::Arc;
use std::task::{Poll, Waker};

use antiphon_models::{WORKERS_MAX, check, check_up_to, run, try_run};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;

/// Runs a worker that waits for a thread to wake its task. Returns how many steps that took.
fn wait_for_a_wake() -> usize {
    run(|worker| {
        let is_done = Arc::new(AtomicBool::new(false));
        let task = worker.spawn();
        let thread = thread::spawn({
            let is_done = Arc::clone(&is_done);
            move || {
                is_done.store(true, Ordering::Relaxed);
                task.wake();
            }
        });
        let mut steps = 0;
        worker.turns(|_| {
            steps += 1;
            if is_done.load(Ordering::Relaxed) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        thread.join().unwrap();
        steps
    })
}

/// A worker that is parked, and ends by something else than the wake which is under way.
fn end_under(wake: impl FnOnce(Waker)) {
    run(|worker| {
        wake(worker.spawn());
        worker.park();
    });
}

#[test]
fn a_wake_after_the_end_is_nothing() {
    check(|| {
        let mut thread = None;
        end_under(|task| thread = Some(thread::spawn(move || task.wake())));
        thread.unwrap().join().unwrap();
        // Nothing is left for the one who has the id next.
        run(|worker| {
            assert_eq!(worker.id(), 0);
            assert!(!worker.has_mail());
            assert!(worker.park());
        });
    });
}

/// The wake of the worker that has ended may reach the next one, whose first task has the same address: one step too
/// many, for nothing.
#[test]
fn the_next_worker_has_its_own_wakes_and_perhaps_one_too_many() {
    check(|| {
        let mut thread = None;
        end_under(|task| thread = Some(thread::spawn(move || task.wake())));
        assert!(wait_for_a_wake() <= 2);
        thread.unwrap().join().unwrap();
    });
}

/// A worker used to say that its box is empty after it had closed it; by then the box could be the next one's, and full,
/// and that one turned for ever without looking.
#[test]
fn one_ends_while_the_next_begins() {
    check(|| {
        let mut next = None;
        run(|_| next = Some(thread::spawn(wait_for_a_wake)));
        assert_eq!(next.unwrap().join().unwrap(), 1);
    });
}

/// All at once: a worker ends under a wake, and another begins and is woken.
#[test]
fn one_ends_under_a_wake_while_the_next_begins() {
    check_up_to(3, || {
        let mut threads = None;
        end_under(|task| {
            let late = thread::spawn(move || task.wake());
            threads = Some((late, thread::spawn(wait_for_a_wake)));
        });
        let (late, next) = threads.unwrap();
        late.join().unwrap();
        assert!(next.join().unwrap() <= 2);
    });
}

#[test]
fn ids_are_given_to_one_at_a_time() {
    check(|| {
        let is_taken = Arc::new([(); WORKERS_MAX].map(|()| AtomicBool::new(false)));
        let count = Arc::new(AtomicUsize::new(0));
        let work = {
            let (is_taken, count) = (Arc::clone(&is_taken), Arc::clone(&count));
            move || {
                let ran = try_run(|worker| {
                    let is_taken = &is_taken[usize::from(worker.id())];
                    assert!(!is_taken.swap(true, Ordering::Relaxed));
                    is_taken.store(false, Ordering::Relaxed);
                });
                count.fetch_add(usize::from(ran.is_some()), Ordering::Relaxed);
            }
        };
        let threads = [thread::spawn(work.clone()), thread::spawn(work.clone())];
        work();
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(count.load(Ordering::Relaxed) >= WORKERS_MAX);
    });
}

#[test]
fn all_ids_are_given_before_one_is_refused() {
    check(|| {
        run(|first| {
            let id = first.id();
            let other = thread::spawn(move || run(|second| assert_ne!(second.id(), id)));
            other.join().unwrap();
            run_on_a_thread(move || {
                run(|second| {
                    assert_ne!(second.id(), id);
                    run_on_a_thread(|| assert!(try_run(|_| ()).is_none()));
                });
            });
        });
    });
}

fn run_on_a_thread(f: impl FnOnce() + 'static) {
    thread::spawn(f).join().unwrap();
}

/// Wakers are cloned, dropped and woken on a thread while their task ends and its slot is given to the next.
#[test]
fn the_next_task_in_a_slot_has_its_own_wakes_alone() {
    check(|| {
        run(|worker| {
            let first = worker.spawn();
            let late = thread::spawn({
                let first = first.clone();
                move || {
                    let clone = first.clone();
                    first.wake();
                    clone.wake_by_ref();
                    drop(clone.clone());
                    drop(clone);
                }
            });

            let mut second = None;
            let is_done = Arc::new(AtomicBool::new(false));
            worker.turns(|task| {
                let Some((second, _)) = &second else {
                    // The first task's only step.
                    assert!(task.will_wake(&first));
                    worker.end(&first);
                    let task = worker.spawn();
                    assert!(!task.will_wake(&first));
                    let thread = thread::spawn({
                        let (task, is_done) = (task.clone(), Arc::clone(&is_done));
                        move || {
                            is_done.store(true, Ordering::Relaxed);
                            task.wake();
                        }
                    });
                    second = Some((task, thread));
                    return Poll::Pending;
                };
                assert!(task.will_wake(second), "a wake of the first task");
                assert!(is_done.load(Ordering::Relaxed), "a step for nothing");
                Poll::Ready(())
            });
            late.join().unwrap();
            second.unwrap().1.join().unwrap();
        });
    });
}
