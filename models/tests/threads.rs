//! Channels between threads, results, and visits: nothing is lost, nothing is doubled, nobody sleeps for ever.

use std::sync::Arc;
use std::task::Poll;

use antiphon_models::{Channel, Parker, Slot, check, run};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

/// The second value waits for room. The receiver is a task of a loop.
#[test]
fn a_thread_sends_more_than_there_is_room_for() {
    check(|| {
        run(|worker| {
            let channel = Channel::new(1);
            worker.spawn().wake();
            let thread = thread::spawn({
                let channel = channel.clone();
                move || {
                    let parker = Parker::new();
                    for n in 0..2 {
                        channel.send(n, &parker).unwrap();
                    }
                    channel.leave_sender();
                }
            });
            let mut received = Vec::new();
            worker.turns(|task| {
                loop {
                    match channel.poll_recv(task) {
                        Poll::Ready(Some(n)) => received.push(n),
                        Poll::Ready(None) => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            });
            assert_eq!(received, [0, 1]);
            thread.join().unwrap();
        });
    });
}

/// The task of a loop waits for room, which a thread makes.
#[test]
fn a_loop_sends_more_than_there_is_room_for() {
    check(|| {
        run(|worker| {
            let channel = Channel::new(1);
            let task = worker.spawn();
            task.wake_by_ref();
            let thread = thread::spawn({
                let channel = channel.clone();
                move || {
                    let parker = Parker::new();
                    [(); 2].map(|()| parker.wait(|waker| channel.poll_recv(waker)))
                }
            });
            let mut next = 0;
            let mut sending = None;
            worker.turns(|task| {
                loop {
                    if let Some(own) = &sending {
                        match channel.poll_sent(own, task) {
                            Poll::Ready(result) => result.unwrap(),
                            Poll::Pending => return Poll::Pending,
                        }
                    }
                    if next == 2 {
                        return Poll::Ready(());
                    }
                    sending = channel.begin(next, task).unwrap();
                    next += 1;
                }
            });
            assert_eq!(thread.join().unwrap(), [Some(0), Some(1)]);
        });
    });
}

#[test]
fn a_send_that_is_given_up_happened_or_has_its_value_back() {
    check(|| {
        let channel = Channel::new(1);
        let parker = Parker::new();
        channel.send(0, &parker).unwrap();
        let sending = channel.begin(1, parker.waker()).unwrap().unwrap();
        let thread = thread::spawn({
            let channel = channel.clone();
            move || {
                let parker = Parker::new();
                assert_eq!(parker.wait(|waker| channel.poll_recv(waker)), Some(0));
                channel
            }
        });
        let unsent = channel.give_up(&sending);
        channel.leave_sender();
        let other = thread.join().unwrap();
        let parker = Parker::new();
        let received = parker.wait(|waker| other.poll_recv(waker));
        assert_eq!(received.is_some(), unsent.is_none());
        assert_eq!(received.or(unsent), Some(1));
    });
}

#[test]
fn the_receiver_hears_that_the_last_sender_has_gone() {
    check(|| {
        let channel = Channel::<u8>::new(1);
        let thread = thread::spawn({
            let channel = channel.clone();
            move || channel.leave_sender()
        });
        let parker = Parker::new();
        assert_eq!(parker.wait(|waker| channel.poll_recv(waker)), None);
        thread.join().unwrap();
    });
}

#[test]
fn a_sender_that_waits_hears_that_the_receiver_has_gone() {
    check(|| {
        let channel = Channel::new(1);
        let thread = thread::spawn({
            let channel = channel.clone();
            move || channel.leave_receiver()
        });
        let parker = Parker::new();
        // Sent before the receiver went, or refused, at once or while it waited.
        let first = channel.send(0, &parker);
        let second = channel.send(1, &parker);
        assert_eq!(second, Err(1));
        assert!(first.is_ok() || first == Err(0));
        thread.join().unwrap();
    });
}

/// A value that comes while the receiver gives up is there for its next wait.
#[test]
fn a_receiver_that_gives_up_misses_nothing() {
    check(|| {
        let channel = Channel::new(1);
        let thread = thread::spawn({
            let channel = channel.clone();
            move || channel.send(0, &Parker::new()).unwrap()
        });
        let parker = Parker::new();
        let first = channel.poll_recv(parker.waker());
        channel.leave_receiving();
        if first.is_pending() {
            let parker = Parker::new();
            assert_eq!(parker.wait(|waker| channel.poll_recv(waker)), Some(0));
        }
        thread.join().unwrap();
    });
}

#[test]
fn a_result_wakes_the_task_that_waits() {
    check(|| {
        run(|worker| {
            let slot = Slot::new();
            worker.spawn().wake();
            let thread = thread::spawn({
                let slot = slot.clone();
                move || slot.put(7).unwrap()
            });
            assert_eq!(worker.turns(|task| slot.poll(task)), 7);
            thread.join().unwrap();
        });
    });
}

#[test]
fn a_result_that_is_abandoned_is_dropped_by_one_of_the_two() {
    check(|| {
        let slot = Slot::new();
        let parker = Parker::new();
        assert!(slot.poll(parker.waker()).is_pending());
        let thread = thread::spawn({
            let slot = slot.clone();
            move || slot.put(7).is_err()
        });
        let was_abandoned = slot.abandon();
        let has_it_back = thread.join().unwrap();
        assert_eq!(was_abandoned, has_it_back);
        assert_eq!(slot.take().is_some(), !was_abandoned);
    });
}

#[test]
fn a_visit_is_let_in_though_the_loop_sleeps() {
    check(|| {
        run(|worker| {
            let task = worker.spawn();
            let door = worker.door();
            let visits = Arc::new(AtomicUsize::new(0));
            let thread = thread::spawn({
                let visits = Arc::clone(&visits);
                move || {
                    door.push(move || {
                        visits.fetch_add(1, Ordering::Relaxed);
                        task.wake();
                    })
                }
            });
            worker.turns(|_| Poll::Ready(()));
            assert_eq!(visits.load(Ordering::Relaxed), 1);
            assert!(thread.join().unwrap());
        });
    });
}

/// Whoever comes while the loop ends is let in, refused, or dropped: each tells the one who waits, here by its slot.
#[test]
fn a_visit_at_the_end_of_the_loop_has_an_answer() {
    struct Promise(Slot<bool>);
    impl Drop for Promise {
        fn drop(&mut self) {
            let _ = self.0.put(false);
        }
    }

    check(|| {
        let thread = Mutex::new(None);
        run(|worker| {
            let door = worker.door();
            *thread.lock().unwrap() = Some(thread::spawn(move || {
                let slot = Slot::new();
                let promise = Promise(slot.clone());
                door.push(move || promise.0.put(true).unwrap());
                Parker::new().wait(|waker| slot.poll(waker))
            }));
            if !worker.park() {
                worker.take();
            }
        });
        let answer = thread.lock().unwrap().take().unwrap().join().unwrap();
        let _: bool = answer;
    });
}
