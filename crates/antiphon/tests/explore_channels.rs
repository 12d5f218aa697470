//! Channels lose and double no value, whoever is interrupted at either end, and wherever.

mod explore_support;

use std::any::Any;
use std::rc::Rc;
use std::time::Duration;

use antiphon::sync::{EventHub, broadcast, mpsc, oneshot, watch};
use antiphon::{group, spawn, time, yield_now};
use explore_support::{
    Body, Count, HOUR, How, Log, SECOND, Slot, alone, attempt, body, look, meeting, play,
};

/// Is counted as long as it is somewhere.
struct Token {
    _count: Box<dyn Any>,
}

impl Token {
    fn new(count: &Count) -> Self {
        Self {
            _count: Box::new(count.enter().1),
        }
    }
}

#[test]
fn a_value_sent_once_is_received_once() {
    alone("oneshot", || async {
        let alive = Count::default();
        let (sender, mut receiver) = oneshot::channel();
        let task = {
            let token = Token::new(&alive);
            spawn(async move || {
                time::sleep(SECOND).await.unwrap();
                assert!(sender.send(token).is_ok());
            })
        };
        let how = attempt(async || (&mut receiver).await).await;
        task.await.unwrap();
        match how {
            How::Done(_token) => assert!(receiver.try_recv().is_err(), "it was received"),
            How::Cancelled => drop(receiver.await.expect("it is still there")),
            How::Panicked => drop(receiver.try_recv().expect("it is still there")),
        }
        assert_eq!(alive.get(), 0);
    });
}

#[test]
fn a_receiver_that_was_chosen_has_the_value_or_leaves_it() {
    alone("oneshot, both ends", || async {
        let alive = Count::default();
        let (sender, mut receiver) = oneshot::channel();
        let got = Count::default();
        attempt(async || {
            group(async |group| {
                let token = Token::new(&alive);
                group.spawn(async move || {
                    time::sleep(SECOND).await?;
                    let _ = sender.send(token);
                    yield_now().await?;
                    Ok(())
                });
                group.spawn(async || {
                    drop((&mut receiver).await?);
                    got.add();
                    Ok::<(), oneshot::RecvError>(())
                });
                Ok(())
            })
            .await
        })
        .await;
        assert!(alive.get() + got.get() <= 1);
        let left = usize::from(receiver.try_recv().is_ok());
        assert!(left + got.get() <= 1);
        assert_eq!(alive.get(), 0);
    });
}

#[test]
fn who_waits_for_the_receiver_to_go_may_send_instead() {
    alone("oneshot closed", || async {
        for does_receive in [false, true] {
            let (sender, receiver) = oneshot::channel();
            let task = spawn(async move || {
                time::sleep(SECOND).await.unwrap();
                if does_receive {
                    receiver.await.ok()
                } else {
                    None
                }
            });
            let wait = async || {
                time::timeout(2 * SECOND, async || {
                    sender.closed().await.map_err(std::io::Error::from)
                })
                .await
                .or_else(|error| match error.kind() {
                    std::io::ErrorKind::TimedOut => Ok(()),
                    _ => Err(error),
                })
            };
            attempt(wait).await;
            let is_closed = sender.is_closed();
            assert_eq!(sender.send(7).is_err(), is_closed);
            let got = task.await.unwrap();
            assert_eq!(got.is_some(), does_receive && !is_closed);
        }
    });
}

/// Says of each sender what was sent, and what of it was received and is left.
struct Ledger {
    sent: [Log<u32>; 3],
    got: Log<(usize, u32)>,
}

impl Ledger {
    fn new() -> Self {
        Self {
            sent: std::array::from_fn(|_| Log::default()),
            got: Log::default(),
        }
    }

    fn check(&self) {
        let got = self.got.take();
        for (sender, sent) in self.sent.iter().enumerate() {
            let from_it = got.iter().filter(|(from, _)| *from == sender);
            let from_it: Vec<_> = from_it.map(|(_, value)| *value).collect();
            assert_eq!(sent.take(), from_it, "sent and received by sender {sender}");
        }
    }
}

/// Receives until no sender is left, with waits in between.
fn receiving(receiver: &Slot<mpsc::Receiver<(usize, u32)>>, got: &Log<(usize, u32)>) -> Body {
    let (receiver, got) = (receiver.clone(), got.clone());
    body(async move {
        let mut receiver = receiver.lend();
        while let Some(value) = receiver.recv().await? {
            got.say(value);
            yield_now().await?;
        }
        Ok(())
    })
}

/// Receives what is left when nobody does it any more, so that senders go on.
fn rest(
    receiver: &Slot<mpsc::Receiver<(usize, u32)>>,
    got: &Log<(usize, u32)>,
) -> antiphon::JoinHandle<()> {
    let (receiver, got) = (receiver.clone(), got.clone());
    spawn(async move || {
        time::sleep(HOUR).await.unwrap();
        let mut receiver = receiver.take();
        while let Some(value) = receiver.recv().await.unwrap() {
            got.say(value);
        }
    })
}

#[test]
fn what_was_sent_is_received_in_order() {
    meeting("mpsc", |shape| async move {
        let ledger = Ledger::new();
        let (sender, receiver) = mpsc::channel(1);
        let receiver = Slot::new(receiver);
        let mut bodies = vec![receiving(&receiver, &ledger.got)];
        for (number, sent) in ledger.sent.iter().enumerate() {
            let (sender, sent) = (sender.clone(), sent.clone());
            bodies.push(body(async move {
                for value in 0..3 {
                    match sender.send((number, value)).await {
                        Ok(()) => sent.say(value),
                        Err(error) => {
                            let cancelled = error.as_cancelled().expect("it is open").clone();
                            assert_eq!(error.into_inner(), (number, value));
                            return Err(cancelled.into());
                        }
                    }
                }
                Ok(())
            }));
        }
        drop(sender);
        let rest = rest(&receiver, &ledger.got);
        play(shape, bodies).await;
        rest.await.unwrap();
        ledger.check();
    });
}

#[test]
fn room_that_was_reserved_is_used_or_given_up() {
    meeting("mpsc reserve", |shape| async move {
        let ledger = Ledger::new();
        let (sender, receiver) = mpsc::channel(2);
        let receiver = Slot::new(receiver);
        let mut bodies = Vec::new();
        for (number, sent) in ledger.sent.iter().enumerate() {
            let (sender, sent) = (sender.clone(), sent.clone());
            bodies.push(body(async move {
                for value in 0..3 {
                    let permit = sender.reserve().await?;
                    yield_now().await?;
                    if value == 1 {
                        // This one it does not use after all.
                        drop(permit);
                    } else if permit.send((number, value)).is_ok() {
                        sent.say(value);
                    }
                }
                Ok(())
            }));
        }
        drop(sender);
        bodies.insert(1, receiving(&receiver, &ledger.got));
        let rest = rest(&receiver, &ledger.got);
        play(shape, bodies).await;
        rest.await.unwrap();
        ledger.check();
    });
}

#[test]
fn all_room_is_there_again_when_senders_gave_up() {
    meeting("mpsc, room", |shape| async move {
        let (sender, mut receiver) = mpsc::channel(2);
        let sender = Rc::new(sender);
        let bodies = (0..4).map(|number| {
            let sender = Rc::clone(&sender);
            body(async move {
                for _ in 0..2 {
                    let _permit = sender.reserve().await?;
                    yield_now().await?;
                }
                if number == 0 {
                    sender.send(number).await?;
                }
                Ok(())
            })
        });
        play(shape, bodies).await;
        let left = receiver.len();
        for _ in left..2 {
            assert!(sender.try_send(9).is_ok());
        }
        assert!(sender.try_send(9).is_err());
        while receiver.try_recv().is_ok() {}
        assert!(receiver.is_empty());
    });
}

#[test]
fn room_that_was_promised_goes_to_the_next() {
    meeting("mpsc, dropped", |shape| async move {
        let (sender, mut receiver) = mpsc::channel(1);
        let sender = Rc::new(sender);
        let bodies = (0..3).map(|_| {
            let sender = Rc::clone(&sender);
            body(async move {
                for _ in 0..2 {
                    if let Some(permit) = look(Duration::ZERO, sender.reserve()).await? {
                        let _permit = permit?;
                        yield_now().await?;
                    }
                }
                drop(sender.reserve().await?);
                Ok(())
            })
        });
        play(shape, bodies).await;
        assert!(sender.try_send(9).is_ok(), "nobody has the room");
        assert_eq!(receiver.try_recv(), Ok(9));
    });
}

#[test]
fn senders_to_a_channel_that_is_closed_have_their_values_back() {
    meeting("mpsc, closed", |shape| async move {
        let alive = Count::default();
        let (sender, mut receiver) = mpsc::channel(1);
        sender.try_send(Token::new(&alive)).ok().unwrap();
        let sender = Rc::new(sender);
        let bodies = (0..3).map(|_| {
            let (sender, alive) = (Rc::clone(&sender), alive.clone());
            body(async move {
                match sender.send(Token::new(&alive)).await {
                    Ok(()) => panic!("there is no room before it is closed"),
                    Err(error) => match error.as_cancelled() {
                        None => Ok(()),
                        Some(cancelled) => Err(cancelled.clone().into()),
                    },
                }
            })
        });
        let closer = spawn(async move || {
            time::sleep(SECOND).await.unwrap();
            receiver.close();
            let got = receiver.recv().await.unwrap().is_some();
            got && receiver.recv().await.unwrap().is_none()
        });
        play(shape, bodies).await;
        assert!(closer.await.unwrap(), "what was in it was received");
        assert_eq!(alive.get(), 0);
    });
}

#[test]
fn what_was_sent_without_bounds_is_received_in_order() {
    meeting("unbounded", |shape| async move {
        let ledger = Ledger::new();
        let (sender, receiver) = mpsc::unbounded();
        let receiver = Slot::new(receiver);
        let mut bodies = vec![receiving(&receiver, &ledger.got)];
        for (number, sent) in ledger.sent.iter().enumerate() {
            let (sender, sent) = (sender.clone(), sent.clone());
            bodies.push(body(async move {
                for value in 0..3 {
                    sender.send((number, value)).expect("it is open");
                    sent.say(value);
                    yield_now().await?;
                }
                Ok(())
            }));
        }
        drop(sender);
        let rest = rest(&receiver, &ledger.got);
        play(shape, bodies).await;
        rest.await.unwrap();
        ledger.check();
    });
}

#[test]
fn each_receiver_of_a_broadcast_has_received_or_missed_all() {
    meeting("broadcast", |shape| async move {
        const VALUES: u64 = 6;
        let (sender, receiver) = broadcast::channel(3);
        let receivers: Vec<_> = (0..3).map(|_| Slot::new(receiver.clone())).collect();
        drop(receiver);
        // The value that is the next one, for each receiver.
        let next: Vec<_> = (0..3).map(|_| Rc::new(std::cell::Cell::new(0))).collect();
        let bodies = receivers
            .iter()
            .zip(&next)
            .enumerate()
            .map(|(number, (receiver, next))| {
                let (receiver, next) = (receiver.clone(), Rc::clone(next));
                body(async move {
                    let mut receiver = receiver.lend();
                    loop {
                        match receiver.recv().await {
                            Ok(value) => {
                                assert_eq!(value, next.get());
                                next.set(value + 1);
                            }
                            Err(broadcast::RecvError::Lagged(missed)) => {
                                next.set(next.get() + missed);
                            }
                            Err(broadcast::RecvError::Closed) => return Ok(()),
                            Err(error) => return Err(error.into()),
                        }
                        for _ in 0..3 * number {
                            yield_now().await?;
                        }
                    }
                })
            });
        let task = spawn(async move || {
            for value in 0..VALUES {
                sender.send(value).ok();
                yield_now().await.unwrap();
            }
        });
        play(shape, bodies).await;
        task.await.unwrap();
        for (receiver, next) in receivers.iter().zip(next) {
            let mut receiver = receiver.take();
            loop {
                match receiver.try_recv() {
                    Ok(value) => {
                        assert_eq!(value, next.get());
                        next.set(value + 1);
                    }
                    Err(broadcast::TryRecvError::Lagged(missed)) => next.set(next.get() + missed),
                    Err(broadcast::TryRecvError::Closed) => break,
                    Err(error) => panic!("the sender is gone, but it said: {error}"),
                }
            }
            assert_eq!(next.get(), VALUES);
        }
    });
}

#[test]
fn a_change_is_seen_or_still_to_be_seen() {
    meeting("watch", |shape| async move {
        let (sender, receiver) = watch::channel(0);
        let receivers: Vec<_> = (0..3).map(|_| Slot::new(receiver.clone())).collect();
        drop(receiver);
        let seen: Vec<_> = (0..3).map(|_| Rc::new(std::cell::Cell::new(0))).collect();
        let bodies = receivers.iter().zip(&seen).map(|(receiver, seen)| {
            let (receiver, seen) = (receiver.clone(), Rc::clone(seen));
            body(async move {
                let mut receiver = receiver.lend();
                loop {
                    match receiver.changed().await {
                        Ok(()) => {
                            assert!(*receiver.borrow() > seen.get(), "it has changed");
                            seen.set(*receiver.borrow());
                        }
                        Err(watch::RecvError::Closed) => return Ok(()),
                        Err(error) => return Err(error.into()),
                    }
                }
            })
        });
        let task = spawn(async move || {
            for value in 1..=4 {
                sender.send(value).ok();
                if value % 2 == 0 {
                    time::sleep(SECOND).await.unwrap();
                }
            }
        });
        play(shape, bodies).await;
        task.await.unwrap();
        for (receiver, seen) in receivers.iter().zip(seen) {
            let receiver = receiver.take();
            assert_eq!(*receiver.borrow(), 4);
            assert_eq!(receiver.has_changed(), seen.get() != 4);
        }
    });
}

#[test]
fn what_is_fired_is_heard_by_one() {
    meeting("event hub", |shape| async move {
        let hub = Rc::new(EventHub::<&str, u32>::new());
        let (heard, fired) = (Log::default(), Log::default());
        let bodies = (0..4).map(|number| {
            let (hub, heard) = (Rc::clone(&hub), heard.clone());
            let name = if number < 3 { "paid" } else { "shipped" };
            body(async move {
                heard.say(hub.wait(name).await?);
                yield_now().await?;
                heard.say(hub.wait(name).await?);
                Ok(())
            })
        });
        let task = {
            let (hub, fired) = (Rc::clone(&hub), fired.clone());
            spawn(async move || {
                for value in 0..12 {
                    time::sleep(SECOND).await.unwrap();
                    for (name, value) in [("paid", value), ("shipped", 100 + value)] {
                        if hub.fire_with(name, value).is_ok() {
                            fired.say(value);
                        }
                        // The second comes while the first was chosen and has perhaps not run.
                        if hub.fire_with(name, value + 50).is_ok() {
                            fired.say(value + 50);
                        }
                    }
                }
                // A last one for all.
                let waiting = hub.waiting("paid");
                assert_eq!(hub.fire_all_with("paid", 99), waiting);
                (0..waiting).for_each(|_| fired.say(99));
            })
        };
        play(shape, bodies).await;
        task.await.unwrap();
        let (mut heard, mut fired) = (heard.take(), fired.take());
        heard.sort_unstable();
        fired.sort_unstable();
        assert_eq!(heard, fired);
        assert_eq!((hub.waiting("paid"), hub.waiting("shipped")), (0, 0));
        assert_eq!(format!("{hub:?}"), "{}", "no line is left");
    });
}

#[test]
fn an_event_that_somebody_has_in_hand_goes_to_the_next() {
    meeting("event hub, dropped", |shape| async move {
        let hub = Rc::new(EventHub::<u8>::new());
        let (heard, left) = (Count::default(), Count::default());
        let bodies = (0..3).map(|_| {
            let (hub, heard, left) = (Rc::clone(&hub), heard.clone(), left.clone());
            body(async move {
                for _ in 0..2 {
                    if let Some(event) = look(SECOND, hub.wait(1)).await? {
                        event?;
                        heard.add();
                    } else {
                        left.add();
                    }
                }
                hub.wait(1).await?;
                heard.add();
                Ok(())
            })
        });
        let task = {
            let hub = Rc::clone(&hub);
            spawn(async move || {
                let mut fired = 0;
                for _ in 0..8 {
                    time::sleep(SECOND).await.unwrap();
                    fired += usize::from(hub.fire(&1));
                    yield_now().await.unwrap();
                }
                fired
            })
        };
        play(shape, bodies).await;
        // One who leaves with an event in hand passes it on, if anybody else waited for it.
        let fired = task.await.unwrap();
        assert!((heard.get()..=heard.get() + left.get()).contains(&fired));
    });
}
