//! The streams under the traits of `futures-io`.
//!
//! These traits poll, and a poll may be the last one: nothing says that the caller went away. Reading bears that, because
//! what arrives stays in the stream. A write that is pending has been taken over; polled again with the same bytes it
//! says how many were written, and polled with others, it sends both, one after the other.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use super::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, TcpStream, UnixStream, WriteHalf};
use crate::io::Read;

macro_rules! impl_async_read {
    ($type:ty, $($side:ident).+) => {
        impl AsyncRead for $type {
            fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
                self.as_mut().poll_read_vectored(cx, &mut [IoSliceMut::new(buf)])
            }

            fn poll_read_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &mut [IoSliceMut<'_>],
            ) -> Poll<io::Result<usize>> {
                if bufs.iter().any(|buf| !buf.is_empty()) {
                    ready!(self.$($side).+.poll_fill_anonymously(cx))?;
                }
                let mut count = 0;
                for buf in bufs {
                    let taken = buf.len().min(self.filled().len());
                    buf[..taken].copy_from_slice(&self.filled()[..taken]);
                    Read::consume(&mut *self, taken);
                    count += taken;
                }
                Poll::Ready(Ok(count))
            }
        }

        impl AsyncBufRead for $type {
            fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
                let stream = self.get_mut();
                ready!(stream.$($side).+.poll_fill_anonymously(cx))?;
                Poll::Ready(Ok(stream.$($side).+.filled()))
            }

            fn consume(mut self: Pin<&mut Self>, count: usize) {
                Read::consume(&mut *self, count);
            }
        }
    };
}

macro_rules! impl_async_write {
    ($type:ty, $($side:ident).+) => {
        impl AsyncWrite for $type {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                self.$($side).+.poll_write(cx, &[IoSlice::new(buf)])
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.$($side).+.poll_write(cx, bufs)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.$($side).+.poll_flush_anonymously(cx)
            }

            fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.$($side).+.poll_shutdown_anonymously(cx)
            }
        }
    };
}

impl_async_read!(TcpStream, stream.read);
impl_async_read!(UnixStream, stream.read);
impl_async_read!(ReadHalf<'_>, side);
impl_async_read!(OwnedReadHalf, side);
impl_async_write!(TcpStream, stream.write);
impl_async_write!(UnixStream, stream.write);
impl_async_write!(WriteHalf<'_>, side);
impl_async_write!(OwnedWriteHalf, side);
