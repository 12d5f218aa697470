//! Which traits leak through a coroutine, and which it does not have: asked of real objects, both ways.
#![cfg(feature = "alloc")]

use std::cell::Cell;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::rc::Rc;

use antiphon_coroutine::{
    BoxCoroutine, Co, Coroutine, CoroutineState, IgnoredClose, Interrupt, SendBoxCoroutine,
    Snapshot, State, Yield, coroutine, generator,
};

/// Says whether the type of a value has a trait: an inherent function with the bound wins over the trait's if the bound
/// holds. (Both arms are code that compiles, so that "does not have" is checked too.)
macro_rules! has {
    ($bound:path, $value:expr) => {{
        struct Probe<T>(PhantomData<T>);
        #[allow(dead_code, reason = "unused where the trait is there")]
        trait Fallback: Sized {
            fn answer(&self) -> bool {
                false
            }
        }
        impl<T> Fallback for Probe<T> {}
        #[allow(dead_code, reason = "unused where the trait is missing")]
        impl<T: $bound> Probe<T> {
            fn answer(&self) -> bool {
                true
            }
        }
        fn probe<T>(_: &T) -> Probe<T> {
            Probe(PhantomData)
        }
        probe(&$value).answer()
    }};
}

/// `Send`, not `Sync`.
type OnlySend = Cell<u8>;
/// Neither.
type Neither = Rc<u8>;

#[test]
fn the_probe_tells_both_ways() {
    assert!(has!(Send, 1u8));
    assert!(!has!(Send, Rc::new(1u8)));
    assert!(has!(Sync, 1u8));
    assert!(!has!(Sync, Cell::new(1u8)));
}

#[test]
fn a_coroutine_is_send_if_all_that_it_holds_and_moves_is() {
    async fn body<Y: Default, S, E>(co: &mut Co<'_, Y, S, E>, _: S) {
        let _ = co.yield_(Y::default()).await;
    }
    assert!(has!(Send, coroutine(body::<u8, u8, u8>)));
    assert!(has!(Send, coroutine(body::<OnlySend, OnlySend, OnlySend>)));
    assert!(!has!(Send, coroutine(body::<Neither, u8, u8>)));
    assert!(!has!(Send, coroutine(body::<u8, Neither, u8>)));
    assert!(!has!(Send, coroutine(body::<u8, u8, Neither>)));
}

// The objects asked below are made by functions: inside the function that contains a body, the compiler does not know
// yet what the body holds.

fn holds_across_a_yield() -> impl Sized {
    generator(async |co: &mut Co<'_, u8>| {
        let local = Rc::new(1u8);
        let _ = co.yield_(*local).await;
    })
}

fn holds_before_a_yield() -> impl Sized {
    generator(async |co: &mut Co<'_, u8>| {
        let value = {
            let local = Rc::new(1u8);
            *local
        };
        let _ = co.yield_(value).await;
    })
}

#[test]
fn what_a_body_holds_across_a_yield_counts() {
    assert!(!has!(Send, holds_across_a_yield()));
    assert!(has!(Send, holds_before_a_yield()));
}

fn captures<T: AsRef<[u8]>>(captured: T) -> impl Sized {
    generator(async move |co: &mut Co<'_, u8>| {
        for &byte in captured.as_ref() {
            let _ = co.yield_(byte).await;
        }
    })
}

fn returns<R: Default>() -> impl Sized {
    generator(async |co: &mut Co<'_, u8>| {
        let _ = co.yield_(1).await;
        R::default()
    })
}

#[test]
fn what_a_body_captures_and_returns_counts() {
    assert!(has!(Send, captures(vec![1u8])));
    assert!(!has!(Send, captures(Rc::from(vec![1u8]))));
    assert!(has!(Send, returns::<OnlySend>()));
    assert!(!has!(Send, returns::<Neither>()));
}

fn delegates<T: AsRef<[u8]>>(captured: T) -> impl Sized {
    async fn helper(co: &mut Co<'_, u8, u8>, x: u8) -> Result<u8, Interrupt> {
        co.yield_(x).await
    }
    coroutine(
        async move |co: &mut Co<'_, u8, u8>, x: u8| -> Result<u8, Interrupt> {
            let inner =
                async |co: &mut Co<'_, u8, u8>, x: u8| helper(co, x + captured.as_ref()[0]).await;
            let mut inner = Box::pin(coroutine(inner));
            let y = co.delegate(inner.as_mut(), x).await?;
            helper(co, y).await
        },
    )
}

#[test]
fn send_leaks_through_helpers_closures_and_delegation() {
    assert!(has!(Send, delegates(vec![1u8])));
    assert!(!has!(Send, delegates(Rc::from(vec![1u8]))));
}

#[test]
fn the_handle_and_its_yields_are_send_if_their_values_are_and_never_sync() {
    type Handle<Y, S, E> = PhantomData<Co<'static, Y, S, E>>;
    type Asked<Y, S, E> = PhantomData<Yield<'static, 'static, Y, S, E>>;

    assert!(has!(
        Send,
        Handle::<OnlySend, OnlySend, OnlySend>::default()
    ));
    assert!(!has!(Send, Handle::<Neither, u8, u8>::default()));
    assert!(!has!(Send, Handle::<u8, Neither, u8>::default()));
    assert!(!has!(Send, Handle::<u8, u8, Neither>::default()));
    assert!(!has!(Sync, Handle::<u8, u8, u8>::default()));

    assert!(has!(Send, Asked::<OnlySend, OnlySend, OnlySend>::default()));
    assert!(!has!(Send, Asked::<Neither, u8, u8>::default()));
    assert!(!has!(Send, Asked::<u8, Neither, u8>::default()));
    assert!(!has!(Send, Asked::<u8, u8, Neither>::default()));
    assert!(!has!(Sync, Asked::<u8, u8, u8>::default()));
}

#[test]
fn the_boxed_forms_say_which_they_are() {
    type Local = PhantomData<BoxCoroutine<'static, u8, u8, u8, u8>>;
    type Mobile = PhantomData<SendBoxCoroutine<'static, u8, u8, u8, u8>>;
    assert!(!has!(Send, Local::default()));
    assert!(has!(Send, Mobile::default()));
    assert!(!has!(Sync, Local::default()));
    assert!(!has!(Sync, Mobile::default()));
    assert!(has!(Unpin, Local::default()));
    assert!(has!(Unpin, Mobile::default()));
}

#[test]
fn what_a_coroutine_answers_is_plain_data() {
    assert!(has!(Copy, CoroutineState::<u8, u8>::Yielded(1)));
    assert!(has!(Copy, Interrupt::<u8>::Closed));
    assert!(has!(Copy, IgnoredClose(1u8)));
    assert!(has!(Copy, State::Created));
    assert!(has!(Send, PhantomData::<Snapshot>));
    assert!(has!(Sync, PhantomData::<Snapshot>));
}

fn sent_to() -> Coroutine<impl Future<Output = Result<u8, Interrupt>>, u8, u8> {
    coroutine(async |co: &mut Co<'_, u8, u8>, x: u8| co.yield_(x).await)
}

fn iterated() -> Coroutine<impl Future<Output = Result<(), Interrupt>>, u8> {
    generator(async |co: &mut Co<'_, u8>| co.yield_(1).await)
}

/// C16 and C17 of `docs/python-semantics.md`. `test_coroutines.py` `test_func_4`, `test_copy`, `test_pickle`.
#[test]
fn nothing_is_sync_cloned_or_iterated_by_accident() {
    assert!(!has!(Sync, sent_to()));
    assert!(!has!(Clone, sent_to()));
    assert!(!has!(Unpin, sent_to()));
    assert!(has!(Unpin, Box::pin(sent_to())));

    // Only a pinned one that is sent nothing is an iterator, and a boxed one of the kind.
    assert!(!has!(Iterator, pin!(sent_to())));
    assert!(!has!(Iterator, sent_to().boxed()));
    assert!(!has!(Iterator, iterated()));
    assert!(has!(Iterator, pin!(iterated())));
    assert!(has!(Iterator, iterated().boxed()));
}
