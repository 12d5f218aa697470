//! The streams under the traits of others: `cargo test --all-features`.
#![cfg(feature = "futures-io")]

mod net_support;

use std::future::poll_fn;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Poll;

use antiphon::net::{TcpStream, UnixStream};
use antiphon::spawn;
use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use net_support::{
    Random, ends_at_once, ends_while_it_waits, for_each_driver, give_up_after, pattern, tcp_pair,
};

async fn write<W: AsyncWrite + Unpin>(writer: &mut W, buf: &[u8]) -> usize {
    poll_fn(|cx| Pin::new(&mut *writer).poll_write(cx, buf))
        .await
        .unwrap()
}

async fn read<R: AsyncRead + Unpin>(reader: &mut R, buf: &mut [u8]) -> usize {
    poll_fn(|cx| Pin::new(&mut *reader).poll_read(cx, buf))
        .await
        .unwrap()
}

async fn close<W: AsyncWrite + Unpin>(writer: &mut W) {
    poll_fn(|cx| Pin::new(&mut *writer).poll_close(cx))
        .await
        .unwrap();
}

async fn read_to_end<R: AsyncBufRead + Unpin>(reader: &mut R) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let count = poll_fn(|cx| {
            let filled = std::task::ready!(Pin::new(&mut *reader).poll_fill_buf(cx)).unwrap();
            bytes.extend_from_slice(filled);
            Poll::Ready(filled.len())
        })
        .await;
        Pin::new(&mut *reader).consume(count);
        if count == 0 {
            return bytes;
        }
    }
}

#[test]
fn bytes_go_both_ways() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let writer = spawn(async move || {
            let bytes = pattern(8 << 20);
            let mut sent = 0;
            while sent < bytes.len() {
                sent += write(&mut stream, &bytes[sent..]).await;
            }
            close(&mut stream).await;
            read_to_end(&mut stream).await
        });
        let mut buf = [0; 3];
        assert_eq!(read(&mut peer, &mut buf).await, 3);
        assert_eq!(buf, pattern(3)[..]);
        assert!(read_to_end(&mut peer).await == pattern(8 << 20)[3..]);
        assert_eq!(write(&mut peer, b"thanks").await, 6);
        drop(peer);
        assert_eq!(writer.await.unwrap(), b"thanks");
    });
}

/// A pending poll has taken the bytes over. Polled again with the same ones it tells how many, even if there are more of
/// them by then or they come in other pieces.
#[test]
fn a_write_is_claimed_by_its_own_bytes() {
    for_each_driver(async || {
        let mut random = Random::new();
        let (mut stream, mut peer) = UnixStream::pair().unwrap();
        let bytes = pattern(2 << 20);
        let expected = bytes.clone();
        let reader = spawn(async move || {
            assert!(
                read_to_end(&mut peer).await == expected,
                "something was lost, doubled or mixed up"
            );
        });
        let mut sent = 0;
        while sent < bytes.len() {
            let most = (bytes.len() - sent).min(200_000);
            let end = sent + 1 + random.below(most);
            let middle = sent + random.below(end - sent + 1);
            let bufs = [
                IoSlice::new(&bytes[sent..middle]),
                IoSlice::new(&bytes[middle..end]),
            ];
            let written = poll_fn(|cx| Pin::new(&mut stream).poll_write_vectored(cx, &bufs));
            if let Some(count) = give_up_after(random.below(3), written).await {
                sent += count.unwrap();
            }
        }
        close(&mut stream).await;
        reader.await.unwrap();
    });
}

/// Writes until there is no more room. Returns what the peer is to read: a write that has to wait was taken over.
async fn fill(stream: &mut UnixStream) -> Vec<u8> {
    let mut written = Vec::new();
    while let Some(count) = give_up_after(1, write(stream, &[7; 999])).await {
        written.extend_from_slice(&[7; 999][..count]);
    }
    written.extend_from_slice(&[7; 999]);
    written
}

#[test]
fn another_write_comes_after_one_that_was_given_up() {
    for_each_driver(async || {
        let (mut stream, mut peer) = UnixStream::pair().unwrap();
        let mut expected = fill(&mut stream).await;
        let reader = spawn(async move || read_to_end(&mut peer).await);
        assert_eq!(write(&mut stream, b"second").await, 6);
        // The same again is another write.
        assert_eq!(write(&mut stream, b"second").await, 6);
        drop(stream);
        expected.extend_from_slice(b"secondsecond");
        assert!(reader.await.unwrap() == expected);
    });
}

#[test]
fn a_method_of_ours_does_not_take_over_what_was_polled() {
    for_each_driver(async || {
        let (mut stream, mut peer) = UnixStream::pair().unwrap();
        let mut expected = fill(&mut stream).await;
        let reader = spawn(async move || read_to_end(&mut peer).await);
        antiphon::io::Write::write_all(&mut stream, &[7; 999])
            .await
            .unwrap();
        drop(stream);
        expected.extend_from_slice(&[7; 999]);
        assert!(reader.await.unwrap() == expected);
    });
}

#[cfg(feature = "hyper")]
#[test]
fn hyper_takes_the_streams() {
    fn takes<T: hyper::rt::Read + hyper::rt::Write + Unpin>() {}
    takes::<TcpStream>();
    takes::<UnixStream>();

    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let count = poll_fn(|cx| {
            hyper::rt::Write::poll_write(Pin::new(&mut stream), cx, b"GET / HTTP/1.1")
        })
        .await;
        assert_eq!(count.unwrap(), 14);
        poll_fn(|cx| hyper::rt::Write::poll_shutdown(Pin::new(&mut stream), cx))
            .await
            .unwrap();
        let mut memory = [0; 10];
        let mut buf = hyper::rt::ReadBuf::new(&mut memory);
        poll_fn(|cx| hyper::rt::Read::poll_read(Pin::new(&mut peer), cx, buf.unfilled()))
            .await
            .unwrap();
        assert_eq!(buf.filled(), b"GET / HTTP");
        assert_eq!(read_to_end(&mut peer).await, b"/1.1");
    });
}

/// A cancel goes through whoever polls: what it reads and writes fails, and nothing is lost by that.
#[test]
fn in_a_cancelled_scope_they_fail_and_lose_nothing() {
    for_each_driver(async || {
        let (mut stream, mut peer) = tcp_pair().await;
        let poll_read = async |peer: &mut TcpStream, buf: &mut [u8]| {
            poll_fn(|cx| Pin::new(&mut *peer).poll_read(cx, buf)).await
        };
        let poll_write = async |stream: &mut TcpStream, bytes: &[u8]| {
            poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await
        };
        let mut buf = [0; 9];
        ends_while_it_waits("tcp read", async || poll_read(&mut peer, &mut buf).await).await;
        assert_eq!(write(&mut stream, b"amen").await, 4);
        // The second time it stands for another call.
        for _ in 0..2 {
            ends_at_once(async || poll_read(&mut peer, &mut buf).await).await;
        }
        ends_at_once(async || {
            poll_fn(|cx| Pin::new(&mut peer).poll_fill_buf(cx).map_ok(drop)).await
        })
        .await;
        assert_eq!(read(&mut peer, &mut buf).await, 4);
        assert_eq!(&buf[..4], b"amen");

        ends_at_once(async || poll_write(&mut stream, b"not this").await).await;
        ends_at_once(async || poll_fn(|cx| Pin::new(&mut stream).poll_flush(cx)).await).await;
        ends_at_once(async || poll_fn(|cx| Pin::new(&mut stream).poll_close(cx)).await).await;
        // Until it waits; what it has taken over then is claimed by whoever writes the same bytes.
        let bytes = pattern(16 << 20);
        let mut sent = 0;
        ends_while_it_waits("tcp write", async || {
            loop {
                sent += poll_write(&mut stream, &bytes[sent..]).await?;
            }
            #[allow(unreachable_code, reason = "gives the type")]
            Ok(())
        })
        .await;
        assert!(0 < sent && sent < bytes.len());
        let reader = spawn(async move || read_to_end(&mut peer).await);
        while sent < bytes.len() {
            sent += write(&mut stream, &bytes[sent..]).await;
        }
        close(&mut stream).await;
        assert!(reader.await.unwrap() == bytes);
    });
}
