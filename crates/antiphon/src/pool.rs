//! Memory for what comes and goes by the million: tasks, and what the two ends of a channel share.
//!
//! These are of few sizes. So they are cut from chunks, a cell that is freed is the next one used for its size, while it
//! still is in the cache, and nothing is stored beside a cell: its layout tells its class. The chunks go back to the system
//! when a loop ends and no cell of its thread is in use, or when the thread ends.
//!
//! A pool is its thread's, as all that lies in it is. Should a cell outlive it, in a destructor of another thread-local,
//! the chunks stay allocated for ever.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::{self, NonNull};

/// Cells are multiples of this, and aligned to it.
const GRANULE: usize = 16;
/// Larger cells, and those of a stricter alignment, are the system allocator's.
const SIZE_MAX: usize = 1024;
const CLASSES: usize = SIZE_MAX / GRANULE;
const CHUNK: Layout = match Layout::from_size_align(64 * 1024, GRANULE) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

struct Pool {
    /// A list of free cells for each class; each holds the pointer to the next one, or null.
    free: [Cell<*mut u8>; CLASSES],
    /// What is left of the last chunk.
    fresh: Cell<*mut u8>,
    fresh_len: Cell<usize>,
    /// Cells in use.
    live: Cell<usize>,
    chunks: RefCell<Vec<NonNull<u8>>>,
}

thread_local! {
    static POOL: Pool = const {
        Pool {
            free: [const { Cell::new(ptr::null_mut()) }; CLASSES],
            fresh: Cell::new(ptr::null_mut()),
            fresh_len: Cell::new(0),
            live: Cell::new(0),
            chunks: RefCell::new(Vec::new()),
        }
    };
}

/// The class of a layout, if its cells are cut from chunks.
#[inline]
const fn class(layout: Layout) -> Option<usize> {
    let is_ours = layout.align() <= GRANULE && layout.size() <= SIZE_MAX && layout.size() > 0;
    if is_ours {
        Some((layout.size() - 1) / GRANULE)
    } else {
        None
    }
}

/// Returns memory of this layout, whose size is not 0.
#[inline]
pub(crate) fn allocate(layout: Layout) -> NonNull<u8> {
    debug_assert!(layout.size() > 0);
    class(layout)
        .and_then(|class| POOL.try_with(|pool| pool.take(class)).ok())
        .unwrap_or_else(|| system(layout))
}

/// Frees what `allocate` returned.
///
/// # Safety
/// `cell` came from [`allocate`] for this layout, on this thread; it is not used after this call.
#[inline]
pub(crate) unsafe fn free(cell: NonNull<u8>, layout: Layout) {
    let Some(class) = class(layout) else {
        // SAFETY: as the caller says, it came from `system`, which is where `allocate` takes such layouts from.
        return unsafe { dealloc(cell.as_ptr(), layout) };
    };
    // SAFETY: it came from this thread's pool. If that is gone, its chunks are not, and the cell is left where it is.
    let _ = POOL.try_with(|pool| unsafe { pool.give(class, cell) });
}

/// Gives the chunks back to the system, if no cell is in use.
pub(crate) fn trim() {
    let _ = POOL.try_with(Pool::trim);
}

#[cold]
fn system(layout: Layout) -> NonNull<u8> {
    // SAFETY: the caller of `allocate` gives no layout of size 0.
    let cell = unsafe { alloc(layout) };
    NonNull::new(cell).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Pool {
    #[inline]
    fn take(&self, class: usize) -> NonNull<u8> {
        let Some(cell) = NonNull::new(self.free[class].get()) else {
            let cell = self.cut((class + 1) * GRANULE);
            self.live.set(self.live.get() + 1);
            return cell;
        };
        // SAFETY: a cell in a list is free, and holds a pointer that `give` wrote.
        let next = unsafe { cell.cast::<*mut u8>().read() };
        self.free[class].set(next);
        self.live.set(self.live.get() + 1);
        cell
    }

    /// # Safety
    /// `cell` came from `take` of this pool for this class; it is not used after this call.
    #[inline]
    unsafe fn give(&self, class: usize, cell: NonNull<u8>) {
        // SAFETY: the cell is ours again; it is aligned and large enough for a pointer.
        unsafe { cell.cast::<*mut u8>().write(self.free[class].get()) };
        self.free[class].set(cell.as_ptr());
        self.live.set(self.live.get() - 1);
    }

    #[cold]
    fn cut(&self, size: usize) -> NonNull<u8> {
        if self.fresh_len.get() < size {
            let chunk = system(CHUNK);
            self.chunks.borrow_mut().push(chunk);
            self.fresh.set(chunk.as_ptr());
            self.fresh_len.set(CHUNK.size());
        }
        let cell = self.fresh.get();
        // SAFETY: `fresh_len` bytes from there on are the chunk's, and nobody has them.
        self.fresh.set(unsafe { cell.add(size) });
        self.fresh_len.set(self.fresh_len.get() - size);
        NonNull::new(cell).expect("a chunk is not at null")
    }

    fn trim(&self) {
        if self.live.get() > 0 {
            return;
        }
        for list in &self.free {
            list.set(ptr::null_mut());
        }
        self.fresh.set(ptr::null_mut());
        self.fresh_len.set(0);
        for chunk in self.chunks.take() {
            // SAFETY: `cut` allocated it so; no cell of it is in use, in a list, or to be cut.
            unsafe { dealloc(chunk.as_ptr(), CHUNK) };
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.trim();
    }
}

/// An [`Rc`](std::rc::Rc) whose memory comes from the pool, without weak references.
pub(crate) struct Shared<T> {
    inner: NonNull<Inner<T>>,
    _owns: PhantomData<Inner<T>>,
}

struct Inner<T> {
    refs: Cell<usize>,
    value: T,
}

impl<T> Shared<T> {
    #[inline]
    pub(crate) fn new(value: T) -> Self {
        let refs = Cell::new(1);
        let inner = allocate(Layout::new::<Inner<T>>()).cast::<Inner<T>>();
        // SAFETY: the memory is new and of this layout.
        unsafe { inner.write(Inner { refs, value }) };
        Self {
            inner,
            _owns: PhantomData,
        }
    }

    #[inline]
    fn refs(&self) -> &Cell<usize> {
        // SAFETY: it lives as long as `self`, and no `&mut` to it is made while it does.
        unsafe { &(*self.inner.as_ptr()).refs }
    }
}

/// The value does not move with its owners.
impl<T> Unpin for Shared<T> {}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: as in `refs`.
        unsafe { &(*self.inner.as_ptr()).value }
    }
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Self {
        let refs = self.refs().get();
        // Clones that were forgotten are counted for ever.
        self.refs()
            .set(refs.checked_add(1).expect("fewer than 2^64 clones"));
        Self { ..*self }
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        struct Free<T>(NonNull<Inner<T>>);
        impl<T> Drop for Free<T> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: `new` allocated it with this layout, and the last reference to it is gone.
                unsafe { free(self.0.cast(), Layout::new::<Inner<T>>()) };
            }
        }

        let refs = self.refs().get() - 1;
        self.refs().set(refs);
        if refs > 0 {
            return;
        }
        // Freed even if the value's destructor unwinds.
        let _free = Free(self.inner);
        // SAFETY: the memory is still there.
        let value = unsafe { &raw mut (*self.inner.as_ptr()).value };
        // SAFETY: that was the last reference; the value is dropped once, here.
        unsafe { ptr::drop_in_place(value) };
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn the_last_one_freed_is_the_next_one_used() {
        let (one, two) = (allocate(layout(40, 8)), allocate(layout(48, 16)));
        assert_ne!(one, two);
        // SAFETY: it came from `allocate`, and is not used again.
        unsafe { free(one, layout(40, 8)) };
        assert_eq!(allocate(layout(33, 1)), one, "both are of the third class");
        for cell in [one, two] {
            // SAFETY: both came from `allocate`, for a layout of this class.
            unsafe { free(cell, layout(48, 16)) };
        }
        trim();
    }

    #[test]
    fn cells_are_aligned_and_do_not_overlap() {
        let layouts: Vec<_> = (1..2000)
            .step_by(if cfg!(miri) { 371 } else { 37 })
            .flat_map(|size| [1, 8, 16, 64].map(|align| layout(size, align)))
            .collect();
        let mut cells = Vec::new();
        let rounds: u8 = if cfg!(miri) { 1 } else { 20 };
        for round in 0..rounds {
            for layout in &layouts {
                let cell = allocate(*layout);
                assert_eq!(cell.as_ptr().addr() % layout.align(), 0);
                // SAFETY: the cell has that many bytes.
                unsafe { cell.as_ptr().write_bytes(round, layout.size()) };
                cells.push((cell, *layout, round));
            }
        }
        for (cell, layout, round) in cells {
            // SAFETY: the cell has that many bytes, and they were written.
            let bytes = unsafe { std::slice::from_raw_parts(cell.as_ptr(), layout.size()) };
            assert!(bytes.iter().all(|byte| *byte == round));
            // SAFETY: it came from `allocate`, and is not used again.
            unsafe { free(cell, layout) };
        }
        trim();
    }

    #[test]
    fn chunks_stay_while_a_cell_is_in_use() {
        let cell = allocate(layout(16, 16));
        trim();
        // SAFETY: the cell has a byte.
        unsafe { cell.as_ptr().write(7) };
        // SAFETY: it came from `allocate`, and is not used again.
        unsafe { free(cell, layout(16, 16)) };
        trim();
        POOL.with(|pool| assert!(pool.chunks.borrow().is_empty()));
    }

    #[test]
    fn what_is_shared_is_dropped_once_with_its_last_owner() {
        let witness = Rc::new(());
        let one = Shared::new((Rc::clone(&witness), [7_u64; 5]));
        let two = one.clone();
        drop(one);
        assert_eq!((Rc::strong_count(&witness), two.1), (2, [7; 5]));
        drop(two);
        assert_eq!(Rc::strong_count(&witness), 1);
    }

    #[test]
    fn what_is_shared_is_freed_if_its_destructor_panics() {
        struct Angry;
        impl Drop for Angry {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        let shared = Shared::new((Angry, [0_u64; 3]));
        let live = POOL.with(|pool| pool.live.get());
        assert!(catch_unwind(AssertUnwindSafe(|| drop(shared))).is_err());
        assert_eq!(POOL.with(|pool| pool.live.get()), live - 1);
    }
}
