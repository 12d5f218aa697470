//! Locks and meeting places lose and double nothing, whoever is interrupted at them, and wherever.

mod explore_support;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use antiphon::context::with;
use antiphon::sync::{AcquireError, Barrier, Condvar, Event, Mutex, RwLock, Semaphore};
use antiphon::{Cancelled, join_all, spawn, time, yield_now};
use explore_support::{Count, HOUR, Log, SECOND, attempt, body, look, meeting, play};

#[test]
fn a_mutex_is_had_by_one_and_unlocked_by_all() {
    meeting("mutex", |shape| async move {
        let mutex = Rc::new(Mutex::new(0));
        let (inside, sections) = (Count::default(), Count::default());
        let bodies = (0..4).map(|number| {
            let (mutex, inside, sections) = (Rc::clone(&mutex), inside.clone(), sections.clone());
            body(async move {
                for _ in 0..2 {
                    let mut value = mutex.lock().await?;
                    let (count, _inside) = inside.enter();
                    assert_eq!(count, 1, "two have it locked");
                    yield_now().await?;
                    *value += 1;
                    sections.add();
                }
                if let Some(mut value) = mutex.try_lock() {
                    *value += 1;
                    sections.add();
                }
                if number == 0 {
                    with(mutex.lock(), async |value| {
                        yield_now().await?;
                        **value += 1;
                        sections.add();
                        Ok::<(), Cancelled>(())
                    })
                    .await?;
                }
                Ok(())
            })
        });
        play(shape, bodies).await;
        let value = *mutex.try_lock().expect("nobody has it locked");
        assert_eq!(value, sections.get());
    });
}

#[test]
fn a_lock_that_is_not_waited_for_any_more_goes_to_the_next() {
    meeting("mutex, dropped", |shape| async move {
        let mutex = Rc::new(Mutex::new(0));
        let sections = Count::default();
        let bodies = (0..3).map(|_| {
            let (mutex, sections) = (Rc::clone(&mutex), sections.clone());
            body(async move {
                for _ in 0..2 {
                    if let Some(guard) = look(Duration::ZERO, mutex.lock()).await? {
                        let mut guard = guard?;
                        yield_now().await?;
                        *guard += 1;
                        sections.add();
                    }
                }
                *mutex.lock().await? += 1;
                sections.add();
                Ok(())
            })
        });
        play(shape, bodies).await;
        let value = *mutex.try_lock().expect("nobody has it locked");
        assert_eq!(value, sections.get());
    });
}

#[test]
fn an_rwlock_is_had_by_one_writer_or_by_readers() {
    meeting("rwlock", |shape| async move {
        let lock = Rc::new(RwLock::new(0));
        let (readers, writers, written) = (Count::default(), Count::default(), Count::default());
        let bodies = (0..5).map(|number| {
            let (readers, writers, written) = (readers.clone(), writers.clone(), written.clone());
            let lock = Rc::clone(&lock);
            body(async move {
                for _ in 0..2 {
                    if number % 3 == 1 {
                        let mut value = lock.write().await?;
                        let (count, _inside) = writers.enter();
                        assert_eq!((count, readers.get()), (1, 0));
                        yield_now().await?;
                        *value += 1;
                        written.add();
                    } else {
                        let value = lock.read().await?;
                        let (_, _inside) = readers.enter();
                        assert_eq!((*value, writers.get()), (written.get(), 0));
                        yield_now().await?;
                        assert_eq!(*value, written.get());
                    }
                }
                Ok(())
            })
        });
        play(shape, bodies).await;
        let value = *lock.try_write().expect("nobody has it locked");
        assert_eq!(value, written.get());
    });
}

#[test]
fn readers_behind_a_writer_that_gives_up_go_on() {
    explore_support::alone("rwlock, writer gives up", || async {
        let lock = Rc::new(RwLock::new(()));
        let first = lock.read().await.unwrap();
        let (is_reading, written) = (Count::default(), Count::default());
        let writer = {
            let (lock, written) = (Rc::clone(&lock), written.clone());
            spawn(async move || {
                attempt(async || lock.write().await.map(|_guard| written.add())).await;
            })
        };
        time::sleep(SECOND).await.unwrap();
        let reader = {
            let (lock, is_reading) = (Rc::clone(&lock), is_reading.clone());
            spawn(async move || {
                let _guard = lock.read().await.unwrap();
                is_reading.add();
            })
        };
        time::sleep(SECOND).await.unwrap();
        // Writers go first as long as they wait.
        assert_eq!(is_reading.get() == 1, writer.is_finished());
        drop(first);
        let has_given_up = writer.is_finished();
        writer.await.unwrap();
        reader.await.unwrap();
        assert_eq!(written.get() == 0, has_given_up);
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn permits_are_never_more_nor_less() {
    meeting("semaphore", |shape| async move {
        let semaphore = Rc::new(Semaphore::new(3));
        let out = Rc::new(std::cell::Cell::new(0));
        let bodies = (0..5).map(|number| {
            let (semaphore, out) = (Rc::clone(&semaphore), Rc::clone(&out));
            body(async move {
                struct Out(Rc<std::cell::Cell<usize>>, usize);
                impl Out {
                    fn new(out: &Rc<std::cell::Cell<usize>>, count: usize) -> Self {
                        out.set(out.get() + count);
                        assert!(out.get() <= 3, "{} permits are out", out.get());
                        Self(Rc::clone(out), count)
                    }
                }
                impl Drop for Out {
                    fn drop(&mut self) {
                        self.0.set(self.0.get() - self.1);
                    }
                }
                for count in [1 + number % 3, 1] {
                    if number % 2 == 0 {
                        let permit = semaphore.acquire(count).await?;
                        let _out = Out::new(&out, permit.count());
                        yield_now().await?;
                    } else {
                        let permit = semaphore.acquire_owned(count).await?;
                        let _out = Out::new(&out, permit.count());
                        yield_now().await?;
                    }
                }
                Ok(())
            })
        });
        play(shape, bodies).await;
        assert_eq!(semaphore.available_permits(), 3);
        assert!(semaphore.try_acquire(3).is_ok(), "nobody is in line");
    });
}

#[test]
fn those_behind_a_large_request_that_gives_up_go_on() {
    explore_support::alone("semaphore, large request gives up", || async {
        let semaphore = Rc::new(Semaphore::new(3));
        let held = semaphore.acquire(1).await.unwrap();
        let large = {
            let semaphore = Rc::clone(&semaphore);
            spawn(async move || {
                attempt(async || semaphore.acquire(3).await.map(drop)).await;
            })
        };
        time::sleep(SECOND).await.unwrap();
        let small = {
            let semaphore = Rc::clone(&semaphore);
            spawn(async move || drop(semaphore.acquire_owned(2).await.unwrap()))
        };
        time::sleep(SECOND).await.unwrap();
        assert_eq!(small.is_finished(), large.is_finished());
        drop(held);
        large.await.unwrap();
        small.await.unwrap();
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn permits_and_locks_that_were_handed_over_go_to_the_next() {
    meeting("semaphore and rwlock, dropped", |shape| async move {
        let (semaphore, lock) = (Rc::new(Semaphore::new(2)), Rc::new(RwLock::new(())));
        let bodies = (0..4).map(|number| {
            let (semaphore, lock) = (Rc::clone(&semaphore), Rc::clone(&lock));
            body(async move {
                for count in [2, 1] {
                    if let Some(permit) = look(Duration::ZERO, semaphore.acquire(count)).await? {
                        let _permit = permit?;
                        yield_now().await?;
                    }
                    if number < 2 {
                        if let Some(guard) = look(Duration::ZERO, lock.write()).await? {
                            let _guard = guard?;
                            yield_now().await?;
                        }
                    } else if let Some(guard) = look(Duration::ZERO, lock.read()).await? {
                        let _guard = guard?;
                        yield_now().await?;
                    }
                }
                drop(semaphore.acquire_owned(1).await?);
                drop(lock.read().await?);
                Ok(())
            })
        });
        play(shape, bodies).await;
        assert_eq!(semaphore.available_permits(), 2);
        assert!(lock.try_write().is_some());
    });
}

#[test]
fn a_semaphore_that_is_closed_lets_all_go() {
    meeting("semaphore, closed", |shape| async move {
        let semaphore = Rc::new(Semaphore::new(1));
        let bodies = (0..3).map(|_| {
            let semaphore = Rc::clone(&semaphore);
            body(async move {
                match semaphore.acquire(2).await {
                    Ok(_) => panic!("there are not so many"),
                    Err(AcquireError::Closed) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            })
        });
        let closer = {
            let semaphore = Rc::clone(&semaphore);
            spawn(async move || {
                time::sleep(SECOND).await.unwrap();
                semaphore.close();
            })
        };
        play(shape, bodies).await;
        closer.await.unwrap();
        assert_eq!(semaphore.available_permits(), 1);
    });
}

#[test]
fn a_notification_is_not_swallowed_by_one_who_goes() {
    meeting("condvar", |shape| async move {
        let items = Rc::new(Mutex::new(VecDeque::new()));
        let condvar = Rc::new(Condvar::new());
        let (ended, taken) = (Count::default(), Log::default());
        let bodies = (0..4).map(|number| {
            let (items, condvar) = (Rc::clone(&items), Rc::clone(&condvar));
            let taken = taken.clone();
            body(async move {
                let mut items = items.lock().await?;
                if number < 2 {
                    while items.is_empty() {
                        items = condvar.wait(items).await?;
                    }
                } else {
                    items = condvar.wait_while(items, |items| items.is_empty()).await?;
                }
                taken.say(items.pop_front().expect("that was waited for"));
                Ok(())
            })
        });
        // It is in the way of those who were notified.
        let holder = {
            let items = Rc::clone(&items);
            spawn(async move || {
                for _ in 0..8 {
                    let _guard = items.lock().await.unwrap();
                    time::sleep(SECOND * 3 / 4).await.unwrap();
                }
            })
        };
        let producer = {
            let (items, condvar) = (Rc::clone(&items), Rc::clone(&condvar));
            let ended = ended.clone();
            spawn(async move || {
                for item in 0..4 {
                    time::sleep(SECOND).await.unwrap();
                    let mut items = items.lock().await.unwrap();
                    items.push_back(item);
                    condvar.notify_one();
                    // Who was notified stands in line for the lock meanwhile.
                    yield_now().await.unwrap();
                }
                ended.add();
            })
        };
        play(shape, bodies).await;
        producer.await.unwrap();
        holder.await.unwrap();
        let mut all = taken.take();
        all.extend(items.try_lock().expect("nobody has it locked").iter());
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert!(!condvar.notify_one(), "nobody waits");
    });
}

#[test]
fn all_who_are_notified_come_back_with_the_lock() {
    meeting("condvar, notify_all", |shape| async move {
        let (mutex, condvar) = (Rc::new(Mutex::new(false)), Rc::new(Condvar::new()));
        let inside = Count::default();
        let bodies = (0..3).map(|_| {
            let (mutex, condvar) = (Rc::clone(&mutex), Rc::clone(&condvar));
            let inside = inside.clone();
            body(async move {
                let guard = mutex.lock().await?;
                let guard = condvar.wait_while(guard, |is_open| !*is_open).await?;
                let (count, _inside) = inside.enter();
                assert_eq!(count, 1);
                yield_now().await?;
                drop(guard);
                Ok(())
            })
        });
        let opener = {
            let (mutex, condvar) = (Rc::clone(&mutex), Rc::clone(&condvar));
            spawn(async move || {
                time::sleep(SECOND).await.unwrap();
                *mutex.lock().await.unwrap() = true;
                condvar.notify_all();
            })
        };
        play(shape, bodies).await;
        opener.await.unwrap();
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn an_event_wakes_all_who_still_wait() {
    meeting("event", |shape| async move {
        let event = Rc::new(Event::new());
        let bodies = (0..3).map(|_| {
            let event = Rc::clone(&event);
            body(async move {
                event.wait().await?;
                // It is set, so this goes on at once.
                event.wait().await?;
                Ok(())
            })
        });
        let setter = {
            let event = Rc::clone(&event);
            spawn(async move || {
                time::sleep(SECOND).await.unwrap();
                event.set();
            })
        };
        play(shape, bodies).await;
        setter.await.unwrap();
        assert!(event.is_set());
        event.clear();
        assert!(!event.is_set());
    });
}

#[test]
fn who_gives_up_at_a_barrier_did_not_come() {
    meeting("barrier", |shape| async move {
        let barrier = Rc::new(Barrier::new(3));
        let (passed, leaders) = (Count::default(), Count::default());
        let bodies = (0..3).map(|_| {
            let (barrier, passed, leaders) = (Rc::clone(&barrier), passed.clone(), leaders.clone());
            body(async move {
                if barrier.wait().await?.is_leader() {
                    leaders.add();
                }
                passed.add();
                Ok(())
            })
        });
        // They come for those who did not.
        let others = {
            let (barrier, passed, leaders) = (Rc::clone(&barrier), passed.clone(), leaders.clone());
            spawn(async move || {
                time::sleep(HOUR).await.unwrap();
                if passed.get() == 3 {
                    return 0;
                }
                let arrived = format!("{barrier:?}");
                let missing = (1..=3)
                    .find(|missing| arrived.contains(&format!("arrived: {}", 3 - missing)))
                    .expect("one of them did not come");
                let waits = (0..missing).map(|_| {
                    let barrier = &barrier;
                    async move || barrier.wait().await.unwrap().is_leader()
                });
                for is_leader in join_all(waits).await {
                    if is_leader {
                        leaders.add();
                    }
                }
                missing
            })
        };
        play(shape, bodies).await;
        let others = others.await.unwrap();
        assert_eq!((passed.get() + others, leaders.get()), (3, 1));
        assert!(format!("{barrier:?}").contains("arrived: 0"));
    });
}
