//! Pipes: nothing is lost by a cancel, nothing waits that should not.

mod net_support;

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use antiphon::io::{Partial, PipeReader, PipeWriter, Read, Write, pipe};
use antiphon::{CancelScope, Runtime, is_cancelled, spawn, tree, yield_now};
use futures_util::{FutureExt, join};
use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, mknodat};

use net_support::{
    for_each_kernel_driver, forget, give_up_after, kind_of, pattern, until_someone_waits_for,
};

/// More than a pipe holds.
const MUCH: usize = 300_000;

#[test]
fn bytes_come_out_in_order() {
    for_each_kernel_driver(async || {
        let (mut reader, mut writer) = pipe().unwrap();
        let bytes = pattern(MUCH);
        let write = async {
            for part in bytes.chunks(70_001) {
                writer.write_all(part).await.unwrap();
            }
            writer.shutdown().await.unwrap();
            assert_eq!(kind_of(writer.write(b"late").await), ErrorKind::BrokenPipe);
        };
        let mut read = Vec::new();
        let ((), count) = join!(write, reader.read_to_end(&mut read));
        assert_eq!(count.unwrap(), MUCH);
        assert!(read == bytes);
        assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn large_reads_and_vectored_writes() {
    for_each_kernel_driver(async || {
        let (mut reader, mut writer) = pipe().unwrap();
        let bytes = pattern(MUCH);
        let (first, second) = bytes.split_at(MUCH / 3);
        let write = async {
            let bufs = [first, &[], second].map(std::io::IoSlice::new);
            let sent = writer.write_vectored(&bufs).await.unwrap();
            assert!(0 < sent && sent < MUCH);
            writer.write_all(&bytes[sent..]).await.unwrap();
            drop(writer);
        };
        let read = async {
            let mut all = Vec::new();
            let mut buf = vec![0; 100_000];
            while let count @ 1.. = reader.read(&mut buf).await.unwrap() {
                all.extend_from_slice(&buf[..count]);
            }
            all
        };
        let ((), all) = join!(write, read);
        assert!(all == bytes);
    });
}

#[test]
fn a_cancelled_read_takes_nothing() {
    for_each_kernel_driver(async || {
        let (mut reader, mut writer) = pipe().unwrap();
        let scope = CancelScope::new();
        let cancel = scope.clone();
        let canceller = spawn(async move || {
            until_someone_waits_for("pipe read").await;
            cancel.cancel("enough");
        });
        let outcome = scope.run(async || {
            let error = reader.read(&mut [0; 8]).await.unwrap_err();
            assert!(is_cancelled(&error));
            // Level: in the scope it is so again, even if there are bytes now.
            antiphon::shield(async || writer.write_all(b"canon").await.unwrap()).await;
            reader.read(&mut [0; 8]).await
        });
        assert!(outcome.await.is_cancelled());
        canceller.await.unwrap();
        let mut word = [0; 5];
        reader.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"canon");
    });
}

#[test]
fn a_dropped_or_forgotten_read_takes_nothing() {
    for_each_kernel_driver(async || {
        let (mut reader, mut writer) = pipe().unwrap();
        let mut buf = [0; 8];
        assert!(give_up_after(3, reader.read(&mut buf)).await.is_none());
        writer.write_all(b"fugue").await.unwrap();
        let mut word = [0; 5];
        reader.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"fugue");
        let (mut other, _keeps) = pipe().unwrap();
        let mut buf = [0; 8];
        assert!(forget(other.read(&mut buf)).await.is_none());
    });
}

#[test]
fn a_cancelled_write_says_how_much_and_is_finished() {
    for_each_kernel_driver(async || {
        let (mut reader, mut writer) = pipe().unwrap();
        let bytes = pattern(MUCH);
        let scope = CancelScope::new();
        let cancel = scope.clone();
        let canceller = spawn(async move || {
            until_someone_waits_for("pipe write").await;
            cancel.cancel("enough");
        });
        let outcome = scope.run(async || writer.write_all(&bytes).await).await;
        canceller.await.unwrap();
        let error = outcome.into_result().unwrap_err();
        assert_eq!(Partial::of(&error).unwrap().count(), MUCH);
        // Its turn comes after what was taken over; before that it does not happen.
        assert!(give_up_after(3, writer.write_all(b"lost")).await.is_none());
        let end = async {
            writer.write_all(b"end").await.unwrap();
            drop(writer);
        };
        let mut read = Vec::new();
        let ((), count) = join!(end, reader.read_to_end(&mut read));
        assert_eq!(count.unwrap(), MUCH + 3);
        assert!(read[..MUCH] == bytes && read[MUCH..] == *b"end");
    });
}

#[test]
fn a_dropped_writer_gives_up_what_it_had_taken_over() {
    for_each_kernel_driver(async || {
        let (mut reader, mut writer) = pipe().unwrap();
        let bytes = pattern(MUCH);
        assert!(give_up_after(3, writer.write_all(&bytes)).await.is_none());
        drop(writer);
        let mut read = Vec::new();
        let count = reader.read_to_end(&mut read).await.unwrap();
        assert!(0 < count && count < MUCH && read == bytes[..count]);
        while tree().tasks.len() > 1 {
            yield_now().await.unwrap();
        }
    });
}

#[test]
fn nobody_reads_any_more() {
    for_each_kernel_driver(async || {
        let (reader, mut writer) = pipe().unwrap();
        drop(reader);
        assert_eq!(kind_of(writer.write(b"?").await), ErrorKind::BrokenPipe);
        // And while it waits.
        let (reader, mut writer) = pipe().unwrap();
        let leave = async {
            until_someone_waits_for("pipe write").await;
            drop(reader);
        };
        let bytes = pattern(MUCH);
        let (result, ()) = join!(writer.write_all(&bytes), leave);
        assert_eq!(kind_of(result), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_writer_outlives_its_loop() {
    let mut first = Runtime::builder().build().unwrap();
    let bytes = pattern(MUCH);
    let (mut reader, mut writer) = first.run(async || {
        let (reader, mut writer) = pipe().unwrap();
        assert!(give_up_after(3, writer.write_all(&bytes)).await.is_none());
        (reader, writer)
    });
    drop(first);
    antiphon::run(async || {
        let error = writer.write(b"more").await.unwrap_err();
        assert_eq!(error.to_string(), "the loop ended before all was written");
        drop(writer);
        let mut read = Vec::new();
        let count = reader.read_to_end(&mut read).await.unwrap();
        assert!(read == bytes[..count]);
    });
}

#[test]
fn a_reader_that_always_finds_something_lets_others_run() {
    for_each_kernel_driver(async || {
        let zeros: OwnedFd = File::open("/dev/zero").unwrap().into();
        let mut zeros = PipeReader::from_fd(zeros).unwrap();
        let scope = CancelScope::new();
        let cancel = scope.clone();
        let other = spawn(async move || cancel.cancel("a turn came"));
        let outcome = scope.run(async || {
            loop {
                zeros.read(&mut [0; 64]).await?;
            }
            #[allow(unreachable_code, reason = "gives the type")]
            Ok::<(), std::io::Error>(())
        });
        assert!(outcome.await.is_cancelled());
        assert!(other.await.unwrap());
    });
}

#[test]
fn named_pipes_wait_for_the_other_side() {
    for_each_kernel_driver(async || {
        let folder = Folder::new();
        let path = Rc::new(folder.path("fifo"));
        mknodat(CWD, &*path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        // Nobody writes: the read waits, and can be cancelled.
        let mut reader = PipeReader::open(&*path).unwrap();
        assert!(give_up_after(3, reader.read(&mut [0; 8])).await.is_none());
        drop(reader);
        // Nobody reads, once the system has let go of that one: the same.
        while PipeWriter::open(&*path).now_or_never().is_some() {
            yield_now().await.unwrap();
        }
        assert!(give_up_after(3, PipeWriter::open(&*path)).await.is_none());
        let scope = CancelScope::new();
        let cancel = scope.clone();
        let canceller = spawn(async move || {
            yield_now().await.unwrap();
            cancel.cancel("nobody comes");
        });
        let outcome = scope.run(async || PipeWriter::open(&*path).await).await;
        assert!(outcome.is_cancelled());
        canceller.await.unwrap();
        // Both come.
        let there = Rc::clone(&path);
        let writing = spawn(async move || {
            let mut writer = PipeWriter::open(&*there).await.unwrap();
            writer.write_all(b"ricercar").await.unwrap();
        });
        let mut reader = PipeReader::open(&*path).unwrap();
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, b"ricercar");
        writing.await.unwrap();
        // A writer that says nothing is the end as well.
        let mut reader = PipeReader::open(&*path).unwrap();
        drop(PipeWriter::open(&*path).await.unwrap());
        assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0);
    });
}

#[test]
fn what_is_no_pipe_is_not_opened() {
    let folder = Folder::new();
    let path = folder.path("file");
    std::fs::write(&path, "text").unwrap();
    assert_eq!(kind_of(PipeReader::open(&path)), ErrorKind::InvalidInput);
    let missing = folder.path("missing");
    assert_eq!(kind_of(PipeReader::open(missing)), ErrorKind::NotFound);
}

#[test]
fn a_pipe_goes_back_to_blocking() {
    for_each_kernel_driver(async || {
        let (mut reader, mut writer) = pipe().unwrap();
        assert!(is_nonblocking(&reader));
        writer.write_all(b"ab").await.unwrap();
        reader.read_exact(&mut [0; 1]).await.unwrap();
        let (error, mut reader) = reader.into_fd().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        reader.read_exact(&mut [0; 1]).await.unwrap();
        let (reader, writer) = (reader.into_fd().unwrap(), writer.into_fd().unwrap());
        assert!(!is_nonblocking(&reader) && !is_nonblocking(&writer));
        File::from(writer).write_all(b"by hand").unwrap();
        let mut all = String::new();
        File::from(reader).read_to_string(&mut all).unwrap();
        assert_eq!(all, "by hand");
    });
}

fn is_nonblocking(fd: &impl AsFd) -> bool {
    fcntl_getfl(fd).unwrap().contains(OFlags::NONBLOCK)
}

/// A folder that goes with its test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let number = std::collections::hash_map::RandomState::new();
        let number = std::hash::BuildHasher::hash_one(&number, 0);
        let path = std::env::temp_dir().join(format!("antiphon-pipe-{number}"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
