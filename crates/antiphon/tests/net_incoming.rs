//! What arrives for streams that nobody reads, or that are read and written without ever waiting.

mod net_support;

use std::cell::Cell;
use std::io::{ErrorKind, Read as _, Write as _};
use std::rc::Rc;

use antiphon::io::{Read, Write};
use antiphon::net::UnixStream;
use antiphon::{spawn, yield_now};

use net_support::{for_each_driver, for_each_kernel_driver, give_up_after, pattern, tcp_pair};

/// A read that was given up leaves the stream waiting. What arrives then is not taken without end: the peer has to wait.
#[test]
fn a_peer_has_to_wait_for_a_reader_that_does_not_come() {
    for_each_driver(async || {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        assert!(give_up_after(1, right.fill(1)).await.is_none());
        let bytes = pattern(8 << 20);
        let mut sent = 0;
        while sent < bytes.len() {
            // The loop may take something at each turn, and more than once.
            match give_up_after(8, left.write_all(&bytes[sent..sent + 64])).await {
                Some(result) => result.unwrap(),
                None => break,
            }
            sent += 64;
            yield_now().await.unwrap();
        }
        assert!(sent < bytes.len(), "all was taken");
        // The one that was given up is sent as well.
        sent += 64;
        let mut arrived = vec![0; sent];
        right.read_exact(&mut arrived).await.unwrap();
        assert!(arrived == bytes[..sent]);
    });
}

#[test]
fn long_and_short_messages_alternate() {
    for_each_driver(async || {
        let (mut near, mut far) = tcp_pair().await;
        let echo = spawn(async move || {
            let mut buf = vec![0; 100_000];
            loop {
                match far.read(&mut buf).await.unwrap() {
                    0 => break,
                    count => far.write_all(&buf[..count]).await.unwrap(),
                }
            }
        });
        let mut memory = Vec::new();
        for len in [
            1, 64, 8192, 1, 8193, 60_000, 3, 5, 4096, 9000, 1, 150_000, 1, 1,
        ] {
            let bytes = pattern(len);
            near.write_all(&bytes).await.unwrap();
            if len % 2 == 0 {
                assert!(*near.fill(len).await.unwrap() == bytes);
                near.consume(len);
            } else {
                memory.clear();
                memory.reserve_exact(len);
                while memory.len() < len {
                    let (count, returned) = near.read_owned(memory).await;
                    assert!(count.unwrap() > 0);
                    memory = returned;
                }
                assert!(memory == bytes);
            }
        }
        near.shutdown().await.unwrap();
        echo.await.unwrap();
    });
}

/// A stream whose reads went well may be given back, though it waits for more; one that has bytes may not.
#[test]
fn a_stream_that_waits_is_given_back_with_all_that_comes() {
    // The standard library has the kernel's sockets only.
    for_each_kernel_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        peer.write_all(b"first").await.unwrap();
        assert_eq!(stream.fill(5).await.unwrap(), b"first");
        stream.consume(5);
        assert!(give_up_after(2, stream.fill(1)).await.is_none());
        let mut stream = stream.into_std().map_err(|(error, _)| error).unwrap();
        peer.write_all(b"second").await.unwrap();
        let mut bytes = [0; 6];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, *b"second");
        stream.write_all(b"back").unwrap();
        assert_eq!(peer.fill(4).await.unwrap(), b"back");
    });
}

#[test]
fn bytes_that_arrived_meanwhile_are_not_lost() {
    // The standard library has the kernel's sockets only.
    for_each_kernel_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        assert!(give_up_after(2, stream.fill(1)).await.is_none());
        peer.write_all(b"meanwhile").await.unwrap();
        yield_now().await.unwrap();
        // Either they were taken already, and it says so; or they are still to be had by whoever has it.
        match stream.into_std() {
            Err((error, mut stream)) => {
                assert_eq!(error.kind(), ErrorKind::ResourceBusy);
                assert_eq!(stream.fill(9).await.unwrap(), b"meanwhile");
            }
            Ok(mut stream) => {
                let mut bytes = [0; 9];
                stream.read_exact(&mut bytes).unwrap();
                assert_eq!(bytes, *b"meanwhile");
            }
        }
    });
}

/// Reads and writes that never have to wait once kept everybody else from running.
#[test]
fn a_task_that_never_waits_lets_the_others_run() {
    for_each_driver(async || {
        let (mut left, mut right) = UnixStream::pair().unwrap();
        let others = Rc::new(Cell::new(0));
        let seen = Rc::clone(&others);
        let busy = spawn(async move || {
            let mut buf = [0; 9];
            for _ in 0..10_000 {
                left.write_all(b"x").await.unwrap();
                assert_eq!(right.read(&mut buf).await.unwrap(), 1);
            }
            seen.get()
        });
        while !busy.is_finished() {
            others.set(others.get() + 1);
            yield_now().await.unwrap();
        }
        assert!(busy.await.unwrap() > 100, "the others had no turn");
    });
}
