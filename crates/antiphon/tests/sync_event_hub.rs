//! `EventHub`: named events, each for the first who waits.
#![allow(
    clippy::needless_raw_string_hashes,
    reason = "`expect!` writes them so"
)]

mod sync_support;

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use antiphon::sync::{EventHub, EventHubWait};
use antiphon::{CancelScope, Cancelled, run, spawn, yield_now};
use expect_test::expect;
use proptest::prelude::*;
use sync_support::cancels::{Place, cancel_tests, in_the_middle_of_a_queue};
use sync_support::{
    Count, Guest, STEPS, Touch, check, hooked_waker, poll_once, poll_with, tries, unhook,
};

/// Event A starts a task that waits for B, then for C; each event resumes the first that waits for it.
#[test]
fn each_event_resumes_the_first_who_waits_for_it() {
    check(
        async |trace| {
            let hub = Rc::new(EventHub::<char>::new());
            let mut tasks = Vec::new();
            for event in "AABCBXCC".chars() {
                if event == 'A' {
                    trace.say("A");
                    let (hub, trace, n) = (Rc::clone(&hub), trace.clone(), tasks.len() + 1);
                    tasks.push(spawn(async move || {
                        for event in ['B', 'C'] {
                            trace.say(format_args!("  {n} waits for {event}"));
                            hub.wait(event).await.unwrap();
                        }
                        trace.say(format_args!("  {n} is done"));
                    }));
                } else {
                    let heard = hub.fire(&event);
                    trace.say(format_args!(
                        "{event}{}",
                        if heard { "" } else { ": nobody waits" }
                    ));
                }
                yield_now().await.unwrap();
            }
            trace.say(format_args!("{hub:?}"));
        },
        expect![[r#"
            A
              1 waits for B
            A
              2 waits for B
            B
              1 waits for C
            C
              1 is done
            B
              2 waits for C
            X: nobody waits
            C
              2 is done
            C: nobody waits
            {}
        "#]],
    );
}

#[test]
fn an_event_brings_a_value_to_one() {
    run(async || {
        let hub = EventHub::<String, Vec<u8>>::new();
        let [mut first, mut second] = [hub.wait("data".into()), hub.wait("data".into())];
        assert_eq!(
            hub.fire_with("data", vec![0]).unwrap_err().into_inner(),
            [0]
        );
        assert!(poll_once(&mut first).is_pending());
        assert!(poll_once(&mut second).is_pending());
        assert_eq!((hub.waiting("data"), hub.waiting("other")), (2, 0));
        hub.fire_with("data", vec![1]).unwrap();
        hub.fire_with("data", vec![2]).unwrap();
        assert!(hub.fire_with("data", vec![3]).is_err());
        assert_eq!(poll_once(&mut second), Poll::Ready(Ok(vec![2])));
        assert_eq!(poll_once(&mut first), Poll::Ready(Ok(vec![1])));
    });
}

#[test]
fn an_event_for_all_brings_each_a_clone() {
    run(async || {
        let hub = EventHub::<u8, Rc<()>>::new();
        let [mut first, mut second, mut third] = [hub.wait(1), hub.wait(1), hub.wait(2)];
        for wait in [&mut first, &mut second, &mut third] {
            assert!(poll_once(wait).is_pending());
        }
        let value = Rc::new(());
        assert_eq!(hub.fire_all_with(&1, Rc::clone(&value)), 2);
        assert_eq!(Rc::strong_count(&value), 3, "one for each of the two");
        assert!(poll_once(&mut first).is_ready());
        drop(second);
        assert_eq!(Rc::strong_count(&value), 1);
        assert!(poll_once(&mut third).is_pending());
        assert_eq!(hub.fire_all_with(&1, value), 0);
        assert_eq!(format!("{hub:?}"), "{2: 1}");
    });
}

#[test]
fn an_event_goes_on_to_the_next_if_the_first_goes_away() {
    run(async || {
        let hub = EventHub::<&str, u32>::new();
        let [mut waiting, mut chosen, mut next] = [(); 3].map(|()| hub.wait("x"));
        drop(hub.wait("x"));
        assert!(poll_once(&mut waiting).is_pending());
        assert!(poll_once(&mut chosen).is_pending());
        let (woken, waker) = Count::new();
        assert!(poll_with(&mut next, &waker).is_pending());
        drop(waiting);
        hub.fire_with("x", 7).unwrap();
        assert_eq!(woken.get(), 0);
        drop(chosen);
        assert_eq!(woken.get(), 1);
        assert_eq!(poll_once(&mut next), Poll::Ready(Ok(7)));
    });
}

#[test]
fn an_event_is_not_passed_on_to_those_who_came_after_it() {
    check(
        async |trace| {
            let hub = EventHub::new();
            let mut first = hub.wait("x");
            assert!(poll_once(&mut first).is_pending());
            hub.fire_with("x", Guest(trace.clone(), "the value", None))
                .ok()
                .unwrap();
            let mut late = hub.wait("x");
            assert!(poll_once(&mut late).is_pending());
            trace.say("the first goes");
            drop(first);
            assert!(poll_once(&mut late).is_pending());
        },
        expect![[r#"
            the first goes
            dropped: the value
        "#]],
    );
}

#[test]
fn who_waits_again_in_reaction_waits_for_the_next_event() {
    run(async || {
        let hub: &'static EventHub<u8> = Box::leak(Box::default());
        let again = Rc::new(RefCell::new(None));
        let gone = Rc::new(RefCell::new(Some(hub.wait(1))));
        let (woken, counting) = Count::new();
        let waker = hooked_waker({
            let (again, gone) = (Rc::clone(&again), Rc::clone(&gone));
            move |touch| {
                if touch == Touch::Woken {
                    drop(gone.take());
                    let mut wait = hub.wait(1);
                    assert!(poll_with(&mut wait, &counting).is_pending());
                    *again.borrow_mut() = Some(wait);
                }
            }
        });
        let mut first = hub.wait(1);
        assert!(poll_with(&mut first, &waker).is_pending());
        assert!(poll_once(gone.borrow_mut().as_mut().unwrap()).is_pending());
        assert_eq!(
            hub.fire_all(&1),
            1,
            "one went away meanwhile, and one came too late"
        );
        assert_eq!(woken.get(), 0);
        assert!(hub.fire(&1));
        assert_eq!(woken.get(), 1);
        unhook();
    });
}

#[test]
fn nothing_is_left_of_a_name_that_nobody_waits_for() {
    check(
        async |trace| {
            #[derive(Clone)]
            struct Name(
                u8,
                #[allow(dead_code, reason = "held to be dropped")] Rc<Guest>,
            );
            impl PartialEq for Name {
                fn eq(&self, other: &Self) -> bool {
                    self.0 == other.0
                }
            }
            impl Eq for Name {}
            impl PartialOrd for Name {
                fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                    Some(self.cmp(other))
                }
            }
            impl Ord for Name {
                fn cmp(&self, other: &Self) -> Ordering {
                    self.0.cmp(&other.0)
                }
            }
            let name = |name| Name(1, Rc::new(Guest(trace.clone(), name, None)));
            let hub = EventHub::<Name>::new();
            let mut first = hub.wait(name("first"));
            let mut second = hub.wait(name("second"));
            assert!(poll_once(&mut first).is_pending());
            assert!(poll_once(&mut second).is_pending());
            drop(first);
            trace.say("the first is gone; its name is that of the line");
            assert!(hub.fire(&name("asked for")));
            assert!(poll_once(&mut second).is_ready());
            trace.say("the second is resumed");
            drop(second);
        },
        expect![[r#"
            the first is gone; its name is that of the line
            dropped: asked for
            dropped: first
            the second is resumed
            dropped: second
        "#]],
    );
}

#[test]
fn a_forgotten_wait_takes_one_event() {
    run(async || {
        let hub = EventHub::<u8, Box<u8>>::new();
        let mut forgotten = hub.wait(1);
        assert!(poll_once(&mut forgotten).is_pending());
        mem::forget(forgotten);
        let mut next = hub.wait(1);
        assert!(poll_once(&mut next).is_pending());
        hub.fire_with(&1, Box::new(1)).unwrap();
        assert!(poll_once(&mut next).is_pending());
        hub.fire_with(&1, Box::new(2)).unwrap();
        assert_eq!(poll_once(&mut next), Poll::Ready(Ok(Box::new(2))));
    });
}

/// A hub that a name's `Ord` uses while it is looked for: no harm, and a clear word.
#[test]
fn a_name_must_not_use_the_hub_that_looks_for_it() {
    thread_local! {
        static HUB: &'static EventHub<Nosy> = Box::leak(Box::default());
        static IS_NOSY: Cell<bool> = const { Cell::new(false) };
    }
    #[derive(Clone, PartialEq, Eq)]
    struct Nosy(u8);
    impl PartialOrd for Nosy {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl Ord for Nosy {
        fn cmp(&self, other: &Self) -> Ordering {
            if IS_NOSY.replace(false) {
                assert!(poll_once(&mut HUB.with(|hub| hub.wait(Self(9)))).is_pending());
            }
            self.0.cmp(&other.0)
        }
    }

    run(async || {
        let hub = HUB.with(|hub| *hub);
        let mut wait = hub.wait(Nosy(1));
        assert!(poll_once(&mut wait).is_pending());
        IS_NOSY.set(true);
        let panic =
            catch_unwind(AssertUnwindSafe(|| poll_once(&mut hub.wait(Nosy(2))))).unwrap_err();
        assert!(
            panic
                .downcast::<&str>()
                .unwrap()
                .contains("used by the `Ord`")
        );
        assert!(hub.fire(&Nosy(1)));
        assert!(poll_once(&mut wait).is_ready());
    });
}

impl Place for EventHub<&'static str> {
    type Error = Cancelled;

    const IS_REMEMBERED: bool = false;

    fn new() -> Self {
        Self::new()
    }

    async fn wait(&self) -> Result<(), Cancelled> {
        EventHub::wait(self, "x").await
    }

    fn release(&self) {
        self.fire("x");
    }
}

cancel_tests!(waiting: EventHub<&'static str>);

#[test]
fn one_cancelled_in_the_middle_of_a_line_lets_the_others_move_up() {
    in_the_middle_of_a_queue::<EventHub<&str>>();
}

/// The events of those who were cancelled are for those behind them, and their names are forgotten.
#[test]
fn one_that_was_cancelled_takes_no_event_and_leaves_no_name() {
    run(async || {
        let hub = EventHub::<&str, u32>::new();
        let scope = CancelScope::new();
        let mut behind = hub.wait("x");
        let outcome = scope.run(async || {
            let [mut chosen, mut waiting, mut alone] = ["x", "x", "y"].map(|name| hub.wait(name));
            for wait in [&mut chosen, &mut waiting, &mut alone, &mut behind] {
                assert!(poll_once(wait).is_pending());
            }
            hub.fire_with("x", 1).unwrap();
            scope.cancel("on purpose");
            assert_eq!((hub.waiting("x"), hub.waiting("y")), (2, 1));
            for wait in [&mut waiting, &mut alone] {
                assert!(matches!(poll_once(wait), Poll::Ready(Err(_))));
            }
            assert_eq!(format!("{hub:?}"), r#"{"x": 1}"#);
            hub.fire_with("x", 2).unwrap();
            assert_eq!(poll_once(&mut chosen), Poll::Ready(Ok(1)));
            hub.wait("z").await
        });
        assert!(outcome.await.is_cancelled());
        assert_eq!(poll_once(&mut behind), Poll::Ready(Ok(2)));
        assert_eq!(format!("{hub:?}"), "{}");
    });
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Polls a wait, making it first if there is none.
    Wait(usize, u8),
    Drop(usize),
    Fire(u8),
    FireAll(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..6_usize, 0..2_u8).prop_map(|(index, key)| Step::Wait(index, key)),
        3 => (0..6_usize).prop_map(Step::Drop),
        2 => (0..2_u8).prop_map(Step::Fire),
        1 => (0..2_u8).prop_map(Step::FireAll),
    ]
}

/// One who waits, and the event that it was handed.
#[derive(Debug)]
struct Waiting {
    index: usize,
    key: u8,
    /// The last event before it came.
    came_after: u32,
    handed: Option<u32>,
}

/// Those who wait, in the order in which they came.
#[derive(Debug, Default)]
struct Model {
    waits: Vec<Waiting>,
    events: u32,
}

impl Model {
    fn hand(&mut self, key: u8, event: u32) -> bool {
        let may_have_it = |wait: &&mut Waiting| {
            wait.key == key && wait.came_after < event && wait.handed.is_none()
        };
        let first = self.waits.iter_mut().find(may_have_it);
        first.map(|wait| wait.handed = Some(event)).is_some()
    }

    fn drop(&mut self, index: usize) {
        let Some(position) = self.waits.iter().position(|wait| wait.index == index) else {
            return;
        };
        let Waiting { key, handed, .. } = self.waits.remove(position);
        if let Some(event) = handed {
            self.hand(key, event);
        }
    }
}

/// A wait, and how often it was woken.
type Counted<'a> = (EventHubWait<'a, u8, u32>, Arc<Count>);

proptest! {
    #![proptest_config(tries())]

    #[test]
    fn it_does_as_the_model_does(steps in proptest::collection::vec(step(), 1..STEPS)) {
        run(async || {
            let hub = EventHub::<u8, u32>::new();
            let mut waits: [Option<Counted<'_>>; 6] = Default::default();
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::Wait(index, key) => {
                        if waits[index].is_none() {
                            waits[index] = Some((hub.wait(key), Arc::default()));
                            model.waits.push(Waiting { index, key, came_after: model.events, handed: None });
                        }
                        let (wait, count) = waits[index].as_mut().expect("made above");
                        let poll = poll_with(wait, &Arc::clone(count).into());
                        let position = model.waits.iter().position(|wait| wait.index == index).expect("it waits");
                        let handed = model.waits[position].handed;
                        prop_assert_eq!(poll, handed.map_or(Poll::Pending, |event| Poll::Ready(Ok(event))));
                        if handed.is_some() {
                            waits[index] = None;
                            model.waits.remove(position);
                        }
                    }
                    Step::Drop(index) => {
                        waits[index] = None;
                        model.drop(index);
                    }
                    Step::Fire(key) => {
                        model.events += 1;
                        let event = model.events;
                        prop_assert_eq!(hub.fire_with(&key, event).is_ok(), model.hand(key, event));
                    }
                    Step::FireAll(key) => {
                        model.events += 1;
                        let event = model.events;
                        let expected = std::iter::from_fn(|| model.hand(key, event).then_some(())).count();
                        prop_assert_eq!(hub.fire_all_with(&key, event), expected);
                    }
                }
                for key in 0..2 {
                    let waiting = model.waits.iter().filter(|wait| wait.key == key && wait.handed.is_none()).count();
                    prop_assert_eq!(hub.waiting(&key), waiting);
                }
                for Waiting { index, handed, .. } in &model.waits {
                    let count = &waits[*index].as_ref().expect("it waits").1;
                    prop_assert_eq!(count.get(), usize::from(handed.is_some()), "woken once, when it is resumed");
                }
            }
            Ok(())
        })?;
    }
}
