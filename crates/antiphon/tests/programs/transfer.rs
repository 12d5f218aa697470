//! Transfers between two stores in two phases, with a log of what was decided.
//!
//! ```text
//!   transfer:  prepare ──▶ both stores,  then  decide: commit ──▶ log      may be cancelled anywhere
//!   its exit:  commit, or abort if nothing was decided ──▶ both stores,  then  done ──▶ log
//! ```
//! A store is a task that is asked through a channel. A transfer holds both stores' locks for reading; an auditor takes them
//! for writing, so it sees no transfer half way.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use antiphon::context::{ContextManager, Ending, LetGo, with};
use antiphon::sync::{Mutex, RwLock, mpsc, oneshot};
use antiphon::{Cancelled, group, is_cancelled, join, shield, time, yield_now};

use super::{Load, Program, Random, unsent};

const TRANSFERS: u32 = 6;
const AUDITS: usize = 3;
const BALANCE: i64 = 100;

pub(crate) struct Transfers {
    random: Random,
    /// How many transfers there are.
    count: u32,
    stores: [Store; 2],
    log: Mutex<Vec<(u32, Entry)>>,
    /// Transfers whose block ended otherwise than the log says.
    disagreements: Cell<u32>,
    /// Totals that the auditor saw.
    audits: RefCell<Vec<i64>>,
}

#[derive(Default)]
struct Store {
    /// Who works with the store holds it. The store itself does not look at it.
    lock: RwLock<()>,
    book: RefCell<Book>,
}

struct Book {
    balance: i64,
    /// What transfers that were not decided yet are to add.
    prepared: BTreeMap<u32, i64>,
    /// The transfers that were committed.
    applied: BTreeSet<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Commit,
    Abort,
    Done,
}

/// What a store is asked to do for a transfer.
struct Request {
    transfer: u32,
    step: Step,
    answer: oneshot::Sender<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Prepare(i64),
    Commit,
    Abort,
}

type Desk = mpsc::Sender<Request>;

impl Program for Transfers {
    const NAME: &'static str = "transfers";

    fn new(seed: u64, load: Load) -> Self {
        Self {
            random: Random::new(seed),
            count: load.choose(TRANSFERS, 2),
            stores: Default::default(),
            log: Mutex::default(),
            disagreements: Cell::new(0),
            audits: RefCell::default(),
        }
    }

    async fn run(&self) -> io::Result<()> {
        group(async |stores| {
            let desks = self.stores.each_ref().map(|store| {
                let (desk, requests) = mpsc::channel(2);
                let child = stores.child().name("store");
                child.spawn(async move || Ok(self.keep(store, requests).await?));
                desk
            });
            let desks = &desks;
            group(async |group| {
                for number in 0..self.count {
                    group.spawn(async move || self.transfer(number, desks).await);
                }
                let auditor = group.child().name("auditor");
                auditor.spawn(async || Ok(self.audit().await?));
                Ok::<(), io::Error>(())
            })
            .await?;
            // The stores end when nobody is left who could ask them.
            Ok::<(), io::Error>(())
        })
        .await?;
        Ok(())
    }

    fn check(&self, is_done: bool) {
        assert_eq!(self.disagreements.get(), 0, "a value is a commit");
        let total = 2 * BALANCE;
        assert!(self.audits.borrow().iter().all(|seen| *seen == total));
        let log = self.log.try_lock().expect("nobody holds the log");
        let mut committed = BTreeSet::new();
        for number in 0..self.count {
            let entries = log.iter().filter(|(transfer, _)| *transfer == number);
            match entries.map(|(_, entry)| *entry).collect::<Vec<_>>()[..] {
                [] => assert!(!is_done, "each transfer has begun"),
                [Entry::Commit, Entry::Done] => assert!(committed.insert(number)),
                [Entry::Abort, Entry::Done] => {}
                ref other => panic!("transfer {number} has {other:?}"),
            }
        }
        for store in &self.stores {
            assert!(store.lock.try_write().is_some(), "nobody holds a store");
            let book = store.book.borrow();
            assert_eq!(book.prepared, BTreeMap::new(), "nothing is left over");
            assert_eq!(book.applied, committed, "both, or neither");
            assert!(book.balance >= 0);
        }
        let balance = |store: &Store| store.book.borrow().balance;
        assert_eq!(self.stores.iter().map(balance).sum::<i64>(), total);
        if is_done {
            assert_eq!(self.audits.borrow().len(), AUDITS);
        }
    }

    const END: usize = TRANSFERS as usize;

    fn progress(&self) -> usize {
        let log = self.log.try_lock().expect("nobody holds the log");
        let done = log.iter().filter(|(_, entry)| *entry == Entry::Done);
        done.count()
    }
}

impl Transfers {
    /// Answers until nobody is left who could ask. Those who clean up ask as well, so a cancel does not reach it.
    async fn keep(
        &self,
        store: &Store,
        mut requests: mpsc::Receiver<Request>,
    ) -> Result<(), Cancelled> {
        shield(async || {
            while let Some(request) = requests.recv().await? {
                self.random.pause().await?;
                let answer = store.book.borrow_mut().take(request.transfer, request.step);
                self.random.pause().await?;
                // Who asked may have been cancelled meanwhile.
                let _ = request.answer.send(answer);
            }
            Ok(())
        })
        .await
    }

    async fn transfer(&self, number: u32, desks: &[Desk; 2]) -> io::Result<()> {
        self.random.pause().await?;
        let from = self.random.below(2);
        let amount = i64::try_from(1 + self.random.below(80)).unwrap();
        let [first, second] = &self.stores;
        let patience = Duration::from_micros([50, 5_000, 1_000_000][self.random.below(3)]);
        let result = with(first.lock.read(), async |_| {
            with(second.lock.read(), async |_| {
                let transaction = Transaction {
                    number,
                    program: self,
                    desks,
                };
                with(async { Ok::<_, Cancelled>(transaction) }, async |it| {
                    time::timeout(patience, async || {
                        it.prepare(from, -amount).await?;
                        it.prepare(1 - from, amount).await
                    })
                    .await?;
                    Ok(self.write(number, Entry::Commit).await?)
                })
                .await
            })
            .await
        });
        match result.await {
            Err(error) if is_cancelled(&error) => Err(error),
            // Refused, or too slow: it was rolled back, and others go on.
            Ok(()) | Err(_) => Ok(()),
        }
    }

    async fn audit(&self) -> Result<(), Cancelled> {
        let [first, second] = &self.stores;
        for _ in 0..AUDITS {
            self.random.pause().await?;
            let _first = first.lock.write().await?;
            let _second = second.lock.write().await?;
            yield_now().await?;
            let balances = [first, second].map(|store| store.book.borrow().balance);
            self.audits.borrow_mut().push(balances.iter().sum());
        }
        Ok(())
    }

    /// Writes to the log. Cancelled, it did not happen.
    async fn write(&self, number: u32, entry: Entry) -> Result<(), Cancelled> {
        let mut log = self.log.lock().await?;
        self.random.pause().await?;
        log.push((number, entry));
        Ok(())
    }
}

/// A transfer under way. It exits with both stores told what was decided.
struct Transaction<'a> {
    number: u32,
    program: &'a Transfers,
    desks: &'a [Desk; 2],
}

impl Transaction<'_> {
    /// Has a store promise that it can add `amount`.
    async fn prepare(&self, store: usize, amount: i64) -> io::Result<()> {
        if self.ask(store, Step::Prepare(amount)).await? {
            Ok(())
        } else {
            Err(io::Error::other("there is not enough"))
        }
    }

    async fn ask(&self, store: usize, step: Step) -> io::Result<bool> {
        let (answer, answered) = oneshot::channel();
        let request = Request {
            transfer: self.number,
            step,
            answer,
        };
        let sent = self.desks[store].send(request).await;
        sent.map_err(|error| unsent(&error))?;
        answered.await.map_err(io::Error::other)
    }
}

impl ContextManager for Transaction<'_> {
    type Error = io::Error;
    type IfDropped = LetGo;

    /// What a store was asked for before, even if nobody waited for the answer, comes before what it is asked for here.
    async fn exit(self, ending: Ending<'_>) -> io::Result<()> {
        let is_committed = {
            let log = self.program.log.lock().await?;
            log.contains(&(self.number, Entry::Commit))
        };
        if is_committed != ending.is_value() {
            let disagreements = &self.program.disagreements;
            disagreements.set(disagreements.get() + 1);
        }
        let step = if is_committed {
            Step::Commit
        } else {
            self.program.write(self.number, Entry::Abort).await?;
            Step::Abort
        };
        let (one, other) = join((
            async || self.ask(0, step).await,
            async || self.ask(1, step).await,
        ))
        .await;
        if !(one? && other?) {
            return Err(io::Error::other("a store broke its promise"));
        }
        Ok(self.program.write(self.number, Entry::Done).await?)
    }
}

impl Book {
    /// Does a step for a transfer. `false` if it can't be done.
    fn take(&mut self, transfer: u32, step: Step) -> bool {
        match step {
            Step::Prepare(amount) => {
                let promised: i64 = self.prepared.values().filter(|amount| **amount < 0).sum();
                let is_enough = self.balance + promised + amount >= 0;
                if is_enough || amount > 0 {
                    assert!(self.prepared.insert(transfer, amount).is_none());
                }
                is_enough || amount > 0
            }
            Step::Commit => {
                let Some(amount) = self.prepared.remove(&transfer) else {
                    return false;
                };
                self.balance += amount;
                assert!(self.applied.insert(transfer), "it is committed once");
                true
            }
            Step::Abort => {
                self.prepared.remove(&transfer);
                true
            }
        }
    }
}

impl Default for Book {
    fn default() -> Self {
        Self {
            balance: BALANCE,
            prepared: BTreeMap::new(),
            applied: BTreeSet::new(),
        }
    }
}
