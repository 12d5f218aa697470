//! A socket that is in use does not allocate.

mod net_support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use antiphon::io::{Read, Write};
use antiphon::net::{UdpSocket, UnixStream};
use antiphon::spawn;

use net_support::{for_each_driver, for_each_kernel_driver, tcp_pair};

/// Counts what each thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: `System` keeps the contract, and counting changes nothing of what it is asked and answers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn streams_allocate_nothing_in_the_long_run() {
    for_each_driver(async || {
        let (mut near, mut far) = tcp_pair().await;
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let echo = spawn(async move || {
            let mut buf = [0; 100];
            loop {
                match far.read(&mut buf).await.unwrap() {
                    0 => break,
                    count => far.write_all(&buf[..count]).await.unwrap(),
                }
            }
        });
        let mut memory = Vec::with_capacity(100);
        let mut before = 0;
        for round in 0..1100 {
            if round == 100 {
                before = ALLOCATIONS.with(Cell::get);
            }
            let mut buf = [0; 64];
            near.write_all(&[7; 64]).await.unwrap();
            near.read_exact(&mut buf).await.unwrap();
            left.write_all(&buf).await.unwrap();
            right.read_exact(&mut buf).await.unwrap();
            memory.clear();
            memory.extend_from_slice(&buf);
            memory = left.write_owned(memory).await.1;
            memory.clear();
            memory = right.read_owned(memory).await.1;
        }
        assert_eq!(
            ALLOCATIONS.with(Cell::get) - before,
            0,
            "allocations in 1000 rounds"
        );
        near.shutdown().await.unwrap();
        echo.await.unwrap();
    });
}

#[test]
fn datagrams_allocate_no_more_than_the_driver_does() {
    // In the simulation a datagram is memory of its own.
    for_each_kernel_driver(async || {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut buf = [0; 64];
        let mut before = 0;
        for round in 0..1100 {
            if round == 100 {
                before = ALLOCATIONS.with(Cell::get);
            }
            socket.send_to(&[7; 64], address).await.unwrap();
            assert_eq!(socket.recv(&mut buf).await.unwrap(), 64);
        }
        // io_uring is handed a message header with each datagram, which has an address of its own.
        assert!(
            ALLOCATIONS.with(Cell::get) - before <= 2000,
            "allocations in 1000 rounds of two operations"
        );
    });
}
