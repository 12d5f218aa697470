//! A pool whose connections need a wait to go back, used as a guard and as a block.

mod context_support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use antiphon::context::{ContextManager, Ending, ExitStack, HandOver, stats, with};
use antiphon::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use antiphon::{CancelScope, Cancelled, spawn, time};

use context_support::{drop_after, ms, settle, simulate};

type Error = Box<dyn std::error::Error>;

struct Pool {
    places: Rc<Semaphore>,
    idle: RefCell<Vec<Connection>>,
    opened: Cell<u32>,
}

struct Connection {
    is_dirty: bool,
}

struct Acquired {
    connection: Connection,
    pool: Rc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    fn new(size: usize) -> Rc<Self> {
        Rc::new(Self {
            places: Rc::new(Semaphore::new(size)),
            idle: RefCell::default(),
            opened: Cell::new(0),
        })
    }

    async fn acquire(self: &Rc<Self>) -> Result<Acquired, AcquireError> {
        let place = self.places.acquire_owned(1).await?;
        let idle = self.idle.borrow_mut().pop();
        let connection = idle.unwrap_or_else(|| {
            self.opened.set(self.opened.get() + 1);
            Connection { is_dirty: false }
        });
        assert!(
            !connection.is_dirty,
            "nobody gets what another one left behind"
        );
        Ok(Acquired {
            connection,
            pool: Rc::clone(self),
            _place: place,
        })
    }

    /// Places that are free, connections that lie ready, connections ever opened.
    fn counts(&self) -> (usize, usize, u32) {
        let free = self.places.available_permits();
        (free, self.idle.borrow().len(), self.opened.get())
    }
}

impl Connection {
    async fn query(&mut self) -> Result<(), Cancelled> {
        self.is_dirty = true;
        time::sleep(ms(10)).await
    }

    async fn reset(&mut self) -> Result<(), Cancelled> {
        time::sleep(ms(1)).await?;
        self.is_dirty = false;
        Ok(())
    }
}

impl ContextManager for Acquired {
    type Error = Cancelled;
    type IfDropped = HandOver;

    async fn exit(mut self, _: Ending<'_>) -> Result<(), Cancelled> {
        self.connection.reset().await?;
        self.pool.idle.borrow_mut().push(self.connection);
        Ok(())
    }
}

async fn query(pool: &Rc<Pool>) -> Result<(), Error> {
    with(pool.acquire(), async |acquired| {
        Ok::<_, Error>(acquired.connection.query().await?)
    })
    .await
}

#[test]
fn a_guard_closes_and_a_block_gives_back() {
    simulate(async || {
        let pool = Pool::new(1);
        let mut guard = pool.acquire().await.unwrap();
        guard.connection.query().await.unwrap();
        assert_eq!(pool.counts(), (0, 0, 1));
        drop(guard);
        assert_eq!(pool.counts(), (1, 0, 1));

        query(&pool).await.unwrap();
        assert_eq!(pool.counts(), (1, 1, 2));
        query(&pool).await.unwrap();
        assert_eq!(pool.counts(), (1, 1, 2));
    });
}

#[test]
fn a_cancelled_query_gives_a_clean_connection_to_the_next() {
    simulate(async || {
        let pool = Pool::new(1);
        let (scope, waiting) = (CancelScope::new(), Rc::clone(&pool));
        let next = spawn(async move || query(&waiting).await.is_ok());
        let outcome = scope.run(async || {
            with(pool.acquire(), async |acquired| {
                scope.cancel("stop");
                Ok::<_, Error>(acquired.connection.query().await?)
            })
            .await
        });
        assert!(outcome.await.is_cancelled());
        assert!(next.await.unwrap());
        assert_eq!(pool.counts(), (1, 1, 1));
    });
}

/// Dropped at each of its waits: the place is never lost, and what was entered always goes back.
#[test]
fn a_dropped_query_leaves_the_pool_as_it_was() {
    for polls in 0.. {
        let ended = simulate(async || {
            let pool = Pool::new(1);
            let ended = drop_after(polls, query(&pool)).await.is_some();
            settle().await;
            let connections = u32::from(polls > 0);
            assert_eq!(pool.counts(), (1, connections as usize, connections));
            assert_eq!(stats().orphans, 0);
            ended
        });
        if ended {
            assert_eq!(polls, 3, "it waits for the answer and for the reset");
            return;
        }
    }
}

#[test]
fn a_stack_holds_as_many_as_there_are() {
    simulate(async || {
        let pool = Pool::new(3);
        with(ExitStack::<Cancelled>::new(), async |stack| {
            let mut keys = Vec::new();
            while pool.places.available_permits() > 0 {
                keys.push(stack.enter(pool.acquire()).await?);
            }
            for key in &keys {
                stack[key].connection.query().await?;
            }
            assert_eq!(pool.counts(), (0, 0, 3));
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
        assert_eq!(pool.counts(), (3, 3, 3));
    });
}
