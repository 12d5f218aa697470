//! What several test files share: a trace, a panic caught with its line, a strict executor, and futures that are
//! not ours.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::task::{Context, Poll, Wake, Waker};

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub(crate) fn note(&self, event: impl Display) {
        self.0.borrow_mut().push(event.to_string());
    }

    /// Returns a value that notes its own drop.
    pub(crate) fn guard(&self, name: &'static str) -> Guard {
        let trace = self.clone();
        Guard { name, trace }
    }

    /// Returns the events so far, and forgets them.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

pub(crate) struct Guard {
    pub(crate) name: &'static str,
    trace: Trace,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.trace.note(format_args!("drop {}", self.name));
    }
}

/// A panic that was caught: its message, and the line that it blames.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) message: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

thread_local! {
    /// The panics of this thread since `panic_of` began; `None` outside of it.
    static CAUGHT: RefCell<Option<Vec<Caught>>> = const { RefCell::new(None) };
}

/// Runs `f`, which must panic, and returns its first panic. Nothing is printed.
pub(crate) fn panic_of<R>(f: impl FnOnce() -> R) -> Caught {
    catch(f).err().expect("it was expected to panic")
}

/// Runs `f`, and returns its first panic if it does not return. Nothing is printed of a panic inside.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Caught> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let noted = CAUGHT.with_borrow_mut(|caught| {
                let expected = caught.as_mut()?;
                expected.push(Caught::of(info));
                Some(())
            });
            if noted.is_none() {
                usual(info);
            }
        }));
    });
    CAUGHT.set(Some(Vec::new()));
    let outcome = panic::catch_unwind(AssertUnwindSafe(f));
    let caught = CAUGHT.take().unwrap_or_default();
    outcome.map_err(|_| caught.into_iter().next().expect("the hook saw the panic"))
}

impl Caught {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        let payload = info.payload();
        let location = info.location().expect("a panic has a location");
        Self {
            message: match payload.downcast_ref::<String>() {
                Some(message) => message.clone(),
                None => payload.downcast_ref::<&str>().unwrap_or(&"").to_string(),
            },
            file: location.file().to_string(),
            line: location.line(),
        }
    }
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wakes {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (wakes.clone(), wakes.into())
    }

    /// Returns the wakes since the last call.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs `future` to its end, polling it only when it was woken: a wake that is missing is a panic, not a hang.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    let (count, waker) = Wakes::new();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll_with(future.as_mut(), &waker) {
            return output;
        }
        assert_ne!(count.take(), 0, "stalled: nobody woke the task");
    }
}

pub(crate) fn poll_with<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

/// Polls `future` once, as a body does that does not mean to wait for it.
pub(crate) async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Pending once, and woken at once.
pub(crate) async fn tick() {
    let mut ticked = false;
    poll_fn(|cx| {
        if ticked {
            return Poll::Ready(());
        }
        ticked = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Something to wait for that no coroutine knows of: `wait` is pending until `open`.
#[derive(Clone, Default)]
pub(crate) struct Gate(Rc<GateInner>);

#[derive(Default)]
struct GateInner {
    open: Cell<bool>,
    sleeper: Cell<Option<Waker>>,
}

impl Gate {
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            if self.0.open.get() {
                return Poll::Ready(());
            }
            self.0.sleeper.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn open(&self) {
        self.0.open.set(true);
        if let Some(sleeper) = self.0.sleeper.take() {
            sleeper.wake();
        }
    }
}
