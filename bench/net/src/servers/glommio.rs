//! glommio.

use std::convert::Infallible;
use std::io;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::LocalExecutorBuilder;
use glommio::net::{TcpListener, TcpStream};

use super::{ANY_PORT, announce, told};

pub(super) fn serve(buffer_bytes: usize) -> Result<Infallible, String> {
    let executor = LocalExecutorBuilder::default().make().map_err(told)?;
    executor.run(accept(buffer_bytes)).map_err(told)
}

async fn accept(buffer_bytes: usize) -> io::Result<Infallible> {
    let listener = TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr()?)?;
    loop {
        let stream = listener.accept().await?;
        stream.set_nodelay(true)?;
        glommio::spawn_local(echo(stream, buffer_bytes)).detach();
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
