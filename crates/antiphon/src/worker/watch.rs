//! The watch that a loop keeps for SIGINT and SIGTERM.
//!
//! The signal's handler leaves word in the loop's [`Ear`], and rings its bell. The loop asks once a turn whether there is word,
//! which is one load; and before it sleeps it sees to it that the bell ends the sleep.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::sys::signals::{Ear, Kind, Watching};
use crate::sys::{Interest, Op, Operation, Socket, Taken};

pub(crate) struct Watch {
    ear: Ear,
    /// A descriptor of the ear's bell.
    bell: Rc<Socket>,
    /// Set while a run is under way in which there is something to watch for.
    is_on: Cell<bool>,
    /// The wait for the bell, from the first sleep of a run on.
    wait: RefCell<Option<Operation>>,
    /// Set when the run was cancelled because of the signal.
    is_heard: Cell<bool>,
    /// By when the main task is to have ended then; `None` if it has for ever.
    until: Cell<Option<Instant>>,
    /// For how long the main task may go on then.
    grace: Duration,
}

impl Watch {
    pub(crate) fn new(grace: Duration) -> io::Result<Self> {
        let ear = Ear::take()?;
        let bell = Rc::new(Socket::new(ear.bell()?));
        Ok(Self {
            ear,
            bell,
            is_on: Cell::new(false),
            wait: RefCell::new(None),
            is_heard: Cell::new(false),
            until: Cell::new(None),
            grace,
        })
    }

    /// Keeps watch, until what it returns is dropped.
    pub(super) fn begin(&self) -> Option<Watching> {
        self.is_heard.set(false);
        self.until.set(None);
        let watching = self.ear.watch();
        self.is_on.set(watching.is_some());
        watching
    }

    /// Returns the signal that there was.
    #[inline]
    pub(super) fn told(&self) -> Option<Kind> {
        self.ear.told()
    }

    /// Has the bell end the sleep that is to come. Returns `false` if there is word that nobody has heard: then the loop is not
    /// to sleep.
    pub(super) fn arm(&self) -> bool {
        if !self.is_on.get() {
            return true;
        }
        let mut wait = self.wait.borrow_mut();
        let is_armed = match wait.as_mut().map(Operation::take) {
            Some(Taken::NotYet) => true,
            // It does not get better by trying on. The signal is heard at the next turn.
            Some(Taken::Completion(Err(_), _)) => {
                self.is_on.set(false);
                true
            }
            Some(_) => {
                self.ear.hush();
                false
            }
            None => false,
        };
        if !is_armed {
            let op = Op::Poll {
                socket: Rc::clone(&self.bell),
                interest: Interest::Read,
            };
            *wait = Some(Operation::start(op, "signal", Location::caller()));
        }
        // Asked when the bell is armed and empty, so that nothing is missed.
        self.unheard().is_none()
    }

    /// Sleeps through the bell from now on: there is no main task any more that could be told.
    pub(super) fn disarm(&self) {
        self.is_on.set(false);
        let wait = self.wait.take();
        drop(wait);
    }

    /// Notes that the run was cancelled at this moment. Returns `false` if it was before.
    pub(super) fn set_heard(&self, now: Instant) -> bool {
        if self.is_heard.replace(true) {
            return false;
        }
        self.until.set(now.checked_add(self.grace));
        true
    }

    /// Returns the signal, if there was one and the run was not cancelled because of it.
    pub(super) fn unheard(&self) -> Option<Kind> {
        self.told().filter(|_| !self.is_heard.get())
    }

    /// By when the main task is to have ended, since the run was cancelled.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until.get()
    }

    pub(super) const fn grace(&self) -> Duration {
        self.grace
    }
}
