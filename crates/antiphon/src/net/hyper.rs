//! The streams under hyper's traits: give one to `hyper::server::conn` or `hyper::client::conn` as it is.
//!
//! What is said about polling in the module for `futures-io` is true here as well. hyper polls a write again with the same
//! bytes, and gives it up only together with the connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::{TcpStream, UnixStream};

macro_rules! impl_hyper {
    ($type:ty) => {
        impl Read for $type {
            fn poll_read(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                mut buf: ReadBufCursor<'_>,
            ) -> Poll<io::Result<()>> {
                let read = &mut self.stream.read;
                if buf.remaining() > 0 {
                    ready!(read.poll_fill_anonymously(cx))?;
                }
                let count = read.filled().len().min(buf.remaining());
                buf.put_slice(&read.filled()[..count]);
                read.consume(count);
                Poll::Ready(Ok(()))
            }
        }

        impl Write for $type {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.stream.write.poll_write(cx, &[IoSlice::new(buf)])
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.stream.write.poll_flush_anonymously(cx)
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                self.stream.write.poll_shutdown_anonymously(cx)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.stream.write.poll_write(cx, bufs)
            }
        }
    };
}

impl_hyper!(TcpStream);
impl_hyper!(UnixStream);
