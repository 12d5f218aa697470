//! What was entered exits once and in reverse, wherever its block is interrupted or dropped.

mod explore_support;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;

use antiphon::context::{
    ContextManager, Ending, ExitError, ExitStack, Grace, HandOver, With, entered, from_fn, with,
    with_both,
};
use antiphon::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use antiphon::time::sleep;
use antiphon::{Cancelled, droppable, group, yield_now};
use explore_support::{HOUR, SECOND, alone, attempt, body, meeting, play};
use futures_util::future::select;

/// Who is in, and who has been.
#[derive(Clone, Default)]
struct Books(Rc<RefCell<(Vec<&'static str>, usize)>>);

impl Books {
    fn enter(&self, name: &'static str) {
        let (inside, visits) = &mut *self.0.borrow_mut();
        inside.push(name);
        *visits += 1;
    }

    /// The one who exits is the one who entered last.
    fn exit(&self, name: &'static str) {
        assert_eq!(self.0.borrow_mut().0.pop(), Some(name));
    }

    /// Returns how many entered, who all have exited.
    fn close(&self) -> usize {
        let (inside, visits) = self.0.take();
        assert!(inside.is_empty(), "{inside:?} did not exit");
        visits
    }

    /// Waits before it is entered, and in its exit.
    fn visit(&self, name: &'static str) -> impl Future<Output = Result<Visit, Cancelled>> + use<> {
        let books = self.clone();
        async move {
            yield_now().await?;
            sleep(SECOND).await?;
            books.enter(name);
            Ok(Visit { books, name })
        }
    }

    /// As `visit`, but its exit fails after it has waited.
    fn fail(&self, name: &'static str) -> impl Future<Output = Result<Failing, Cancelled>> + use<> {
        let visit = self.visit(name);
        async move { Ok(Failing(visit.await?)) }
    }
}

struct Visit {
    books: Books,
    name: &'static str,
}

impl ContextManager for Visit {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(self, _: Ending<'_>) -> io::Result<()> {
        self.books.exit(self.name);
        sleep(SECOND).await?;
        Ok(yield_now().await?)
    }
}

struct Failing(Visit);

impl ContextManager for Failing {
    type Error = io::Error;
    type IfDropped = HandOver;

    async fn exit(self, ending: Ending<'_>) -> io::Result<()> {
        self.0.exit(ending).await?;
        Err(io::Error::other("full"))
    }
}

#[test]
fn blocks_in_blocks_exit_in_reverse() {
    alone("with", || async {
        let books = Books::default();
        let how = attempt(async || {
            with(books.visit("outer"), async |_| {
                with(books.visit("middle"), async |_| {
                    yield_now().await?;
                    let both = with_both(books.visit("inner"), async |_| {
                        sleep(SECOND).await?;
                        Ok::<_, io::Error>(3)
                    });
                    let both = both.await?;
                    assert!(both.exit.is_ok() || matches!(both.exit, Err(ExitError::Panicked(_))));
                    both.body
                })
                .await?;
                Ok::<(), io::Error>(yield_now().await?)
            })
            .await
        })
        .await;
        let visits = books.close();
        assert!(!how.is_done() || visits == 3);
    });
}

#[test]
fn an_exit_that_fails_does_not_keep_others_from_theirs() {
    alone("with, exit fails", || async {
        let books = Books::default();
        let full = |error: io::Error| {
            if error.to_string() == "full" {
                Ok(())
            } else {
                Err(error)
            }
        };
        attempt(async || {
            let result = with(books.visit("outer"), async |_| {
                with(books.fail("inner"), async |_| {
                    Ok::<(), io::Error>(yield_now().await?)
                })
                .await
            });
            result.await.or_else(full)?;
            let both = with_both(books.fail("both"), async |_| {
                yield_now().await?;
                Err::<(), _>(io::Error::other("no paper"))
            });
            let both = both.await?;
            assert!(both.exit.is_err());
            match both.body {
                Err(error) if error.to_string() == "no paper" => Ok(yield_now().await?),
                other => other,
            }
        })
        .await;
        books.close();
    });
}

#[test]
fn an_exit_has_its_grace_and_no_more() {
    alone("With::grace", || async {
        let books = Books::default();
        attempt(async || {
            let (at_enter, at_exit) = (books.clone(), books.clone());
            let slow = from_fn(
                async move || {
                    at_enter.enter("slow");
                    Ok::<_, Cancelled>(())
                },
                async move |(), _: Ending<'_>| {
                    at_exit.exit("slow");
                    sleep(HOUR).await
                },
            );
            let grace = Grace::default().cancel_after(SECOND);
            let both = With::new().grace(grace).run_both(slow, async |_| {
                yield_now().await?;
                Ok::<_, Cancelled>(())
            });
            let both = both.await?;
            assert!(both.exit.is_err(), "an hour is too long");
            both.body
        })
        .await;
        books.close();
    });
}

#[test]
fn a_stack_exits_all_that_it_has() {
    alone("ExitStack", || async {
        let books = Books::default();
        let kept = RefCell::new(None);
        attempt(async || {
            with(ExitStack::<io::Error>::new(), async |stack| {
                let first = stack.enter(books.visit("first")).await?;
                assert_eq!(stack[&first].name, "first");
                let callback = books.clone();
                callback.enter("callback");
                stack.push_callback(async move |_| {
                    callback.exit("callback");
                    Ok(yield_now().await?)
                });
                stack.push(books.visit("pushed").await?);
                stack.enter(books.fail("fails")).await?;
                yield_now().await?;
                assert_eq!(stack.len(), 4);
                kept.replace(Some(stack.pop_all()));
                assert!(stack.is_empty());
                stack.enter(books.visit("last")).await?;
                Ok::<(), io::Error>(())
            })
            .await?;
            let kept = kept.take().expect("it was kept");
            let errors = kept.close().await.unwrap_err();
            // In a run with a panic in an exit, that goes on instead.
            assert_eq!(errors.as_slice().len(), 1);
            Ok::<(), io::Error>(yield_now().await?)
        })
        .await;
        // If it did not come to its end: dropping it hands it over.
        drop(kept.take());
        sleep(HOUR).await.unwrap();
        books.close();
    });
}

#[test]
fn a_stack_that_is_dropped_is_handed_over() {
    alone("ExitStack, dropped", || async {
        let books = Books::default();
        attempt(async || {
            let mut stack = ExitStack::<io::Error>::new();
            stack.enter(books.visit("first")).await?;
            stack.enter(books.visit("second")).await?;
            let closing = stack.close();
            select(pin!(closing), pin!(sleep(SECOND / 2))).await;
            Ok::<(), io::Error>(yield_now().await?)
        })
        .await;
        sleep(HOUR).await.unwrap();
        books.close();
    });
}

#[test]
fn a_block_that_is_dropped_exits_all_the_same() {
    for half_seconds in [1, 3, 5, 7, 9] {
        alone("orphan", || async {
            let books = Books::default();
            attempt(async || {
                {
                    let block = with(books.visit("block"), async |_| {
                        Ok::<(), io::Error>(sleep(SECOND).await?)
                    });
                    select(pin!(block), pin!(sleep(half_seconds * SECOND / 2))).await;
                }
                // Its exit is shielded, and it is dropped in it.
                let other = droppable(with(books.visit("other"), async |_| {
                    Ok::<(), io::Error>(yield_now().await?)
                }));
                other.await?
            })
            .await;
            sleep(HOUR).await.unwrap();
            books.close();
        });
    }
}

#[test]
fn the_blocks_of_children_exit_with_their_group() {
    alone("with, in a group", || async {
        let books: Vec<_> = (0..3).map(|_| Books::default()).collect();
        attempt(async || {
            with(books[0].visit("outer"), async |_| {
                group(async |group| {
                    for books in &books[1..] {
                        group.spawn(async || {
                            with(books.visit("child"), async |_| {
                                Ok::<(), io::Error>(sleep(SECOND).await?)
                            })
                            .await
                        });
                    }
                    with(books[0].visit("body"), async |_| {
                        Ok::<(), io::Error>(yield_now().await?)
                    })
                    .await
                })
                .await
                .map_err(antiphon::GroupError::into_first)
            })
            .await
        })
        .await;
        for books in &books {
            books.close();
        }
    });
}

/// A connection, as it were: it has a place, and says farewell.
struct Connection {
    books: Books,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn open(places: &Rc<Semaphore>, books: &Books) -> Result<Self, AcquireError> {
        let place = places.acquire_owned(1).await?;
        yield_now().await?;
        books.enter("connection");
        Ok(Self {
            books: books.clone(),
            _place: place,
        })
    }
}

impl ContextManager for Connection {
    type Error = Cancelled;
    type IfDropped = HandOver;

    async fn exit(self, _: Ending<'_>) -> Result<(), Cancelled> {
        self.books.exit("connection");
        yield_now().await
    }
}

#[test]
fn places_in_a_pool_are_free_again() {
    meeting("pool", |shape| async move {
        let (places, books) = (Rc::new(Semaphore::new(1)), Books::default());
        let bodies = (0..3).map(|_| {
            let (places, books) = (Rc::clone(&places), books.clone());
            body(async move {
                with(Connection::open(&places, &books), async |_| {
                    sleep(SECOND).await?;
                    Ok::<(), Box<dyn std::error::Error>>(())
                })
                .await?;
                let connection = Connection::open(&places, &books).await?;
                let both = with_both(entered(connection), async |_| yield_now().await).await?;
                Ok(both.body?)
            })
        });
        play(shape, bodies).await;
        books.close();
        assert_eq!(places.available_permits(), 1);
    });
}
