//! Bytes that are lost in a `select!` loop, with tokio.

use std::error::Error;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, sleep};

/// To be answered with the number of messages so far.
type Question = oneshot::Sender<u32>;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut peer, stream) = duplex(64);
    let (questions, inbox) = mpsc::channel(1);
    let server = tokio::spawn(serve(stream, inbox));

    // Half of a message, a question, and the rest.
    peer.write_all(b"hel").await?;
    // The clock is paused: it moves on when the server has read all there is, and waits.
    sleep(Duration::from_millis(1)).await;
    let (question, answer) = oneshot::channel();
    questions.send(question).await?;
    println!("messages so far: {}", answer.await?);
    peer.write_all(b"loworld").await?;
    drop(peer);
    Ok(server.await?)
}

/// Reads messages, five bytes each, and answers questions meanwhile.
async fn serve(mut stream: DuplexStream, mut questions: mpsc::Receiver<Question>) {
    let mut count = 0;
    loop {
        let mut message = [0; 5];
        tokio::select! {
            result = stream.read_exact(&mut message) => {
                if let Err(error) = result {
                    return println!("the end: {}", error.kind());
                }
                count += 1;
                println!("message: {}", String::from_utf8_lossy(&message));
            }
            Some(question) = questions.recv() => {
                // Whoever asked may have gone.
                let _ = question.send(count);
            }
        }
    }
}
