//! The desk at a socket: a line is a request, and is answered before the next one is read.
//!
//! ```text
//!   ◀ Task queue size 0                            at once, when the client connects
//!   ▶ A
//!   ◀ 0 Processing event A, blocking on B          what the event did: the lines of the transcript
//!   ◀ Task queue size 1
//!   ▶ after 5s B
//!   ◀ timer 0: B in 5s
//!   ◀ Task queue size 1
//!   ▶ b
//!   ◀ error: "b" is not an event; did you mean B?
//!   ▶ quit
//! ```
//! Everything is UTF-8, in lines that end with `\n`; before it `\r` and other white space are ignored, and the last line needs
//! no end. The last line of an answer, and no other, begins with `Task queue size` or `error:`, so a client knows where the
//! answer ends. The size counts the coroutines of everybody. What others or timers do meanwhile is not sent.
//!
//! A client has a task, a line of at most [`LINE_BYTES_MAX`] bytes, and one answer: while that is not taken, nothing more is
//! read from it, and nobody else waits. One who has said all may shut down its direction and is answered to the end.
//!
//! ```text
//!   worker 0                      worker 1
//!   clients ─▶ counter ┐          clients ─┐
//!                      ├─▶ reception       │ thread::channel
//!              counter ┘ ◀─────────────────┘
//! ```
//! The desk is on the first worker, and clients may be on any. Each worker's clients send what they are asked for to a counter of
//! theirs, a task beside the desk, and are sent the answer. When the desk closes the counters do, and the clients hear it
//! by that.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use antiphon::io::{Read, Write};
use antiphon::net::{Keepalive, ReadHalf, TcpListener, TcpStream};
use antiphon::sync::SendError;
use antiphon::thread::{Receiver, Sender, channel};
use antiphon::{CancelScope, Cancelled, group, shield, time};

use crate::desk::{Desk, Next};
use crate::front::Front;
use crate::help::help;
use crate::input::{self, InputError, LINE_BYTES_MAX, Request};
use crate::reception::{Closed, Reception, Source, tree};

/// What clients have to say at the counter.
pub(crate) enum Word {
    Request {
        request: Option<Request>,
        address: SocketAddr,
        /// Has room for the answer.
        answer: Sender<Vec<String>>,
    },
    /// What is wrong with their listener.
    Trouble(String),
}

/// So many words of a worker's clients are on their way; then they wait, each at its own.
pub(crate) const WORDS_MAX: usize = 64;

/// For how long clients may take their last answer when the desk closes.
const GRACE: Duration = Duration::from_secs(1);

/// Answers what a worker's clients ask for, until the desk closes.
pub(crate) async fn attend_counter(
    mut words: Receiver<Word>,
    reception: Rc<Reception>,
    front: Rc<Front>,
) {
    while let Some(Ok(Some(word))) = reception.unless_closing(words.recv()).await {
        match word {
            Word::Request {
                request,
                address,
                answer,
            } => match carry_out(request, address, &reception).await {
                // A client that has gone needs none.
                Ok(lines) => drop(answer.try_send(lines)),
                Err(_) => return,
            },
            Word::Trouble(trouble) => front.warn(&trouble),
        }
    }
}

/// Serves those who connect, each in a task of its own, until the counter closes; then those who don't take their last answer
/// are cut off after a moment. Nothing else ends it.
pub(crate) async fn serve(listener: TcpListener, counter: Sender<Word>) {
    let scope = CancelScope::new();
    let served = scope.run(async || {
        group(async |clients| {
            let mut is_exhausted = false;
            while let Some(accepted) = unless_closed(&counter, listener.accept()).await {
                match accepted {
                    Ok((stream, address)) => {
                        is_exhausted = false;
                        let counter = counter.clone();
                        let client = clients.child().name(&format!("client {address}"));
                        drop(client.spawn(async move || {
                            // A connection that breaks off is the end of that client and of nothing else.
                            let _ = attend(stream, address, &counter).await;
                            Ok(())
                        }));
                    }
                    // The listener waits a moment before it asks again; it is said once.
                    Err(error) => {
                        if !is_exhausted {
                            let trouble = format!("can't accept more clients for now: {error}");
                            let _ = counter.send(Word::Trouble(trouble)).await;
                        }
                        is_exhausted = true;
                    }
                }
            }
            scope.set_deadline(Some(time::now() + GRACE));
            Ok::<(), Cancelled>(())
        })
        .await
    });
    // A signal cancels everything, but how clients are parted from is the desk's to say.
    let _ = shield(async || served.await).await;
}

/// Waits for `future`, but gives it up when the counter closes.
async fn unless_closed<F: Future>(counter: &Sender<Word>, future: F) -> Option<F::Output> {
    let (mut closed, mut future) = (pin!(counter.closed()), pin!(future));
    poll_fn(|cx| {
        if closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Serves one client until it goes.
async fn attend(
    mut stream: TcpStream,
    address: SocketAddr,
    counter: &Sender<Word>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // One who vanished without a word is noticed after a few minutes.
    stream.set_keepalive(Some(Keepalive {
        idle: Duration::from_secs(60),
        interval: None,
        retries: None,
    }))?;
    let (mut read, mut write) = stream.split();
    let mut answer = ask(None, address, counter).await?;
    loop {
        let text = answer.join("\n") + "\n";
        write.write_all(text.as_bytes()).await?;
        let line = match unless_closed(counter, read_line(&mut read)).await {
            Some(line) => line?,
            None => None,
        };
        let Some(line) = line else { break };
        match line.and_then(|line| input::parse(&line)) {
            Ok(Request::Quit) => break,
            Ok(request) => answer = ask(Some(request), address, counter).await?,
            Err(error) => answer = vec![refusal(&error)],
        }
    }
    write.shutdown().await
}

/// Returns the answer to `request`, or the first one, which comes unasked.
async fn ask(
    request: Option<Request>,
    address: SocketAddr,
    counter: &Sender<Word>,
) -> io::Result<Vec<String>> {
    let (answer, mut answered) = channel(1);
    let word = Word::Request {
        request,
        address,
        answer,
    };
    // If the counter has closed, the answer will not come.
    if let Err(SendError::Cancelled(_, cancelled)) = counter.send(word).await {
        return Err(cancelled.into());
    }
    let answer = answered.recv().await?;
    Ok(answer.unwrap_or_else(|| vec![refusal(&Closed)]))
}

async fn carry_out(
    request: Option<Request>,
    address: SocketAddr,
    reception: &Rc<Reception>,
) -> Result<Vec<String>, Cancelled> {
    let mut answer = match request.unwrap_or(Request::Quit) {
        Request::Event(event) => {
            let turn = match reception.event(event, Source::Client(address)).await {
                Ok(turn) => turn,
                Err(closed) => return Ok(vec![refusal(&closed)]),
            };
            let mut answer = Vec::new();
            for step in turn.steps {
                answer.extend(step.said);
                if step.next == Next::Panicked {
                    answer.push(format!("{} panicked, and is gone", step.id));
                }
            }
            if answer.is_empty() {
                answer.push(format!("nobody waits for {event}"));
            }
            answer.push(size(turn.waiting_len));
            return Ok(answer);
        }
        Request::After(delay, event) => match reception.after(delay, event) {
            Ok(timer) => vec![timer.to_string()],
            Err(error) => return Ok(vec![refusal(&error)]),
        },
        Request::Timers => reception.timers(),
        Request::Tree => tree(),
        Request::Help => {
            reception
                .look(|desk| help(desk, "ends this connection"))
                .await?
        }
        // Its size is all there is to say.
        Request::Quit => Vec::new(),
    };
    answer.push(size(reception.look(Desk::waiting_len).await?));
    Ok(answer)
}

fn size(waiting_len: usize) -> String {
    format!("Task queue size {waiting_len}")
}

fn refusal(error: &dyn std::error::Error) -> String {
    format!("error: {error}")
}

/// Reads the next line, without its line end. `None` is the end.
///
/// What is longer than a line may be is thrown away as it arrives, up to its end.
async fn read_line(read: &mut ReadHalf<'_>) -> io::Result<Option<Result<String, InputError>>> {
    let mut is_too_long = false;
    let mut min = 1;
    loop {
        let bytes = read.fill(min).await?;
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let is_last = bytes.len() < min;
        let line_len = end.unwrap_or(bytes.len());
        is_too_long |= line_len > LINE_BYTES_MAX;
        if end.is_none() && !is_last {
            if is_too_long {
                read.consume(line_len);
                min = 1;
            } else {
                min = line_len + 1;
            }
            continue;
        }
        if is_last && line_len == 0 && !is_too_long {
            return Ok(None);
        }
        let line = if is_too_long {
            Err(InputError::TooLong)
        } else {
            let line = bytes[..line_len].to_vec();
            String::from_utf8(line).map_err(|_| InputError::NotUtf8)
        };
        read.consume(line_len + usize::from(end.is_some()));
        return Ok(Some(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `pieces` one after the other, and returns what is read as lines.
    fn lines(pieces: &[&[u8]]) -> Vec<Result<String, InputError>> {
        antiphon::run(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let reader = antiphon::spawn(async move || {
                let (mut read, _) = stream.split();
                let mut lines = Vec::new();
                while let Some(line) = read_line(&mut read).await.unwrap() {
                    lines.push(line);
                }
                lines
            });
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                antiphon::yield_now().await.unwrap();
            }
            client.shutdown().await.unwrap();
            reader.await.unwrap()
        })
    }

    #[test]
    fn lines_may_arrive_in_pieces_and_the_last_needs_no_end() {
        let line = |text: &str| Ok(text.to_owned());
        assert_eq!(lines(&[b"A\nB\n"]), [line("A"), line("B")]);
        assert_eq!(
            lines(&[b"af", b"ter 5s", b" B\nC"]),
            [line("after 5s B"), line("C")]
        );
        assert_eq!(lines(&[b"\n\n"]), [line(""), line("")]);
        assert_eq!(lines(&[]), []);
    }

    #[test]
    fn a_line_has_a_longest_length() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        for end in ["", "\n"] {
            let sent = longest.clone() + end;
            assert_eq!(lines(&[sent.as_bytes()]), [Ok(longest.clone())]);
        }
        let long = "x".repeat(LINE_BYTES_MAX * 100 + 1);
        assert_eq!(lines(&[long.as_bytes()]), [Err(InputError::TooLong)]);
        assert_eq!(
            lines(&[long.as_bytes(), b"x\nA\n"]),
            [Err(InputError::TooLong), Ok("A".into())]
        );
    }

    #[test]
    fn bytes_that_are_no_text_spoil_only_their_line() {
        assert_eq!(
            lines(&[b"\xff\nA\n"]),
            [Err(InputError::NotUtf8), Ok("A".into())]
        );
    }
}
