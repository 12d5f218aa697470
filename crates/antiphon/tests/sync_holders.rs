//! Who waits for a lock is shown with who holds it.

mod sync_support;

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use antiphon::sync::{Condvar, Mutex, RwLock, Semaphore};
use antiphon::{Holder, TaskId, run, spawn, tree, yield_now};

/// Who holds what the task waits for.
fn holder_for(task: TaskId) -> Option<Holder> {
    let task = tree().tasks.into_iter().find(|shown| shown.id == task);
    let [wait] = task.expect("it is alive").waits[..] else {
        panic!("it waits for one thing: {}", tree());
    };
    wait.held_by
}

#[track_caller]
fn check(holder: Option<Holder>, kind: &str, count: usize, task: Option<TaskId>, line: u32) {
    let Some(holder) = holder else {
        panic!("nobody holds it: {}", tree());
    };
    let at = holder.at.map(Location::line);
    let expected = (kind, count, task, Some(line));
    assert_eq!((holder.kind, holder.count, holder.task, at), expected);
    assert_eq!(holder.at.map(Location::file), Some(file!()));
}

async fn step<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

fn main_task() -> TaskId {
    tree().tasks[0].id
}

#[test]
fn a_mutex_names_its_holder_and_then_the_next() {
    run(async || {
        let mutex = Rc::new(Mutex::new(()));
        let (guard, line) = (mutex.lock().await.unwrap(), line!());
        let lock = |mutex: &Rc<Mutex<()>>| {
            let mutex = Rc::clone(mutex);
            spawn(async move || {
                let _guard = mutex.lock().await.unwrap();
                yield_now().await.unwrap();
                yield_now().await.unwrap();
            })
        };
        let waits_at = line!() - 5;
        let (first, second) = (lock(&mutex), lock(&mutex));
        yield_now().await.unwrap();
        let main = main_task();
        for waiter in [&first, &second] {
            check(holder_for(waiter.id()), "mutex", 1, Some(main), line);
        }
        let text = tree().to_string();
        let held = format!(", held: locked by task {main} at {}:{line}:", file!());
        assert_eq!(text.matches(&held).count(), 2, "{text}");
        let json = tree().to_json();
        let held = format!(
            "\"held_by\":{{\"kind\":\"mutex\",\"count\":1,\"task\":{main},\"at\":\"{}:{line}:",
            file!()
        );
        assert_eq!(json.matches(&held).count(), 2, "{json}");

        // It is on its way to the first, which has not run yet.
        drop(guard);
        let handed = Some(first.id());
        assert_eq!(holder_for(first.id()), None);
        check(holder_for(second.id()), "mutex", 1, handed, waits_at);
        yield_now().await.unwrap();
        check(holder_for(second.id()), "mutex", 1, handed, waits_at);
        first.await.unwrap();
        second.await.unwrap();
    });
}

#[test]
fn who_is_first_in_line_may_go_and_the_holder_stays_known() {
    run(async || {
        let mutex = Rc::new(Mutex::new(()));
        let (_guard, line) = (mutex.try_lock().unwrap(), line!());
        let waits = {
            let mutex = Rc::clone(&mutex);
            spawn(async move || mutex.lock().await.is_err())
        };
        let behind = {
            let mutex = Rc::clone(&mutex);
            spawn(async move || mutex.lock().await.map(drop))
        };
        yield_now().await.unwrap();
        waits.cancel("enough");
        assert!(waits.await.unwrap());
        let main = main_task();
        check(holder_for(behind.id()), "mutex", 1, Some(main), line);

        let mut dropped = Box::pin(mutex.lock());
        assert!(step(&mut dropped).await.is_pending());
        drop(dropped);
        check(holder_for(behind.id()), "mutex", 1, Some(main), line);
        behind.cancel("enough");
        let _ = behind.await;
    });
}

#[test]
fn one_who_comes_back_from_a_condvar_is_the_holder() {
    run(async || {
        let (mutex, condvar) = (Rc::new(Mutex::new(())), Rc::new(Condvar::new()));
        let line = line!() + 5;
        let sleeper = {
            let (mutex, condvar) = (Rc::clone(&mutex), Rc::clone(&condvar));
            spawn(async move || {
                let guard = mutex.lock().await.unwrap();
                let _guard = condvar.wait(guard).await.unwrap();
                yield_now().await.unwrap();
                yield_now().await.unwrap();
            })
        };
        yield_now().await.unwrap();
        condvar.notify_one();
        yield_now().await.unwrap();
        let mut lock = Box::pin(mutex.lock());
        assert!(step(&mut lock).await.is_pending());
        check(
            holder_for(main_task()),
            "mutex",
            1,
            Some(sleeper.id()),
            line,
        );
        drop(lock);
        sleeper.await.unwrap();
    });
}

#[test]
fn a_task_that_has_ended_leaves_its_line() {
    run(async || {
        let mutex: &'static Mutex<()> = Box::leak(Box::new(Mutex::new(())));
        let line = line!() + 1;
        let guard = spawn(async move || mutex.lock().await.unwrap())
            .await
            .unwrap();
        let mut lock = Box::pin(mutex.lock());
        assert!(step(&mut lock).await.is_pending());
        check(holder_for(main_task()), "mutex", 1, None, line);
        let text = tree().to_string();
        let held = format!(", held: locked at {}:{line}:", file!());
        assert!(text.contains(&held), "{text}");
        drop(guard);
    });
}

#[test]
fn what_was_locked_outside_of_a_loop_is_nobodys() {
    let mutex = Mutex::new(());
    let (_guard, line) = (mutex.try_lock().unwrap(), line!());
    run(async || {
        let mut lock = Box::pin(mutex.lock());
        assert!(step(&mut lock).await.is_pending());
        check(holder_for(main_task()), "mutex", 1, None, line);
    });
}

#[test]
fn readers_are_counted_and_the_last_is_named() {
    run(async || {
        let lock = Rc::new(RwLock::new(()));
        let first = lock.read().await.unwrap();
        let (second, line) = (lock.try_read().unwrap(), line!());
        let (main, write_at) = (main_task(), line!() + 5);
        let writer = {
            let lock = Rc::clone(&lock);
            spawn(async move || {
                // It has to wait for the readers.
                let _guard = lock.write().await.unwrap();
                yield_now().await.unwrap();
            })
        };
        let reader = {
            let lock = Rc::clone(&lock);
            spawn(async move || lock.read().await.map(drop))
        };
        yield_now().await.unwrap();
        for waiter in [writer.id(), reader.id()] {
            check(holder_for(waiter), "rwlock read", 2, Some(main), line);
        }
        let text = tree().to_string();
        let held = format!("held by 2 readers: last locked by task {main} at ");
        assert_eq!(text.matches(&held).count(), 2, "{text}");

        drop(first);
        check(holder_for(writer.id()), "rwlock read", 1, Some(main), line);
        let text = tree().to_string();
        assert!(text.contains("held by a reader: locked by task"), "{text}");

        drop(second);
        let handed = Some(writer.id());
        assert_eq!(holder_for(writer.id()), None);
        check(holder_for(reader.id()), "rwlock write", 1, handed, write_at);
        let text = tree().to_string();
        assert!(text.contains("held by a writer: locked by task"), "{text}");
        writer.await.unwrap();
        reader.await.unwrap().unwrap();
    });
}

#[test]
fn a_semaphore_tells_how_many_permits_are_out() {
    run(async || {
        let semaphore = Rc::new(Semaphore::new(3));
        let waiter = {
            let semaphore = Rc::clone(&semaphore);
            spawn(async move || semaphore.acquire(5).await.map(drop))
        };
        yield_now().await.unwrap();
        let nobody = holder_for(waiter.id()).expect("it is a semaphore");
        assert_eq!((nobody.count, nobody.task, nobody.at), (0, None, None));
        let text = tree().to_string();
        assert!(text.contains(", no permit is out"), "{text}");
        waiter.cancel("enough");
        let _ = waiter.await;

        let two = semaphore.acquire(2).await.unwrap();
        let (one, line) = (semaphore.try_acquire_owned(1).unwrap(), line!());
        let (main, waits_at) = (main_task(), line!() + 3);
        let take = |semaphore: &Rc<Semaphore>, count| {
            let semaphore = Rc::clone(semaphore);
            spawn(async move || semaphore.acquire_owned(count).await.map(drop))
        };
        let (small, large) = (take(&semaphore, 1), take(&semaphore, 3));
        yield_now().await.unwrap();
        check(holder_for(large.id()), "semaphore", 3, Some(main), line);
        let text = tree().to_string();
        let held = format!(", 3 permits are out: last taken by task {main} at ");
        assert_eq!(text.matches(&held).count(), 2, "{text}");

        // One goes to the first who waits, and stays out; the others come back or are gone for good.
        drop(one);
        let handed = Some(small.id());
        check(holder_for(large.id()), "semaphore", 3, handed, waits_at);
        two.forget();
        check(holder_for(large.id()), "semaphore", 1, handed, waits_at);
        let text = tree().to_string();
        assert!(text.contains(", 1 permit is out: last taken by"), "{text}");
        semaphore.add_permits(2);
        small.await.unwrap().unwrap();
        large.await.unwrap().unwrap();
    });
}
