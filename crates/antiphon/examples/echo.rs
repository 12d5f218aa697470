//! An echo server and its clients, in one thread.
//!
//! ```text
//! $ cargo run --example echo
//! listening at 127.0.0.1:41735
//! client 0 hears: cantus 0
//! client 1 hears: cantus 1
//! client 2 hears: cantus 2
//! 3 served
//! ```
//! With an address, `echo 127.0.0.1:7777`, it serves others until it is ended. Try `nc 127.0.0.1 7777`.

use std::io;

use antiphon::io::{Read, Write};
use antiphon::net::{TcpListener, TcpStream};

fn main() -> io::Result<()> {
    antiphon::run(async || {
        let Some(address) = std::env::args().nth(1) else {
            return play().await;
        };
        let listener = TcpListener::bind(address).await?;
        println!("listening at {}", listener.local_addr()?);
        serve(&listener, usize::MAX).await.map(drop)
    })
}

/// Serves three clients of its own.
async fn play() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    println!("listening at {address}");
    let server = antiphon::spawn(async move || serve(&listener, 3).await);
    for number in 0..3 {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(format!("cantus {number}").as_bytes())
            .await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        println!(
            "client {number} hears: {}",
            String::from_utf8_lossy(&answer)
        );
    }
    println!(
        "{} served",
        server.await.expect("the server does not panic")?
    );
    Ok(())
}

/// Accepts so many connections, and gives each a task. Returns how many were served to the end; an error if it is cancelled.
async fn serve(listener: &TcpListener, connections: usize) -> io::Result<usize> {
    let mut tasks = Vec::new();
    let mut served = 0;
    while served < connections {
        match listener.accept().await {
            Ok((stream, address)) => {
                served += 1;
                tasks.push(antiphon::spawn(async move || {
                    if let Err(error) = echo(stream).await {
                        eprintln!("{address}: {error}");
                    }
                }));
            }
            Err(error) if antiphon::is_cancelled(&error) => return Err(error),
            // There are no descriptors left. The listener waits a moment before it asks again.
            Err(error) => eprintln!("not accepting: {error}"),
        }
        tasks.retain(|task| !task.is_finished());
    }
    for task in tasks {
        if let Err(error) = task.await {
            let cancelled = antiphon::find_cancelled(&error).expect("an echo does not panic");
            return Err(cancelled.clone().into());
        }
    }
    Ok(served)
}

/// Sends back what arrives. Nothing is copied to a buffer of ours: it is written from where it arrived.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (mut read, mut write) = stream.split();
    loop {
        let bytes = read.fill(1).await?;
        if bytes.is_empty() {
            return write.shutdown().await;
        }
        write.write_all(bytes).await?;
        let count = bytes.len();
        read.consume(count);
    }
}
