//! Memory that receives share: a ring of buffers, of which the kernel takes one when bytes have arrived.
//!
//! ```text
//!            put                 a receive                completion
//!   ours ───────────▶ the ring ─────────────▶ the kernel ────────────▶ ours, as a Chunk ──▶ dropped: put
//! ```
//! So a connection that waits owns no memory. A buffer is small: it is for short messages, and a stream that fills one is
//! received by hand from then on.
//!
//! # Invariants
//! - **One owner.** A buffer is the kernel's from when it is put into the ring until a completion names it, and its chunk's
//!   from then on until that is dropped. Whoever has it is alone with it.
//! - **Stays.** The ring and the buffers lie in blocks of their own, which are freed with the last share of the pool: the
//!   driver's, or a chunk's. The driver's share goes after the kernel has let go of the ring, or never.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

/// How many buffers there are: a power of two. Few in our own tests, so that they run out.
const BUFFERS: u16 = if cfg!(test) { 8 } else { 512 };

/// How many bytes a buffer has.
pub(super) const BUFFER_LEN: usize = 8192;

/// The number under which the kernel knows the ring.
pub(super) const GROUP: u16 = 0;

/// With fewer buffers left, bytes are copied out at once: streams that nobody reads must not keep all others from theirs.
const FREE_MIN: u16 = BUFFERS / 4;

/// The ring begins at a page.
const PAGE: usize = 4096;

pub(super) struct Pool {
    ring: NonNull<BufRingEntry>,
    buffers: NonNull<u8>,
    /// Where the next buffer is put. Counts on for ever; its lower bits are the place.
    tail: Cell<u16>,
    /// Buffers that the kernel has, or may take.
    free: Cell<u16>,
}

/// Bytes of a stream, in memory that the kernel has written.
pub(crate) struct Chunk(Memory);

enum Memory {
    Lent {
        pool: Rc<Pool>,
        number: u16,
        len: usize,
    },
    Copied(Box<[u8]>),
}

impl Pool {
    /// Makes a pool that the kernel receives into.
    ///
    /// # Errors
    /// What the kernel says. Before Linux 5.19 it has no such rings.
    pub(super) fn new(submitter: &Submitter<'_>) -> io::Result<Rc<Self>> {
        let pool = Self {
            ring: zeroed(RING).cast(),
            buffers: zeroed(MEMORY),
            tail: Cell::new(0),
            free: Cell::new(0),
        };
        let address = pool.ring.as_ptr().expose_provenance() as u64;
        // SAFETY: the ring is a block of its own with room for so many entries, and stays as long as the kernel uses it
        // ("stays").
        unsafe { submitter.register_buf_ring_with_flags(address, BUFFERS, GROUP, 0) }?;
        for number in 0..BUFFERS {
            pool.put(number);
        }
        Ok(Rc::new(pool))
    }

    /// Takes the first `len` bytes of a buffer in, which a completion has named.
    ///
    /// # Safety
    /// The kernel has named the buffer `number` of this pool in a completion, which is taken in once, and has written `len`
    /// bytes to it.
    pub(super) unsafe fn take(self: &Rc<Self>, number: u16, len: usize) -> Chunk {
        self.free.set(self.free.get() - 1);
        let lent = Memory::Lent {
            pool: Rc::clone(self),
            number,
            len,
        };
        let chunk = Chunk(lent);
        if self.free.get() >= FREE_MIN {
            return chunk;
        }
        Chunk(Memory::Copied(chunk.as_ref().into()))
    }

    /// Gives the kernel a buffer that nobody else has.
    fn put(&self, number: u16) {
        let tail = self.tail.get();
        let place = usize::from(tail % BUFFERS);
        let buffer = self.buffer(number).as_ptr().expose_provenance() as u64;
        // SAFETY: the place is one of the ring's.
        let entry = unsafe { self.ring.add(place) };
        // SAFETY: it is an entry, all of whose values are integers, and the kernel does not read it before the tail has
        // passed it. The first entry's last field is the tail, which is not touched by this.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(buffer);
        entry.set_len(u32::try_from(BUFFER_LEN).expect("a buffer is small"));
        entry.set_bid(number);
        self.tail.set(tail.wrapping_add(1));
        self.free.set(self.free.get() + 1);
        // SAFETY: the ring is valid, and begins with an entry.
        let shared = unsafe { BufRingEntry::tail(self.ring.as_ptr()) };
        // SAFETY: the tail is a part of the ring that only this writes and the kernel reads, aligned as a `u16` is.
        let shared = unsafe { AtomicU16::from_ptr(shared.cast_mut()) };
        shared.store(self.tail.get(), Ordering::Release);
    }

    fn buffer(&self, number: u16) -> NonNull<u8> {
        assert!(number < BUFFERS, "a buffer has a number of its pool");
        // SAFETY: the number is below that of the buffers that the block has.
        unsafe { self.buffers.add(usize::from(number) * BUFFER_LEN) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and nobody has a share any more ("stays").
        unsafe { dealloc(self.ring.as_ptr().cast(), RING) };
        // SAFETY: as above.
        unsafe { dealloc(self.buffers.as_ptr(), MEMORY) };
    }
}

impl Chunk {
    /// Returns `true` if there was no room for more.
    pub(crate) fn is_full(&self) -> bool {
        self.as_ref().len() == BUFFER_LEN
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        match &self.0 {
            Memory::Copied(bytes) => bytes,
            // SAFETY: the kernel has written so many bytes there, and the buffer is the chunk's ("one owner").
            Memory::Lent { pool, number, len } => unsafe {
                std::slice::from_raw_parts(pool.buffer(*number).as_ptr(), *len)
            },
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Memory::Lent { pool, number, .. } = &self.0 {
            pool.put(*number);
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("len", &self.as_ref().len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("free", &self.free)
            .finish_non_exhaustive()
    }
}

const RING: Layout = layout(BUFFERS as usize * size_of::<BufRingEntry>());
const MEMORY: Layout = layout(BUFFERS as usize * BUFFER_LEN);

const fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, PAGE) {
        Ok(layout) => layout,
        Err(_) => panic!("the size is a multiple of the page"),
    }
}

fn zeroed(layout: Layout) -> NonNull<u8> {
    // SAFETY: neither layout is empty.
    let memory = unsafe { alloc_zeroed(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}
