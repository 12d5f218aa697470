//! monoio on `io_uring`, as it comes, and with a ring whose completions are worked off when the loop asks.

use std::convert::Infallible;
use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

use super::{ANY_PORT, announce, told};

pub(super) fn plain(buffer_bytes: usize) -> Result<Infallible, String> {
    serve(monoio_io_uring::IoUring::builder(), buffer_bytes)
}

pub(super) fn deferring(buffer_bytes: usize) -> Result<Infallible, String> {
    let mut ring = monoio_io_uring::IoUring::builder();
    ring.setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun();
    serve(ring, buffer_bytes)
}

fn serve(ring: monoio_io_uring::Builder, buffer_bytes: usize) -> Result<Infallible, String> {
    let builder = RuntimeBuilder::<IoUringDriver>::new().uring_builder(ring);
    let mut runtime = builder.build().map_err(told)?;
    runtime.block_on(accept(buffer_bytes)).map_err(told)
}

async fn accept(buffer_bytes: usize) -> io::Result<Infallible> {
    let listener = TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        drop(monoio::spawn(echo(stream, buffer_bytes)));
    }
}

async fn echo(mut stream: TcpStream, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(buffer_bytes);
    loop {
        let result;
        (result, buffer) = stream.read(buffer).await;
        if result? == 0 {
            return Ok(());
        }
        let result;
        (result, buffer) = stream.write_all(buffer).await;
        result?;
    }
}
