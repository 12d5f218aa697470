//! Listening for signals.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;

use super::Kind;
use crate::io::Leaf;
use crate::sys::signals::Ear;
use crate::sys::{Interest, Op, Operation, Socket, Taken};
use crate::worker::{Worker, try_current};

/// Listens for signals of one kind, from now on.
///
/// It need not be called in a loop: what comes before the first [`recv`](Signals::recv) waits for it.
///
/// # Errors
/// - [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no such signal, or nobody may listen for it.
/// - [`Unsupported`](io::ErrorKind::Unsupported) in a loop in virtual time.
/// - If there are no descriptors left: a listener needs one, and up to two more that the next one finds again.
///
/// # Examples
/// ```
/// use antiphon::signal::{Kind, signal};
///
/// assert!(signal(Kind::USER1).is_ok());
/// assert!(signal(Kind::from_raw(9)).is_err(), "nobody hears of SIGKILL");
/// ```
pub fn signal(kind: Kind) -> io::Result<Signals> {
    signals([kind])
}

/// Listens for signals of several kinds, from now on.
///
/// # Errors
/// Those of [`signal`]; then it listens for none.
///
/// # Examples
/// ```
/// use antiphon::signal::{Kind, signals};
/// # use rustix::process::{Signal, getpid, kill_process};
///
/// antiphon::run(async || {
///     let signals = signals([Kind::USER1, Kind::USER2])?;
/// #   kill_process(getpid(), Signal::USR2)?;
///     // … kill -USR2
///     match signals.recv().await? {
///         Kind::USER1 => println!("more to tell"),
///         _ => println!("less to tell"),
///     }
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn signals(kinds: impl IntoIterator<Item = Kind>) -> io::Result<Signals> {
    if try_current(Worker::is_in_virtual_time) == Some(true) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "there are no signals in virtual time",
        ));
    }
    let mut ear = Ear::take()?;
    let socket = Rc::new(Socket::new(ear.bell()?));
    for kind in kinds {
        ear.listen(kind)?;
    }
    Ok(Signals {
        wait: RefCell::new(None),
        socket,
        ear,
    })
}

/// Waits for Ctrl-C: SIGINT. It listens from the moment at which it is first polled until it has ended.
///
/// Meanwhile SIGINT cancels nothing. The one after it does again what it did before, which is mostly to cancel the main task:
/// so whoever waits for one, and then cleans up too slowly, is interrupted by the next.
///
/// # Errors
/// Those of [`signal`] and [`Signals::recv`].
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Cancellation
/// **Did not happen.** One that comes later does what it did before. One that is there when the cancelled call is polled is
/// returned, and the next wait is the one that ends.
///
/// # Examples
/// ```
/// use antiphon::signal;
/// # use rustix::process::{Signal, getpid, kill_process};
///
/// antiphon::run(async || {
///     # drop(antiphon::spawn(async || kill_process(getpid(), Signal::INT)));
///     signal::ctrl_c().await?;
///     println!("good bye");
///     Ok::<(), std::io::Error>(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> {
    let at = Location::caller();
    async move {
        let mut leaf = Leaf::at(at);
        poll_fn(|cx| leaf.begin(cx)).await?;
        let signals = signal(Kind::INTERRUPT)?;
        poll_fn(|cx| signals.poll_recv(cx, &mut leaf)).await?;
        Ok(())
    }
}

/// Signals as they come.
///
/// Made by [`signal`] and [`signals`]. It listens until it is dropped; what came and was not received goes with it. What becomes
/// of a signal then is told in the [module's documentation](super).
pub struct Signals {
    /// The wait for the bell, if one is under way. It goes on from call to call.
    wait: RefCell<Option<Operation>>,
    /// A descriptor of the ear's bell.
    socket: Rc<Socket>,
    ear: Ear,
}

impl Signals {
    /// Waits for the next signal. Returns its kind; of several that are there, the one with the lowest number.
    ///
    /// Several of one kind that came since the last call are one: the system does not count them either. Several tasks may
    /// wait; a signal goes to one of them.
    ///
    /// # Errors
    /// What the system says if it can't wait, for want of memory. A cancel, of which
    /// [`is_cancelled`](crate::is_cancelled) is true.
    ///
    /// # Panics
    /// If no loop is running on this thread.
    ///
    /// # Cancellation
    /// **Did not happen.** A signal that comes later waits for the next call. One that is there when the cancelled call is
    /// polled is returned, and the next wait is the one that ends.
    #[track_caller]
    pub fn recv(&self) -> impl Future<Output = io::Result<Kind>> {
        let mut leaf = Leaf::here();
        poll_fn(move |cx| self.poll_recv(cx, &mut leaf))
    }

    /// Returns a signal that came, if there is one.
    pub fn try_recv(&self) -> Option<Kind> {
        self.ear.heard()
    }

    fn poll_recv(&self, cx: &mut Context<'_>, leaf: &mut Leaf) -> Poll<io::Result<Kind>> {
        ready!(leaf.begin(cx))?;
        loop {
            if let Some(kind) = self.ear.heard() {
                leaf.leave();
                return Poll::Ready(Ok(kind));
            }
            match self.take() {
                Some(Taken::Completion(Err(error), _))
                    if error.raw_os_error() != Some(Errno::CANCELED.raw_os_error()) =>
                {
                    leaf.leave();
                    return Poll::Ready(Err(error));
                }
                // It rang. What is there is looked for after the bell was emptied, so that nothing is missed.
                Some(Taken::Completion(..)) => self.ear.hush(),
                Some(Taken::Gone) => {}
                Some(Taken::NotYet) => {
                    // Runs foreign code, so not under the borrow; that code may have taken the operation away.
                    leaf.wait(cx, "signal")?;
                    if let Some(wait) = &*self.wait.borrow() {
                        leaf.watch(wait);
                        return Poll::Pending;
                    }
                }
                None => {
                    let op = Op::Poll {
                        socket: Rc::clone(&self.socket),
                        interest: Interest::Read,
                    };
                    let wait = Operation::start(op, "signal", leaf.location());
                    *self.wait.borrow_mut() = Some(wait);
                }
            }
        }
    }

    /// Takes what there is of the wait under way; `None` if there is none. One that is over is taken away.
    fn take(&self) -> Option<Taken> {
        let mut wait = self.wait.borrow_mut();
        let taken = wait.as_mut()?.take();
        if let Taken::Gone | Taken::Completion(_, Some(_)) = taken {
            *wait = None;
        }
        Some(taken)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("ear", &self.ear)
            .finish_non_exhaustive()
    }
}
