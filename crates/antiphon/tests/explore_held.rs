//! The explorer finds the locks that a run leaves held, and names the lines that locked them.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;
use std::time::Duration;

use antiphon::explore::{Explorer, Fault, Finding, explore};
use antiphon::sync::{Condvar, Mutex, OwnedSemaphorePermit, RwLock, Semaphore};
use antiphon::{Cancelled, join_all, spawn, time, yield_now};

/// Explores `program`, which leaves locks held: returns what is told of them.
#[track_caller]
fn held<F: Future<Output = ()>>(program: impl Fn() -> F) -> Vec<String> {
    let failure = Explorer::new().run(program).expect_err("a lock is held");
    let [Finding::LocksHeld(locks)] = failure.findings() else {
        panic!("{failure}");
    };
    assert!(failure.to_string().contains("still locked: "), "{failure}");
    locks.clone()
}

#[track_caller]
fn check(locks: &[String], expected: &[(&str, u32)]) {
    assert_eq!(locks.len(), expected.len(), "{locks:?}");
    for (lock, (kind, line)) in locks.iter().zip(expected) {
        let start = format!("{kind} at {}:{line}:", file!());
        assert!(lock.starts_with(&start), "{lock} is not {start}");
    }
}

#[test]
fn a_forgotten_guard_of_a_mutex_is_found() {
    let line = line!() + 3;
    let locks = held(|| async {
        let mutex = Mutex::new(());
        mem::forget(mutex.lock().await.unwrap());
    });
    check(&locks, &[("mutex", line)]);

    let line = line!() + 3;
    let locks = held(|| async {
        let mutex = Mutex::new(());
        mem::forget(mutex.try_lock().unwrap());
    });
    check(&locks, &[("mutex", line)]);
}

#[test]
fn a_guard_that_was_handed_over_and_forgotten_is_found() {
    let line = line!() + 7;
    let locks = held(|| async {
        let mutex = Rc::new(Mutex::new(()));
        let guard = mutex.lock().await.unwrap();
        let task = {
            let mutex = Rc::clone(&mutex);
            spawn(async move || {
                mem::forget(mutex.lock().await.ok());
            })
        };
        let _ = yield_now().await;
        drop(guard);
        let _ = antiphon::shield(async || task.await).await;
    });
    check(&locks, &[("mutex", line)]);
}

#[test]
fn a_forgotten_guard_of_a_rwlock_is_found() {
    let line = line!() + 4;
    let locks = held(|| async {
        let lock = RwLock::new(());
        drop(lock.read().await.unwrap());
        mem::forget(lock.read().await.unwrap());
        mem::forget(lock.try_read().unwrap());
        drop(lock.try_read().unwrap());
    });
    check(&locks, &[("rwlock read", line), ("rwlock read", line + 1)]);

    let line = line!() + 4;
    let locks = held(|| async {
        let (lock, other) = (RwLock::new(()), RwLock::new(()));
        drop(lock.write().await.unwrap());
        mem::forget(lock.write().await.unwrap());
        mem::forget(other.try_write().unwrap());
    });
    check(
        &locks,
        &[("rwlock write", line), ("rwlock write", line + 1)],
    );
}

#[test]
fn of_several_guards_the_one_that_is_left_is_named() {
    let line = line!() + 7;
    let locks = held(|| async {
        let (lock, semaphore) = (RwLock::new(()), Semaphore::new(2));
        let other = (
            lock.read().await.unwrap(),
            semaphore.acquire(1).await.unwrap(),
        );
        let left = lock.read().await.unwrap();
        let permit = semaphore.try_acquire(1).unwrap();
        let (last, _other) = (lock.read().await.unwrap(), other);
        mem::forget((left, permit));
        drop(last);
    });
    check(&locks, &[("rwlock read", line), ("semaphore", line + 1)]);
}

#[test]
fn a_forgotten_permit_is_found() {
    let line = line!() + 3;
    let locks = held(|| async {
        let semaphore = Rc::new(Semaphore::new(4));
        mem::forget(semaphore.acquire(1).await.unwrap());
        mem::forget(semaphore.try_acquire(1).unwrap());
        mem::forget(semaphore.acquire_owned(1).await.unwrap());
        mem::forget(semaphore.try_acquire_owned(1).unwrap());
        drop(semaphore);
    });
    let expected: Vec<_> = (line..line + 4).map(|line| ("semaphore", line)).collect();
    check(&locks, &expected);
}

#[test]
fn permits_that_are_given_away_for_good_are_no_leak() {
    explore(|| async {
        let semaphore = Rc::new(Semaphore::new(4));
        semaphore.try_acquire(1).unwrap().forget();
        semaphore.try_acquire_owned(1).unwrap().forget();
        semaphore.acquire(1).await?.forget();
        semaphore.acquire_owned(1).await?.forget();
        Ok::<(), antiphon::sync::AcquireError>(())
    });
}

#[test]
fn a_guard_that_is_kept_somewhere_is_found() {
    thread_local! {
        static KEPT: RefCell<Vec<OwnedSemaphorePermit>> = const { RefCell::new(Vec::new()) };
    }
    let line = line!() + 3;
    let locks = held(|| async {
        let semaphore = Rc::new(Semaphore::new(1));
        let permit = semaphore.acquire_owned(1).await.unwrap();
        KEPT.with_borrow_mut(|kept| kept.push(permit));
    });
    check(&locks, &[("semaphore", line)]);
    // It is none of the runs that come.
    explore(|| async {
        KEPT.take();
        Semaphore::new(1).acquire(1).await.map(drop)
    });
}

#[test]
fn a_lock_that_only_a_cancel_leaves_held_is_found() {
    let line = line!() + 4;
    let failure = Explorer::new()
        .run(|| async {
            let mutex = Mutex::new(());
            let guard = mutex.lock().await?;
            let result = yield_now().await;
            if result.is_err() {
                mem::forget(guard);
            }
            result
        })
        .unwrap_err();
    let [Finding::LocksHeld(locks)] = failure.findings() else {
        panic!("{failure}");
    };
    check(locks, &[("mutex", line)]);
    assert_eq!(
        failure.location().map(std::panic::Location::line),
        Some(line + 1)
    );
}

#[test]
fn what_the_program_drops_with_its_state_is_not_held() {
    type Kept = Rc<RefCell<Vec<OwnedSemaphorePermit>>>;
    let explored = Explorer::new()
        .faults(&[Fault::Cancel, Fault::Panic])
        .orders(3)
        .run(|| async {
            let kept = Kept::default();
            let (mutex, condvar) = (Mutex::new(0), Condvar::new());
            let (lock, semaphore) = (RwLock::new(()), Rc::new(Semaphore::new(3)));
            let body = async |number: u32| {
                let permit = semaphore.acquire_owned(1).await.map_err(|_| ())?;
                kept.borrow_mut().push(permit);
                let mut guard = mutex.lock().await.map_err(|_| ())?;
                *guard += 1;
                if *guard < 3 {
                    drop(condvar.wait_while(guard, |count| *count < 3).await);
                } else {
                    condvar.notify_all();
                }
                if number == 0 {
                    let _writing = lock.write().await.map_err(|_| ())?;
                    yield_now().await.map_err(|_| ())?;
                }
                let _reading = lock.read().await.map_err(|_| ())?;
                yield_now().await.map_err(|_| ())
            };
            let semaphore_of_the_left = Rc::new(Semaphore::new(1));
            drop(spawn(async move || {
                // It is cancelled when the main task has ended, with the permit in its hands.
                let _permit = semaphore_of_the_left.acquire(1).await;
                time::sleep(Duration::from_secs(3600)).await
            }));
            let body = &body;
            join_all((0..3).map(|number| async move || body(number).await)).await;
            Ok::<(), Cancelled>(())
        });
    if let Err(failure) = explored {
        let is_of_a_lock = |finding: &Finding| matches!(finding, Finding::LocksHeld(_));
        assert!(!failure.findings().iter().any(is_of_a_lock), "{failure}");
        panic!("{failure}");
    }
}
