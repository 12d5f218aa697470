//! compio on `io_uring`, as it comes, and with a ring whose completions are worked off when the loop asks.

use std::convert::Infallible;
use std::io;

use compio::buf::BufResult;
use compio::driver::{DriverType, ProactorBuilder};
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::RuntimeBuilder;

use super::{ANY_PORT, announce, told};

pub(super) fn plain(buffer_bytes: usize) -> Result<Infallible, String> {
    serve(&mut ProactorBuilder::new(), buffer_bytes)
}

pub(super) fn deferring(buffer_bytes: usize) -> Result<Infallible, String> {
    let mut ring = ProactorBuilder::new();
    ring.single_issuer(true)
        .defer_taskrun(true)
        .coop_taskrun(true);
    serve(&mut ring, buffer_bytes)
}

fn serve(ring: &mut ProactorBuilder, buffer_bytes: usize) -> Result<Infallible, String> {
    ring.driver_type(DriverType::IoUring);
    let runtime = RuntimeBuilder::new()
        .with_proactor(ring.clone())
        .build()
        .map_err(told)?;
    runtime.block_on(accept(buffer_bytes)).map_err(told)
}

async fn accept(buffer_bytes: usize) -> io::Result<Infallible> {
    let listener = TcpListener::bind(ANY_PORT).await?;
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        compio::runtime::spawn(echo(stream, buffer_bytes)).detach();
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(buffer_bytes);
    loop {
        buffer.clear();
        let BufResult(result, read) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        let BufResult(result, written) = stream.write_all(read).await;
        result?;
        buffer = written;
    }
}
