//! Ours. The environment says on which driver; an error says if the system does not grant it.

use std::convert::Infallible;
use std::io;

use antiphon::io::{Read, Write};
use antiphon::net::{TcpListener, TcpStream};
use antiphon::{Runtime, spawn_on, thread};

use super::{ANY_PORT, announce, told};

/// Reads into a buffer of its own, and writes from it.
pub(super) fn uring(buffer_bytes: usize) -> Result<Infallible, String> {
    serve(async move |stream| echo(stream, buffer_bytes).await)
}

pub(super) fn readiness(buffer_bytes: usize) -> Result<Infallible, String> {
    uring(buffer_bytes)
}

/// Gives the buffer away and gets it back: nothing is copied.
pub(super) fn owned(buffer_bytes: usize) -> Result<Infallible, String> {
    serve(async move |stream| echo_owned(stream, buffer_bytes).await)
}

/// Writes from where it arrived: the stream's buffer, of its own size.
pub(super) fn fill(_: usize) -> Result<Infallible, String> {
    serve(echo_filled)
}

pub(super) fn readiness_fill(buffer_bytes: usize) -> Result<Infallible, String> {
    fill(buffer_bytes)
}

/// Two workers, each with a listener of its own, between which the system shares the connections out.
pub(super) fn workers(buffer_bytes: usize) -> Result<Infallible, String> {
    let mut runtime = Runtime::builder().workers(2).build().map_err(told)?;
    let serving = runtime.run(async || {
        let echo = async move |stream| echo(stream, buffer_bytes).await;
        let listener = TcpListener::bind_shared(ANY_PORT).await?;
        let address = listener.local_addr()?;
        let (ready, mut is_ready) = thread::channel(1);
        let other = spawn_on(1, async move || {
            let listener = TcpListener::bind_shared(address).await?;
            ready.send(()).await.map_err(io::Error::other)?;
            accept_at(listener, echo).await
        });
        if is_ready.recv().await?.is_none() {
            return other.await?;
        }
        drop(other.detach());
        announce(address)?;
        accept_at(listener, echo).await
    });
    serving.map_err(told)
}

fn serve<F>(echo: F) -> Result<Infallible, String>
where
    F: AsyncFn(TcpStream) -> io::Result<()> + Copy + 'static,
{
    antiphon::run(async || accept(echo).await).map_err(told)
}

async fn accept<F>(echo: F) -> io::Result<Infallible>
where
    F: AsyncFn(TcpStream) -> io::Result<()> + Copy + 'static,
{
    let listener = TcpListener::bind(ANY_PORT).await?;
    announce(listener.local_addr()?)?;
    accept_at(listener, echo).await
}

async fn accept_at<F>(listener: TcpListener, echo: F) -> io::Result<Infallible>
where
    F: AsyncFn(TcpStream) -> io::Result<()> + Copy + 'static,
{
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        drop(antiphon::spawn(async move || echo(stream).await));
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}

async fn echo_owned(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(buffer_bytes);
    loop {
        let result;
        (result, buffer) = stream.read_owned(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        let result;
        (result, buffer) = stream.write_owned(buffer).await;
        result?;
        buffer.clear();
    }
}

async fn echo_filled(mut stream: TcpStream) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    loop {
        let bytes = read.fill(1).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        write.write_all(bytes).await?;
        let count = bytes.len();
        read.consume(count);
    }
}
