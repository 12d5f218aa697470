//! What a process has to say, gathered.

use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::pin::pin;
use std::process::ExitStatus;
use std::task::Poll;
use std::time::Duration;

use super::child::Child;
use crate::io::{PipeReader, Read};
use crate::time::sleep;

/// What a process wrote, and how it ended: see [`Command::output`](super::Command::output).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its standard output. Empty if that was no pipe.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error stream. Empty if that was no pipe.
    pub stderr: Vec<u8>,
    /// Whether both were read to the end. If not, somebody whom the process has left behind keeps a pipe open. All that the
    /// process itself wrote is there in any case.
    pub is_complete: bool,
}

/// Reads both streams of `child` to the end while it runs. When it has ended, they are waited for as long as `patience` says.
pub(super) async fn gather(
    child: &mut Child,
    max: usize,
    patience: Duration,
    at: &'static Location<'static>,
) -> io::Result<Output> {
    child.stdin = None;
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (status, is_complete) = {
        let mut out = pin!(drain(out.as_mut(), &mut stdout, max));
        let mut err = pin!(drain(err.as_mut(), &mut stderr, max));
        let mut reap = pin!(child.reap(at));
        let (mut is_out, mut is_err, mut status) = (false, false, None);
        let mut late = pin!(None);
        poll_fn(|cx| {
            if status.is_none() {
                if let Poll::Ready(ended) = reap.as_mut().poll(cx)? {
                    status = Some(ended);
                }
            }
            // After the status: what the process wrote before it ended is read by this very poll.
            if !is_out {
                is_out = out.as_mut().poll(cx)?.is_ready();
            }
            if !is_err {
                is_err = err.as_mut().poll(cx)?.is_ready();
            }
            let Some(status) = status else {
                return Poll::Pending;
            };
            if is_out && is_err {
                return Poll::Ready(Ok((status, true)));
            }
            if late.is_none() {
                late.set(Some(sleep(patience)));
            }
            match late.as_mut().as_pin_mut().map(|late| late.poll(cx)) {
                Some(Poll::Ready(result)) => {
                    result?;
                    Poll::Ready(Ok::<_, io::Error>((status, false)))
                }
                _ => Poll::Pending,
            }
        })
        .await?
    };
    Ok(Output {
        status,
        stdout,
        stderr,
        is_complete,
    })
}

/// Reads to the end, or to more than `max` bytes, which is an error.
async fn drain(reader: Option<&mut PipeReader>, bytes: &mut Vec<u8>, max: usize) -> io::Result<()> {
    let Some(reader) = reader else { return Ok(()) };
    loop {
        let filled = reader.fill(1).await?;
        let count = filled.len();
        if count == 0 {
            return Ok(());
        }
        if count > max - bytes.len() {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("the process wrote more than {max} bytes"),
            ));
        }
        bytes.extend_from_slice(filled);
        reader.consume(count);
    }
}
