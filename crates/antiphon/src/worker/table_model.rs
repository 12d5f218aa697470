//! The table against lists that do the same.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::Location;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

use super::table::Table;
use super::waker::Address;
use crate::task::Task;

const WORKER: u16 = 7;

#[derive(Clone, Debug)]
enum Step {
    Insert,
    /// Empties a slot that some task had, if one has it now.
    Remove(Index),
    /// Wakes a task, or one that had been.
    MakeReady(Index),
    /// Wakes the task that comes after one, whose waker is from when the generations came round.
    MakeNextReady(Index),
    Pop,
    /// A task's last step: it may be woken in it.
    PopAndRemove {
        is_woken: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Insert),
        2 => any::<Index>().prop_map(Step::Remove),
        6 => any::<Index>().prop_map(Step::MakeReady),
        1 => any::<Index>().prop_map(Step::MakeNextReady),
        4 => Just(Step::Pop),
        2 => any::<bool>().prop_map(|is_woken| Step::PopAndRemove { is_woken }),
    ]
}

/// What the table does, said plainly: it knows its tasks by address, and nothing of slots.
#[derive(Default)]
struct Model {
    tasks: BTreeMap<Address, u64>,
    ready: VecDeque<Address>,
}

impl Model {
    fn make_ready(&mut self, address: Address) {
        if self.tasks.contains_key(&address) && !self.ready.contains(&address) {
            self.ready.push_back(address);
        }
    }

    fn remove(&mut self, slot: u32) -> Option<u64> {
        let address = self.tasks.keys().find(|address| address.slot() == slot);
        let address = *address?;
        self.ready.retain(|ready| *ready != address);
        self.tasks.remove(&address)
    }

    fn pop_ready(&mut self) -> Option<(Address, u64)> {
        let address = self.ready.pop_front()?;
        Some((address, self.tasks[&address]))
    }
}

/// A table and its model, which take each step together.
struct Pair {
    table: Table,
    model: Model,
    /// Every address there was, in its order.
    addresses: Vec<Address>,
}

impl Pair {
    fn new() -> Self {
        Self {
            table: Table::new(WORKER),
            model: Model::default(),
            addresses: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Insert => self.insert(),
            Step::Remove(index) if !self.addresses.is_empty() => {
                self.remove(index.get(&self.addresses).slot());
            }
            Step::MakeReady(index) if !self.addresses.is_empty() => {
                self.make_ready(*index.get(&self.addresses));
            }
            Step::MakeNextReady(index) if !self.addresses.is_empty() => {
                let address = index.get(&self.addresses);
                let generation = Address::next_generation(address.generation());
                self.make_ready(Address::new(WORKER, generation, address.slot()));
            }
            Step::Remove(_) => {}
            Step::MakeReady(_) | Step::MakeNextReady(_) => {
                self.make_ready(Address::new(WORKER, 0, 0));
            }
            Step::Pop => {
                self.pop_ready();
            }
            Step::PopAndRemove { is_woken } => {
                if let Some(address) = self.pop_ready() {
                    if *is_woken {
                        self.make_ready(address);
                    }
                    self.remove(address.slot());
                }
            }
        }
        assert_eq!(self.table.live(), self.model.tasks.len());
        // The slot of a task that has gone may still be in the queue.
        assert!(self.table.has_ready() || self.model.ready.is_empty());
    }

    fn insert(&mut self) {
        let number = self.addresses.len() as u64 + 1;
        let address = self.table.insert(task(number));
        assert_eq!(address.worker(), WORKER);
        assert!(!self.addresses.contains(&address), "an address of another");
        let is_alone = self
            .model
            .tasks
            .keys()
            .all(|other| other.slot() != address.slot());
        assert!(is_alone, "two tasks in one slot");
        self.addresses.push(address);
        self.model.tasks.insert(address, number);
        self.model.ready.push_back(address);
    }

    fn remove(&mut self, slot: u32) {
        let removed = self.table.remove(slot).map(|task| number(&task));
        assert_eq!(removed, self.model.remove(slot));
    }

    fn make_ready(&mut self, address: Address) {
        self.table.make_ready(address);
        self.model.make_ready(address);
    }

    fn pop_ready(&mut self) -> Option<Address> {
        let running = Cell::new(Address::NOBODY);
        let popped = self.table.pop_ready(&running);
        let popped = popped.map(|task| (running.get(), number(&task)));
        assert_eq!(popped, self.model.pop_ready());
        if popped.is_none() {
            assert_eq!(running.get(), Address::NOBODY);
            assert!(!self.table.has_ready());
        }
        popped.map(|(address, _)| address)
    }

    fn slots(&self) -> BTreeSet<u32> {
        self.addresses
            .iter()
            .map(|address| address.slot())
            .collect()
    }

    /// Ends all tasks, and starts as many as there are slots: none may be missing.
    fn use_all_again(&mut self) {
        let slots = self.slots();
        for slot in &slots {
            self.remove(*slot);
        }
        assert_eq!(self.pop_ready(), None);
        let before = self.addresses.len();
        for _ in &slots {
            self.insert();
        }
        assert_eq!(self.slots(), slots);
        let again = self.addresses[before..].to_vec();
        for address in again {
            assert_eq!(self.pop_ready(), Some(address));
        }
    }
}

#[test]
fn it_does_as_the_lists_do() {
    let config = Config {
        cases: if cfg!(miri) { 8 } else { 512 },
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let steps = prop::collection::vec(step(), 1..200);
    let run = |steps: Vec<Step>| -> TestCaseResult {
        let mut pair = Pair::new();
        for step in &steps {
            pair.take(step);
        }
        pair.use_all_again();
        Ok(())
    };
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(&steps, run) {
        panic!("{error}");
    }
}

#[test]
fn a_slot_that_never_was_wakes_nobody() {
    let mut pair = Pair::new();
    pair.insert();
    pair.pop_ready();
    for slot in [1, 2, 1 << 20] {
        pair.make_ready(Address::new(WORKER, 0, slot));
    }
    assert_eq!(pair.pop_ready(), None);
}

/// A waker may be so old that the generations of its slot have come round. It then wakes whoever is there, and nothing
/// else goes wrong.
#[test]
fn an_address_that_comes_round_is_one_wake_too_many() {
    // So many tasks are too many for an interpreter.
    if cfg!(miri) {
        return;
    }
    let table = Table::new(WORKER);
    let running = Cell::new(Address::NOBODY);
    let first = table.insert(task(1));
    let mut last = first;
    for count in 1..=1 << 24 {
        let task = table.pop_ready(&running).expect("was inserted");
        assert_eq!(running.get(), last);
        drop(table.remove(last.slot()));
        // The same one again and again: to the table each is another.
        last = table.insert(task);
        assert_eq!(last.slot(), first.slot());
        assert_eq!(last == first, count == 1 << 24);
    }
    assert!(table.pop_ready(&running).is_some());
    assert!(!table.has_ready());
    table.make_ready(first);
    assert!(table.pop_ready(&running).is_some());
    assert_eq!(running.get(), first);
    assert_eq!(table.live(), 1);
}

/// Makes a task that has ended: the table does not ask, and it can be dropped anywhere.
fn task(number: u64) -> Task {
    let task = Task::stand_in(number, Location::caller());
    task.kill();
    task
}

fn number(task: &Task) -> u64 {
    task.header().id().get()
}
