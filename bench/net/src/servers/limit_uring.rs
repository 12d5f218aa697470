//! No runtime: one ring with multi-shot accept, multi-shot receives into provided buffers, and sends from where the bytes
//! arrived. One system call for as many messages as there are.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, SubmissionQueue, Submitter, cqueue, opcode, squeue};

use super::{ANY_PORT, announce, told};

pub(super) fn serve(buffer_bytes: usize) -> Result<Infallible, String> {
    run(buffer_bytes).map_err(told)
}

fn run(buffer_bytes: usize) -> io::Result<Infallible> {
    let listener = TcpListener::bind(ANY_PORT)?;
    // Again, with a longer queue than the library's.
    rustix::net::listen(&listener, 1024)?;
    // What it accepts inherits it.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    announce(listener.local_addr()?)?;

    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_submit_all()
        .setup_cqsize(4096)
        .build(1024)?;
    let (mut submitter, submissions, mut completions) = ring.split();
    submitter.register_ring_fd()?;
    let buffers = Buffers::register(&submitter, buffer_bytes)?;
    let mut server = Server {
        listener: Fd(listener.as_raw_fd()),
        buffers,
        connections: Vec::new(),
        starved: Vec::new(),
        submissions,
    };
    server.accept(&submitter)?;
    loop {
        server.submissions.sync();
        match submitter.submit_and_wait(1) {
            // A tracer has looked at us.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => drop(result?),
        }
        completions.sync();
        for completion in &mut completions {
            server.complete(&submitter, &completion)?;
        }
        server.buffers.publish();
        while let Some(fd) = server.starved.pop() {
            server.receive(&submitter, fd)?;
        }
    }
}

struct Server<'a> {
    listener: Fd,
    buffers: Buffers,
    /// By descriptor.
    connections: Vec<Connection>,
    /// Whose receive ended because there was no buffer.
    starved: Vec<i32>,
    submissions: SubmissionQueue<'a>,
}

#[derive(Default)]
struct Connection {
    /// What is being sent, and what is to be sent after it: buffer and bytes.
    unsent: VecDeque<(u16, u32)>,
    /// The peer will send no more; the socket is closed when `unsent` is empty.
    is_over: bool,
}

/// What a completion is of. The descriptor is in the lower half of its user data.
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;
const CLOSE: u64 = 3 << 32;

/// The group of our buffers.
const GROUP: u16 = 0;

impl Server<'_> {
    fn complete(&mut self, submitter: &Submitter<'_>, entry: &cqueue::Entry) -> io::Result<()> {
        let is_last = !cqueue::more(entry.flags());
        let result = entry.result();
        let kind = entry.user_data() & !u64::from(u32::MAX);
        let fd = i32::try_from(entry.user_data() & u64::from(u32::MAX)).expect("we made it so");
        match kind {
            ACCEPT => {
                if result >= 0 {
                    let index = usize::try_from(result).expect("it is a descriptor");
                    if self.connections.len() <= index {
                        self.connections.resize_with(index + 1, Connection::default);
                    }
                    self.receive(submitter, result)?;
                }
                if is_last {
                    self.accept(submitter)?;
                }
            }
            RECEIVE => {
                if let (Some(buffer), Ok(count)) =
                    (cqueue::buffer_select(entry.flags()), u32::try_from(result))
                {
                    let connection = self.connection(fd);
                    connection.unsent.push_back((buffer, count));
                    if connection.unsent.len() == 1 {
                        self.send(submitter, fd, buffer, count)?;
                    }
                }
                if result == -libc::ENOBUFS {
                    self.starved.push(fd);
                } else if result <= 0 {
                    self.connection(fd).is_over = true;
                    self.close_if_sent(submitter, fd)?;
                } else if is_last {
                    self.receive(submitter, fd)?;
                }
            }
            SEND => {
                let connection = self.connection(fd);
                let (buffer, count) = connection
                    .unsent
                    .pop_front()
                    .expect("it was sent from there");
                let next = connection.unsent.front().copied();
                self.buffers.give_back(buffer);
                if u32::try_from(result) != Ok(count) {
                    // The connection is broken. Its receive will say so too.
                    for (buffer, _) in std::mem::take(&mut self.connection(fd).unsent) {
                        self.buffers.give_back(buffer);
                    }
                } else if let Some((buffer, count)) = next {
                    self.send(submitter, fd, buffer, count)?;
                }
                self.close_if_sent(submitter, fd)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn connection(&mut self, fd: i32) -> &mut Connection {
        let index = usize::try_from(fd).expect("it is a descriptor");
        &mut self.connections[index]
    }

    fn accept(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(self.listener).build();
        self.push(submitter, &entry.user_data(ACCEPT))
    }

    fn receive(&mut self, submitter: &Submitter<'_>, fd: i32) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fd(fd), GROUP).build();
        self.push(submitter, &entry.user_data(RECEIVE | tag(fd)))
    }

    fn send(
        &mut self,
        submitter: &Submitter<'_>,
        fd: i32,
        buffer: u16,
        count: u32,
    ) -> io::Result<()> {
        let entry = opcode::Send::new(Fd(fd), self.buffers.start(buffer), count)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build();
        self.push(submitter, &entry.user_data(SEND | tag(fd)))
    }

    fn close_if_sent(&mut self, submitter: &Submitter<'_>, fd: i32) -> io::Result<()> {
        let connection = self.connection(fd);
        if !connection.is_over || !connection.unsent.is_empty() {
            return Ok(());
        }
        connection.is_over = false;
        let entry = opcode::Close::new(Fd(fd)).build();
        self.push(submitter, &entry.user_data(CLOSE | tag(fd)))
    }

    fn push(&mut self, submitter: &Submitter<'_>, entry: &squeue::Entry) -> io::Result<()> {
        if self.submissions.is_full() {
            self.submissions.sync();
            submitter.submit()?;
            self.submissions.sync();
        }
        // SAFETY: the memory that a send reads is one of `buffers`, which live as long as the process.
        let pushed = unsafe { self.submissions.push(entry) };
        pushed.map_err(io::Error::other)
    }
}

fn tag(fd: i32) -> u64 {
    u64::from(fd.cast_unsigned())
}

/// Buffers that the kernel takes receives from, and the ring through which it gets them.
///
/// Both are never freed: the server runs until the process ends.
struct Buffers {
    ring: *mut BufRingEntry,
    memory: *mut u8,
    buffer_bytes: usize,
    count: u16,
    /// The next entry of the ring. It wraps by itself.
    tail: u16,
}

impl Buffers {
    fn register(submitter: &Submitter<'_>, buffer_bytes: usize) -> io::Result<Self> {
        /// All of them together.
        const BYTES: usize = 4 << 20;
        let count = BYTES / buffer_bytes;
        let ring_bytes = count * size_of::<BufRingEntry>();
        let mut buffers = Self {
            ring: allocate(ring_bytes).cast(),
            memory: allocate(BYTES),
            buffer_bytes,
            count: u16::try_from(count).map_err(io::Error::other)?,
            tail: 0,
        };
        // SAFETY: the ring was allocated for so many entries, on a page, and is never freed.
        unsafe {
            submitter.register_buf_ring_with_flags(
                buffers.ring.expose_provenance() as u64,
                buffers.count,
                GROUP,
                0,
            )
        }?;
        for buffer in 0..buffers.count {
            buffers.give_back(buffer);
        }
        buffers.publish();
        Ok(buffers)
    }

    fn start(&self, buffer: u16) -> *const u8 {
        self.memory
            .wrapping_add(usize::from(buffer) * self.buffer_bytes)
    }

    /// Puts a buffer on the ring. The kernel sees it after [`publish`](Self::publish).
    fn give_back(&mut self, buffer: u16) {
        let start = self.start(buffer);
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: `index` is below the number of entries.
        let entry = unsafe { self.ring.add(index) };
        // SAFETY: it was allocated, as zeros, which are an entry; the kernel reads none behind the published tail.
        let entry = unsafe { &mut *entry };
        entry.set_addr(start.expose_provenance() as u64);
        entry.set_len(u32::try_from(self.buffer_bytes).expect("buffers are small"));
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the ring is registered, and so its first entry has the tail.
        let tail = unsafe { BufRingEntry::tail(self.ring) };
        // SAFETY: the tail is aligned, lives as long as the ring, and is shared with the kernel alone.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

/// Allocates zeros on a page of their own, for as long as the process lives.
fn allocate(bytes: usize) -> *mut u8 {
    let layout = Layout::from_size_align(bytes, rustix::param::page_size()).expect("it is small");
    // SAFETY: the layout is not of size zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory
}
