//! Who is told of a signal.
//!
//! An ear is either a listener's or a loop's, and neither is ever freed: the handler walks the list of them at any moment.
//! They are used again, so there are as many as there ever were at one time.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};

use super::kind::{Kind, bit};
use super::sigaction::{hold, hold_if_default, release};

/// The first of the list.
static EARS: Slot = Slot::new();

/// An ear that somebody has, or nobody.
struct Slot {
    is_taken: AtomicBool,
    /// The bits of the kinds that it listens for.
    kinds: AtomicU64,
    /// The bits of those that came and were not taken.
    came: AtomicU64,
    /// Of a loop: [`OFF`], [`WATCHES`], or the number of the signal that it was told of.
    watch: AtomicI32,
    /// Both ends of what wakes the loop, non-blocking. A byte is in it, or on its way, if `came` or `watch` has something new.
    bell: OnceLock<[UnixStream; 2]>,
    next: OnceLock<Box<Slot>>,
}

const OFF: i32 = 0;
const WATCHES: i32 = -1;

/// An ear.
#[derive(Debug)]
pub(crate) struct Ear {
    slot: &'static Slot,
    bell: &'static [UnixStream; 2],
    /// Those that are held.
    kinds: Vec<Kind>,
}

impl Ear {
    /// Returns one that nobody has. It listens for nothing.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub(crate) fn take() -> io::Result<Self> {
        let mut slot = &EARS;
        while slot.is_taken.swap(true, Ordering::AcqRel) {
            slot = slot.next.get_or_init(|| Box::new(Slot::new()));
        }
        let bell = match slot.bell.get() {
            Some(bell) => bell,
            None => match bell() {
                Ok(bell) => slot.bell.get_or_init(|| bell),
                Err(error) => {
                    slot.is_taken.store(false, Ordering::Release);
                    return Err(error);
                }
            },
        };
        let ear = Self {
            slot,
            bell,
            kinds: Vec::new(),
        };
        ear.hush();
        Ok(ear)
    }

    /// Listens for `kind`.
    ///
    /// # Errors
    /// If nobody may, or there is no such signal.
    pub(crate) fn listen(&mut self, kind: Kind) -> io::Result<()> {
        let bit = kind.bit()?;
        // First the ear, then the handler, so that nothing falls through.
        if self.slot.kinds.fetch_or(bit, Ordering::SeqCst) & bit != 0 {
            return Ok(());
        }
        if let Err(error) = hold(kind) {
            self.slot.kinds.fetch_and(!bit, Ordering::SeqCst);
            return Err(error);
        }
        self.kinds.push(kind);
        Ok(())
    }

    /// Takes what came: of several kinds, the one with the lowest number.
    pub(crate) fn heard(&self) -> Option<Kind> {
        let came = self.slot.came.load(Ordering::SeqCst) & self.slot.kinds.load(Ordering::SeqCst);
        let kind = Kind::lowest(came)?;
        self.slot
            .came
            .fetch_and(!(came & came.wrapping_neg()), Ordering::SeqCst);
        Some(kind)
    }

    /// Returns a descriptor that can be read when something is to be heard.
    ///
    /// # Errors
    /// If there are no descriptors left.
    pub(crate) fn bell(&self) -> io::Result<OwnedFd> {
        self.bell[0].try_clone().map(OwnedFd::from)
    }

    /// Empties the bell. To be called before one looks what there is to be heard.
    pub(crate) fn hush(&self) {
        let mut bytes = [0; 64];
        let mut bell = &self.bell[0];
        while bell
            .read(&mut bytes)
            .is_ok_and(|count| count == bytes.len())
        {}
    }

    /// Watches for SIGINT and SIGTERM, those of them that have their default action. `None` if neither has.
    pub(crate) fn watch(&self) -> Option<Watching> {
        self.hush();
        self.slot.watch.store(WATCHES, Ordering::SeqCst);
        let kinds = [Kind::INTERRUPT, Kind::TERMINATE]
            .map(|kind| Some(kind).filter(|kind| hold_if_default(*kind).unwrap_or(false)));
        let slot = self.slot;
        // Dropped, it turns itself off.
        Some(Watching { slot, kinds }).filter(|_| kinds != [None; 2])
    }

    /// Returns the signal that it was told of since it watches.
    #[inline]
    pub(crate) fn told(&self) -> Option<Kind> {
        let told = self.slot.watch.load(Ordering::Relaxed);
        (told > OFF).then_some(Kind::from_raw(told))
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        for kind in self.kinds.drain(..) {
            release(kind);
        }
        self.slot.kinds.store(0, Ordering::SeqCst);
        self.slot.came.store(0, Ordering::SeqCst);
        self.slot.is_taken.store(false, Ordering::Release);
    }
}

/// An ear that watches, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watching {
    slot: &'static Slot,
    kinds: [Option<Kind>; 2],
}

impl Drop for Watching {
    fn drop(&mut self) {
        // First the handler, then the ear.
        for kind in self.kinds.into_iter().flatten() {
            release(kind);
        }
        self.slot.watch.store(OFF, Ordering::SeqCst);
    }
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    BySomebody,
    ByNobody,
    /// It is the second that those who watch were told of: the process is to die.
    Again,
}

/// Tells those who are to be told. `is_ours` says that nobody else has installed a handler since.
///
/// It is called by the handler.
pub(super) fn hear(signal: i32, is_ours: bool) -> Heard {
    let Some(bit) = bit(signal) else {
        return Heard::ByNobody;
    };
    let mut heard = Heard::ByNobody;
    for slot in slots() {
        if slot.listens_and_is_told(bit) {
            heard = Heard::BySomebody;
        }
    }
    // Whoever has installed a handler of their own has taken the signal over.
    if heard == Heard::BySomebody || !is_ours {
        return heard;
    }
    for slot in slots() {
        match slot.watches_and_is_told(signal) {
            WATCHES if heard == Heard::ByNobody => heard = Heard::BySomebody,
            OFF | WATCHES => {}
            _ => heard = Heard::Again,
        }
    }
    heard
}

fn slots() -> impl Iterator<Item = &'static Slot> {
    std::iter::successors(Some(&EARS), |slot| slot.next.get().map(|next| &**next))
}

impl Slot {
    const fn new() -> Self {
        Self {
            is_taken: AtomicBool::new(false),
            kinds: AtomicU64::new(0),
            came: AtomicU64::new(0),
            watch: AtomicI32::new(OFF),
            bell: OnceLock::new(),
            next: OnceLock::new(),
        }
    }

    fn listens_and_is_told(&self, bit: u64) -> bool {
        let listens = self.kinds.load(Ordering::SeqCst) & bit != 0;
        if listens && self.came.fetch_or(bit, Ordering::SeqCst) == 0 {
            self.ring();
        }
        listens
    }

    /// Returns what it was before: off, watching, or told.
    fn watches_and_is_told(&self, signal: i32) -> i32 {
        let told = self
            .watch
            .compare_exchange(WATCHES, signal, Ordering::SeqCst, Ordering::SeqCst);
        if told.is_ok() {
            self.ring();
        }
        told.unwrap_or_else(|before| before)
    }

    fn ring(&self) {
        if let Some([_, bell]) = self.bell.get() {
            // If it is full, it rings.
            let _ = (&mut &*bell).write(&[1]);
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("kinds", &self.kinds)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}

fn bell() -> io::Result<[UnixStream; 2]> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    writer.set_nonblocking(true)?;
    Ok([reader, writer])
}
