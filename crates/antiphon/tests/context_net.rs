//! Streams in a block.

use std::io;

use antiphon::context::{Stats, entered, stats, with};
use antiphon::io::{Partial, Read, Write};
use antiphon::net::{TcpListener, TcpStream, UnixStream};
use antiphon::{CancelScope, run, spawn, yield_now};
use futures_util::future::join;

/// More than the system takes before somebody reads.
const LARGE: usize = 8 << 20;

async fn read_all(mut stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Writes more than fits, and is cancelled: all was taken over, and most of it is still to be sent.
async fn write_and_leave(stream: &mut UnixStream) -> usize {
    let bytes = vec![7; LARGE];
    let scope = CancelScope::new();
    let outcome = scope.run(async || {
        let cancel = async {
            yield_now().await.ok();
            scope.cancel("enough");
        };
        join(stream.write_all(&bytes), cancel).await.0
    });
    let error = outcome.await.into_result().unwrap_err();
    Partial::of(&error).expect("its turn had come").count()
}

#[test]
fn what_was_taken_over_is_sent_before_the_stream_is_closed() {
    run(async || {
        let (left, right) = UnixStream::pair()?;
        let mut reader = None;
        let taken = with(entered(left), async |left| {
            let taken = write_and_leave(left).await;
            reader = Some(spawn(async move || read_all(right).await));
            Ok::<_, io::Error>(taken)
        });
        assert_eq!(taken.await?, LARGE);
        assert_eq!(reader.unwrap().await.unwrap()?.len(), LARGE);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// The peer would take what it got for the whole.
#[test]
fn a_failed_block_closes_at_once() {
    run(async || {
        let (left, right) = UnixStream::pair()?;
        let failed = with(entered(left), async |left| {
            write_and_leave(left).await;
            Err::<(), _>(io::Error::other("no more"))
        });
        assert_eq!(failed.await.unwrap_err().to_string(), "no more");
        assert_eq!(
            stats(),
            Stats::default(),
            "it has not tried to send the rest"
        );
        assert!(read_all(right).await?.len() < LARGE);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// Nobody reads, ever: the exit has its grace, and the caller is told.
#[test]
fn a_farewell_that_nobody_hears_ends() {
    use antiphon::context::{Grace, With};
    run(async || {
        let (left, _right) = UnixStream::pair()?;
        let grace = Grace::default().cancel_after(std::time::Duration::ZERO);
        let result = With::new().grace(grace).run(entered(left), async |left| {
            write_and_leave(left).await;
            Ok::<_, io::Error>(())
        });
        assert!(antiphon::is_cancelled(&result.await.unwrap_err()));
        assert_eq!(stats().killed, 0, "it hears of the cancel");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

#[test]
fn a_connection_is_a_block() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = spawn(async move || {
            let accept = async { Ok::<_, io::Error>(listener.accept().await?.0) };
            with(accept, async |stream| {
                let mut question = Vec::new();
                stream.read_to_end(&mut question).await?;
                stream.write_all(&question).await
            })
            .await
        });
        let answer = with(TcpStream::connect(address), async |stream| {
            stream.write_all(b"question").await?;
            stream.shutdown().await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, io::Error>(answer)
        });
        assert_eq!(answer.await?, b"question");
        server.await.unwrap()
    })
    .unwrap();
}
