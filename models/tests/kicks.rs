//! A kick is a system call: there is one where the worker sleeps, and none where it does not.

use antiphon_models::{Worker, check, run};
use loom::thread;

/// Two threads wake two tasks each, at the same time.
fn burst(worker: &Worker) {
    let threads = [(); 2].map(|()| {
        let tasks = [worker.spawn(), worker.spawn()];
        thread::spawn(move || {
            for task in tasks {
                task.wake();
            }
        })
    });
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn one_burst_is_one_kick() {
    check(|| {
        run(|worker| {
            assert!(worker.park());
            burst(worker);
            assert_eq!(worker.bell().kicks(), 1);
            assert_eq!(worker.take(), 4);
            assert_eq!(worker.ready().len(), 4);
        });
    });
}

#[test]
fn a_worker_that_is_awake_is_not_kicked() {
    check(|| {
        run(|worker| {
            burst(worker);
            assert_eq!(worker.bell().kicks(), 0);
            assert_eq!(worker.take(), 4);
        });
    });
}

/// Its sleep ended for another reason than a wake.
#[test]
fn a_worker_that_has_looked_is_awake() {
    check(|| {
        run(|worker| {
            assert!(worker.park());
            assert_eq!(worker.take(), 0);
            burst(worker);
            assert_eq!(worker.bell().kicks(), 0);
        });
    });
}

#[test]
fn a_worker_that_must_not_sleep_is_awake() {
    check(|| {
        run(|worker| {
            let task = worker.spawn();
            thread::spawn(move || task.wake()).join().unwrap();
            assert!(!worker.park());
            assert!(worker.has_mail());
            burst(worker);
            assert_eq!(worker.bell().kicks(), 0);
        });
    });
}

/// The worker says that it sleeps, while wakes come in: it learns of them at once, or it is kicked once.
#[test]
fn mail_keeps_awake_or_kicks() {
    check(|| {
        run(|worker| {
            let tasks = [worker.spawn(), worker.spawn()];
            let threads = tasks.map(|task| thread::spawn(move || task.wake()));
            let may_sleep = worker.park();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(worker.bell().kicks(), usize::from(may_sleep));
            assert!(worker.has_mail());
            assert_eq!(worker.take(), 2);
            assert!(!worker.has_mail());
        });
    });
}
