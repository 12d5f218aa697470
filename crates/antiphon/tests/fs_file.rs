//! Files: what is read and written, where, and what becomes of it when something goes wrong.

mod net_support;

use std::io::{ErrorKind, IoSlice, IoSliceMut, SeekFrom};
use std::path::{Path, PathBuf};

use antiphon::context::with;
use antiphon::fs::{self, BufWriter, File, OpenOptions, PathError, TempDir};
use antiphon::io::{Partial, Read, Write};
use antiphon::{CancelScope, Runtime, is_cancelled, join_all, spawn};

use net_support::for_each_driver;

/// Runs `body` on each driver, with a directory to play in.
#[track_caller]
#[allow(
    clippy::needless_pass_by_value,
    reason = "it is written where it is called"
)]
fn in_a_directory(body: impl AsyncFn(&Path)) {
    for_each_driver(async || {
        with(TempDir::new(), async |dir| {
            body(dir.path()).await;
            Ok::<(), std::io::Error>(())
        })
        .await
        .unwrap();
    });
}

async fn open_both(path: impl AsRef<Path>) -> File {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true);
    options.open(path).await.unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    let slow = (0..=250_u8).flat_map(|byte| [byte; 7]);
    slow.cycle().take(len).collect()
}

#[test]
fn what_was_written_is_read() {
    in_a_directory(async |dir| {
        for len in [0, 1, 4095, 4096, 65_536, 1_000_003] {
            let path = dir.join("f");
            let bytes = pattern(len);
            let mut file = File::create(&path).await.unwrap();
            file.write_all(&bytes).await.unwrap();
            assert_eq!(file.position(), len as u64);
            drop(file);
            let mut all = Vec::new();
            let mut file = File::open(&path).await.unwrap();
            assert_eq!(file.read_to_end(&mut all).await.unwrap(), len);
            assert!(all == bytes, "{len}");
            assert_eq!(file.read(&mut [0; 8]).await.unwrap(), 0, "the end");
            assert!(fs::read(&path).await.unwrap() == bytes, "{len}");
        }
    });
}

#[test]
fn reads_of_every_size_go_on_where_the_last_one_ended() {
    in_a_directory(async |dir| {
        let bytes = pattern(300_000);
        fs::write(dir.join("f"), &bytes[..]).await.unwrap();
        let mut file = File::open(dir.join("f")).await.unwrap();
        let mut all = Vec::new();
        let mut buf = vec![0; 100_000];
        for size in [1, 3, 4096, 5000, 70_000, 100_000].into_iter().cycle() {
            assert_eq!(file.position(), all.len() as u64);
            match file.read(&mut buf[..size]).await.unwrap() {
                0 => break,
                count => all.extend_from_slice(&buf[..count]),
            }
        }
        assert!(all == bytes);
    });
}

#[test]
fn the_cursor_is_moved() {
    in_a_directory(async |dir| {
        let mut file = open_both(dir.join("f")).await;
        file.write_all(b"0123456789").await.unwrap();
        let mut two = [0; 2];
        for (to, position, expected) in [
            (SeekFrom::Start(2), 2, b"23"),
            (SeekFrom::Current(1), 5, b"56"),
            (SeekFrom::Current(-6), 1, b"12"),
            (SeekFrom::End(-2), 8, b"89"),
        ] {
            assert_eq!(file.seek(to).await.unwrap(), position);
            file.read_exact(&mut two).await.unwrap();
            assert_eq!(&two, expected);
        }
        let error = file.seek(SeekFrom::End(-11)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(file.position(), 10, "it stays");
        // What is read ahead does not hide what is written.
        file.seek(SeekFrom::Start(0)).await.unwrap();
        file.read_exact(&mut two).await.unwrap();
        file.write_all(b"ab").await.unwrap();
        file.read_exact(&mut two).await.unwrap();
        assert_eq!(&two, b"45");
        assert_eq!(fs::read(dir.join("f")).await.unwrap(), b"01ab456789");
        // Behind the end there are zeros, once something is written there.
        file.seek(SeekFrom::End(2)).await.unwrap();
        assert_eq!(file.read(&mut two).await.unwrap(), 0);
        file.write_all(b"!").await.unwrap();
        assert_eq!(fs::read(dir.join("f")).await.unwrap(), b"01ab456789\0\0!");
        file.set_len(2).await.unwrap();
        assert_eq!(file.metadata().await.unwrap().len(), 2);
    });
}

#[test]
fn places_are_read_and_written() {
    in_a_directory(async |dir| {
        let file = open_both(dir.join("f")).await;
        file.write_all_at(&pattern(1000), 0).await.unwrap();
        let mut buf = [0; 10];
        file.read_exact_at(&mut buf, 500).await.unwrap();
        assert_eq!(buf, pattern(1000)[500..510]);
        let error = file.read_exact_at(&mut buf, 995).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let (mut a, mut b) = ([0; 3], [0; 4]);
        let mut bufs = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
        assert_eq!(file.read_vectored_at(&mut bufs, 100).await.unwrap(), 7);
        assert_eq!([&a[..], &b[..]].concat(), pattern(1000)[100..107]);
        let bufs = [
            IoSlice::new(b"one"),
            IoSlice::new(b""),
            IoSlice::new(b"two"),
        ];
        assert_eq!(file.write_vectored_at(&bufs, 998).await.unwrap(), 6);
        let (count, memory) = file.read_owned_at(Vec::with_capacity(16), 998).await;
        assert_eq!((count.unwrap(), &memory[..]), (6, &b"onetwo"[..]));
        let (result, memory) = file.write_owned_at(b"owned".to_vec(), 0).await;
        result.unwrap();
        assert_eq!(memory, b"owned");
        assert_eq!(file.read_at(&mut [], 0).await.unwrap(), 0);
        assert_eq!(file.write_at(&[], 0).await.unwrap(), 0);
        assert_eq!(file.position(), 0, "the cursor stays");
    });
}

#[test]
fn appending_is_to_the_end_and_nowhere_else() {
    in_a_directory(async |dir| {
        let mut options = OpenOptions::new();
        let options = options.append(true).create(true);
        let mut one = options.open(dir.join("log")).await.unwrap();
        let mut other = options.open(dir.join("log")).await.unwrap();
        one.write_all(b"a").await.unwrap();
        other.write_all(b"b").await.unwrap();
        one.write_all(b"c").await.unwrap();
        assert_eq!(fs::read(dir.join("log")).await.unwrap(), b"abc");
        let error = one.write_at(b"x", 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let std = std::fs::File::options()
            .append(true)
            .open(dir.join("log"))
            .unwrap();
        let file = File::from_std(std).unwrap();
        assert!(file.write_all_at(b"x", 0).await.is_err(), "it is asked for");
    });
}

#[test]
fn a_thousand_reads_at_a_time() {
    in_a_directory(async |dir| {
        let bytes: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(dir.join("f"), bytes).await.unwrap();
        let file = File::open(dir.join("f")).await.unwrap();
        for is_owned in [false, true] {
            let read = |number: u32| {
                let file = &file;
                async move || {
                    let offset = u64::from(number) * 4;
                    let mut four = [0; 4];
                    if is_owned {
                        let (count, memory) =
                            file.read_owned_at(Vec::with_capacity(4), offset).await;
                        assert_eq!(count.unwrap(), 4);
                        four.copy_from_slice(&memory);
                    } else {
                        file.read_exact_at(&mut four, offset).await.unwrap();
                    }
                    assert_eq!(u32::from_le_bytes(four), number);
                }
            };
            let done = join_all((0..1000).map(read)).await;
            assert_eq!(done.len(), 1000);
        }
    });
}

#[test]
fn a_full_disk_is_told() {
    in_a_directory(async |_| {
        let Ok(mut full) = OpenOptions::new().write(true).open("/dev/full").await else {
            return println!("SKIPPED: there is no /dev/full");
        };
        let error = full.write_all(b"lost").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(full.position(), 0, "nothing was written");
        assert_eq!(
            full.write_at(b"x", 0).await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        // Told by the end of a block, too.
        let open = async || Ok::<_, std::io::Error>(BufWriter::new(full.share()));
        let told = with(open(), async |writer| writer.write_all(b"lost").await);
        assert_eq!(told.await.unwrap_err().kind(), ErrorKind::StorageFull);
    });
}

#[test]
fn what_can_not_be_opened_says_why_and_which() {
    in_a_directory(async |dir| {
        let path = dir.join("none");
        let error = File::open(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("none"), "{error}");
        let told = PathError::of(&error).unwrap();
        assert_eq!((told.path(), told.to()), (&*path, None));
        let error = fs::rename(&path, dir.join("other")).await.unwrap_err();
        assert_eq!(
            PathError::of(&error).unwrap().to(),
            Some(&*dir.join("other"))
        );
        // A directory can be opened, as everywhere, and not be read.
        let mut directory = File::open(dir).await.unwrap();
        let error = directory.read(&mut vec![0; 10_000]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        let error = directory.read_at(&mut [0; 10], 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        assert_eq!(
            File::create(dir).await.unwrap_err().kind(),
            ErrorKind::IsADirectory
        );
        File::create_new(&path).await.unwrap();
        let error = File::create_new(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    });
}

#[test]
fn a_socket_is_no_file() {
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let error = File::from_std(std::os::fd::OwnedFd::from(socket).into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotSeekable);
}

#[test]
fn a_file_that_is_removed_is_read_to_its_end() {
    in_a_directory(async |dir| {
        let bytes = pattern(200_000);
        fs::write(dir.join("f"), &bytes[..]).await.unwrap();
        let mut file = File::open(dir.join("f")).await.unwrap();
        let mut all = vec![0; 1000];
        file.read_exact(&mut all).await.unwrap();
        fs::remove_file(dir.join("f")).await.unwrap();
        file.read_to_end(&mut all).await.unwrap();
        assert!(all == bytes);
    });
}

#[test]
fn a_file_that_is_cut_ends_there() {
    in_a_directory(async |dir| {
        fs::write(dir.join("f"), pattern(200_000)).await.unwrap();
        let mut file = File::open(dir.join("f")).await.unwrap();
        file.fill(1).await.unwrap();
        open_both(dir.join("f")).await.set_len(10).await.unwrap();
        file.seek(SeekFrom::Start(150_000)).await.unwrap();
        assert_eq!(file.read(&mut [0; 10]).await.unwrap(), 0);
    });
}

#[test]
fn a_cancelled_call_starts_nothing() {
    in_a_directory(async |dir| {
        let mut file = open_both(dir.join("f")).await;
        file.write_all(b"0123").await.unwrap();
        file.seek(SeekFrom::Start(0)).await.unwrap();
        let scope = CancelScope::new();
        scope.cancel("for the test");
        let outcome = scope
            .run(async || {
                let mut buf = [0; 4];
                assert!(is_cancelled(&file.read(&mut buf).await.unwrap_err()));
                assert!(is_cancelled(&file.read_at(&mut buf, 0).await.unwrap_err()));
                assert!(is_cancelled(&file.write_all(b"x").await.unwrap_err()));
                assert!(is_cancelled(&file.write_at(b"x", 0).await.unwrap_err()));
                let memory = b"given".to_vec();
                let address = memory.as_ptr();
                let (result, memory) = file.read_owned_at(memory, 0).await;
                assert!(is_cancelled(&result.unwrap_err()));
                let (result, memory) = file.write_owned_at(memory, 0).await;
                assert!(is_cancelled(&result.unwrap_err()));
                assert_eq!((memory.as_ptr(), &memory[..]), (address, &b"given"[..]));
                assert!(is_cancelled(&file.sync_all().await.unwrap_err()));
                let error = fs::rename(dir.join("f"), dir.join("g")).await.unwrap_err();
                assert!(is_cancelled(&error));
                assert!(is_cancelled(
                    &fs::write(dir.join("f"), "x").await.unwrap_err()
                ));
                File::create(dir.join("g")).await.map(drop)
            })
            .await;
        assert!(outcome.is_cancelled());
        assert_eq!(fs::read(dir.join("f")).await.unwrap(), b"0123");
        assert!(!fs::try_exists(dir.join("g")).await.unwrap());
        assert_eq!(file.position(), 0);
    });
}

#[test]
fn a_write_that_is_given_up_is_finished_before_the_next() {
    in_a_directory(async |dir| {
        let mut file = File::create(dir.join("f")).await.unwrap();
        let scope = CancelScope::new();
        let bytes = pattern(3_000_000);
        let outcome = scope
            .run(async || {
                let mut write = std::pin::pin!(file.write_all(&bytes));
                let first = futures_util::poll!(write.as_mut());
                assert!(first.is_pending());
                scope.cancel("for the test");
                write.await
            })
            .await;
        if let Err(error) = outcome.into_result() {
            assert_eq!(Partial::of(&error).unwrap().count(), bytes.len());
        }
        file.write_all(b"behind").await.unwrap();
        drop(file);
        let all = fs::read(dir.join("f")).await.unwrap();
        assert_eq!(all.len(), bytes.len() + 6);
        assert!(all.starts_with(&bytes) && all.ends_with(b"behind"));
    });
}

/// Dropped half way, whatever is under way: the descriptor is closed after it, and what was taken over is written.
#[test]
fn a_file_is_dropped_with_operations_under_way() {
    in_a_directory(async |dir| {
        for _ in 0..50 {
            let mut file = open_both(dir.join("f")).await;
            {
                let mut write = std::pin::pin!(file.write_all(b"taken over"));
                let _ = futures_util::poll!(write.as_mut());
            }
            let mut buf = vec![0; 100_000];
            {
                let mut read = std::pin::pin!(file.read_at(&mut buf, 0));
                let _ = futures_util::poll!(read.as_mut());
            }
            {
                let mut read = std::pin::pin!(file.read_owned_at(Vec::with_capacity(9), 0));
                let _ = futures_util::poll!(read.as_mut());
            }
            drop(file);
        }
        // A write that was left to itself may still be on its way.
        while fs::read(dir.join("f")).await.unwrap() != b"taken over" {}
    });
}

#[test]
fn shared_handles_have_cursors_of_their_own() {
    in_a_directory(async |dir| {
        fs::write(dir.join("f"), "0123456789").await.unwrap();
        let mut one = File::open(dir.join("f")).await.unwrap();
        one.seek(SeekFrom::Start(4)).await.unwrap();
        let mut other = one.share();
        let mut two = [0; 2];
        one.read_exact(&mut two).await.unwrap();
        other.read_exact(&mut two).await.unwrap();
        assert_eq!(&two, b"45");
        let mut std = one.into_std().await.unwrap();
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut std, &mut rest).unwrap();
        assert_eq!(rest, "6789");
    });
}

#[test]
fn small_writes_are_gathered_and_dropped_ones_are_written() {
    in_a_directory(async |dir| {
        let file = File::create(dir.join("f")).await.unwrap();
        let mut writer = BufWriter::with_capacity(100, file);
        let mut expected = Vec::new();
        for number in 0..50 {
            let line = format!("line {number}\n");
            writer.write_all(line.as_bytes()).await.unwrap();
            expected.extend_from_slice(line.as_bytes());
        }
        assert!(!writer.gathered().is_empty());
        writer.flush().await.unwrap();
        assert_eq!(fs::read(dir.join("f")).await.unwrap(), expected);
        writer.write_all(b"the end").await.unwrap();
        drop(writer);
        expected.extend_from_slice(b"the end");
        while fs::read(dir.join("f")).await.unwrap() != expected {}
    });
}

#[test]
fn lines_are_those_of_the_file() {
    in_a_directory(async |dir| {
        let long = "x".repeat(200_000);
        fs::write(dir.join("f"), format!("one\r\n\n{long}\nlast"))
            .await
            .unwrap();
        let mut lines = File::open(dir.join("f")).await.unwrap().lines();
        for expected in ["one", "", &long, "last"] {
            assert!(lines.next_line().await.unwrap().as_deref() == Some(expected));
        }
        assert_eq!(lines.next_line().await.unwrap(), None);
    });
}

#[test]
fn files_outlive_their_loop() {
    let mut kept: Option<(File, PathBuf)> = None;
    for kind in [antiphon::DriverKind::Readiness, antiphon::DriverKind::Auto] {
        let mut runtime = Runtime::builder().driver(kind).build().unwrap();
        if let Some((mut file, path)) = kept.take() {
            runtime.run(async || {
                file.write_all(b" and later").await.unwrap();
                assert_eq!(fs::read(&path).await.unwrap(), b"first and later");
                fs::remove_file(&path).await.unwrap();
            });
        } else {
            let mut made = None;
            runtime.run(async || {
                let (mut file, path) = antiphon::fs::TempFile::new().await.unwrap().keep();
                file.write_all(b"first").await.unwrap();
                made = Some((file, path));
            });
            kept = made;
        }
    }
}

#[test]
fn two_tasks_write_one_file() {
    in_a_directory(async |dir| {
        let file = open_both(dir.join("f")).await;
        let tasks: Vec<_> = (0..20_u8)
            .map(|number| {
                let file = file.share();
                spawn(async move || {
                    file.write_all_at(&[number; 512], u64::from(number) * 512)
                        .await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let all = fs::read(dir.join("f")).await.unwrap();
        for (number, block) in all.chunks(512).enumerate() {
            assert!(block.iter().all(|byte| usize::from(*byte) == number));
        }
    });
}
