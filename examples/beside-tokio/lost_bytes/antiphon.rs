//! The same loop with Antiphon: a read that lost the race took nothing from the stream.

use std::error::Error;
use std::time::Duration;

use antiphon::io::{Read, Write};
use antiphon::net::UnixStream;
use antiphon::sync::{mpsc, oneshot};
use antiphon::time::sleep;
use antiphon::{Race2, race, run, spawn};

/// To be answered with the number of messages so far.
type Question = oneshot::Sender<u32>;

fn main() -> Result<(), Box<dyn Error>> {
    run(async || {
        let (mut peer, stream) = UnixStream::pair()?;
        let (questions, inbox) = mpsc::channel(1);
        let server = spawn(async || serve(stream, inbox).await);

        // Half of a message, a question, and the rest.
        peer.write_all(b"hel").await?;
        // The server reads what there is meanwhile. If it did not, the same would be printed.
        sleep(Duration::from_millis(1)).await?;
        let (question, answer) = oneshot::channel();
        questions.send(question).await?;
        println!("messages so far: {}", answer.await?);
        peer.write_all(b"loworld").await?;
        drop(peer);
        Ok(server.await?)
    })
}

/// Reads messages, five bytes each, and answers questions meanwhile.
async fn serve(mut stream: UnixStream, mut questions: mpsc::Receiver<Question>) {
    let mut count = 0;
    loop {
        let mut message = [0; 5];
        let first = race((
            async || stream.read_exact(&mut message).await,
            async || questions.recv().await,
        ));
        // The one that came second may have come all the same: then it is here as well, not lost.
        let (read, question) = match first.await {
            Race2::First(read, question) => (Some(read), question),
            Race2::Second(question, read) => (read, Some(question)),
        };
        if let Some(Ok(Some(question))) = question {
            // Whoever asked may have gone.
            let _ = question.send(count);
        }
        match read {
            Some(Ok(())) => {
                count += 1;
                println!("message: {}", String::from_utf8_lossy(&message));
            }
            Some(Err(error)) => return println!("the end: {}", error.kind()),
            None => {}
        }
    }
}
