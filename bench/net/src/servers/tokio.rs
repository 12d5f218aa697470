//! tokio: `LocalRuntime`, the runtime of one thread; and the one of several, with two.

use std::convert::Infallible;
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalRuntime;

use super::{ANY_PORT, announce, told};

pub(super) fn serve(buffer_bytes: usize) -> Result<Infallible, String> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime: LocalRuntime = builder
        .enable_io()
        .build_local(tokio::runtime::LocalOptions::default())
        .map_err(told)?;
    // In a task: what `block_on` polls itself is woken in a slower way.
    let accepting = runtime.spawn_local(accept(buffer_bytes));
    runtime.block_on(accepting).map_err(told)?.map_err(told)
}

pub(super) fn workers(buffer_bytes: usize) -> Result<Infallible, String> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(2)
        .enable_io()
        .build()
        .map_err(told)?;
    let accepting = runtime.spawn(accept_for_all(buffer_bytes));
    runtime.block_on(accepting).map_err(told)?.map_err(told)
}

async fn accept_for_all(buffer_bytes: usize) -> io::Result<Infallible> {
    let listener = TcpListener::bind(ANY_PORT).await?;
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(echo(stream, buffer_bytes));
    }
}

async fn accept(buffer_bytes: usize) -> io::Result<Infallible> {
    let listener = TcpListener::bind(ANY_PORT).await?;
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(echo(stream, buffer_bytes));
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
