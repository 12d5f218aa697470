//! smol: `LocalExecutor` and `async-io`.

use std::convert::Infallible;
use std::io;
use std::net::{TcpListener, TcpStream};

use async_executor::LocalExecutor;
use async_io::Async;
use futures_lite::{AsyncReadExt, AsyncWriteExt};

use super::{ANY_PORT, announce, told};

pub(super) fn serve(buffer_bytes: usize) -> Result<Infallible, String> {
    let executor = LocalExecutor::new();
    async_io::block_on(executor.run(accept(&executor, buffer_bytes))).map_err(told)
}

async fn accept(executor: &LocalExecutor<'_>, buffer_bytes: usize) -> io::Result<Infallible> {
    let listener = Async::<TcpListener>::bind(ANY_PORT)?;
    announce(listener.get_ref().local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        executor.spawn(echo(stream, buffer_bytes)).detach();
    }
}

async fn echo(mut stream: Async<TcpStream>, buffer_bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
