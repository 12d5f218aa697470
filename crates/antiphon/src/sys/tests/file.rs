//! Files: read and written at a place, in full or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::Errno;

use super::lab::Lab;
use crate::sys::{FileOp, Op, Token};

/// A file with something in it, which is removed already.
fn file(bytes: &[u8]) -> Arc<File> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("antiphon-driver-{}-{number}", process::id());
    let path: PathBuf = std::env::temp_dir().join(name);
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    fs::remove_file(path).unwrap();
    file.write_all(bytes).unwrap();
    Arc::new(file)
}

fn read(file: &Arc<File>, buffer: Vec<u8>, max: usize, offset: u64) -> Op {
    let file = Arc::clone(file);
    Op::File(FileOp::Read {
        file,
        buffer,
        max,
        offset,
    })
}

fn write(file: &Arc<File>, bytes: &[u8], from: usize, offset: Option<u64>) -> Op {
    let (file, buffer) = (Arc::clone(file), bytes.to_vec());
    Op::File(FileOp::Write {
        file,
        buffer,
        from,
        offset,
    })
}

fn content(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn count(lab: &mut Lab, token: Token) -> (usize, Vec<u8>) {
    let (result, op) = lab.last(token);
    (result.unwrap(), buffer(op))
}

fn buffer(op: Op) -> Vec<u8> {
    match op {
        Op::File(FileOp::Read { buffer, .. } | FileOp::Write { buffer, .. }) => buffer,
        other => panic!("it has no buffer: {other:?}"),
    }
}

pub(super) fn a_file_is_read_where_it_is_said(lab: &mut Lab) {
    let file = file(b"0123456789");
    let mut memory = Vec::with_capacity(64);
    memory.extend_from_slice(b"before ");
    let address = memory.as_ptr();
    let token = lab.submit(read(&file, memory, usize::MAX, 4));
    let (count, bytes) = count(lab, token);
    assert_eq!((count, &bytes[..]), (6, &b"before 456789"[..]));
    assert_eq!(bytes.as_ptr(), address, "the same memory comes back");
    lab.assert_over();
}

pub(super) fn a_read_takes_no_more_than_it_may(lab: &mut Lab) {
    let file = file(b"0123456789");
    for (capacity, max, expected) in [(64, 3, "234"), (2, 9, "23"), (64, 0, ""), (0, 9, "")] {
        let token = lab.submit(read(&file, Vec::with_capacity(capacity), max, 2));
        let (count, bytes) = count(lab, token);
        assert_eq!((count, &bytes[..]), (expected.len(), expected.as_bytes()));
    }
    lab.assert_over();
}

pub(super) fn the_end_of_a_file_is_zero(lab: &mut Lab) {
    let file = file(b"0123456789");
    for offset in [10, 11, 1 << 40] {
        let token = lab.submit(read(&file, Vec::with_capacity(8), 8, offset));
        assert_eq!(count(lab, token), (0, Vec::new()));
    }
    lab.assert_over();
}

pub(super) fn a_file_is_written_where_it_is_said(lab: &mut Lab) {
    let file = file(b"0123456789");
    let token = lab.submit(write(&file, b"..abc", 2, Some(4)));
    assert_eq!(count(lab, token).0, 3);
    assert_eq!(content(&file), b"0123abc789");
    let token = lab.submit(write(&file, b"z", 0, Some(12)));
    assert_eq!(count(lab, token).0, 1);
    assert_eq!(content(&file), b"0123abc789\0\0z");
    lab.assert_over();
}

pub(super) fn a_file_is_appended_to(lab: &mut Lab) {
    let path = std::env::temp_dir().join(format!(
        "antiphon-append-{}-{}",
        process::id(),
        lab.driver.name()
    ));
    let open = || {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap()
    };
    let (one, other) = (Arc::new(open()), Arc::new(open()));
    for (file, bytes) in [(&one, b"a"), (&other, b"b"), (&one, b"c")] {
        let token = lab.submit(write(file, bytes, 0, None));
        assert_eq!(count(lab, token).0, 1);
    }
    let content = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    assert_eq!(content, b"abc");
    lab.assert_over();
}

pub(super) fn a_full_disk_is_an_error(lab: &mut Lab) {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else {
        return println!("SKIPPED: there is no /dev/full");
    };
    let token = lab.submit(write(&Arc::new(full), b"x", 0, Some(0)));
    assert_eq!(lab.errno(token), Errno::NOSPC.raw_os_error());
    lab.assert_over();
}

pub(super) fn a_file_is_synced(lab: &mut Lab) {
    let file = file(b"x");
    for is_data_only in [false, true] {
        let file = Arc::clone(&file);
        let token = lab.submit(Op::File(FileOp::Sync { file, is_data_only }));
        assert_eq!(lab.last(token).0.unwrap(), 0);
    }
    lab.assert_over();
}

pub(super) fn a_directory_is_no_file(lab: &mut Lab) {
    let directory = Arc::new(File::open(std::env::temp_dir()).unwrap());
    let token = lab.submit(read(&directory, Vec::with_capacity(8), 8, 0));
    assert_eq!(lab.errno(token), Errno::ISDIR.raw_os_error());
    lab.assert_over();
}

pub(super) fn a_thousand_reads_are_each_answered(lab: &mut Lab) {
    let bytes: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
    let file = file(&bytes);
    let submit =
        |number: u32| lab.submit(read(&file, Vec::with_capacity(4), 4, u64::from(number) * 4));
    let tokens: Vec<_> = (0..1000).map(submit).collect();
    for (number, token) in (0..1000_u32).zip(tokens) {
        assert_eq!(count(lab, token), (4, number.to_le_bytes().to_vec()));
    }
    lab.assert_over();
}

pub(super) fn a_cancelled_read_has_its_memory_back(lab: &mut Lab) {
    let file = file(b"0123456789");
    for is_started in [false, true] {
        let memory = Vec::with_capacity(32);
        let address = memory.as_ptr();
        let token = lab.submit(read(&file, memory, 4, 0));
        if is_started {
            lab.is_done(token);
        }
        lab.driver.cancel(token);
        lab.driver.cancel(token);
        let (result, op) = lab.last(token);
        let bytes = buffer(op);
        assert_eq!(bytes.as_ptr(), address);
        match result {
            Ok(count) => assert_eq!((count, &bytes[..]), (4, &b"0123"[..])),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(Errno::CANCELED.raw_os_error()));
                assert_eq!(bytes, b"", "it took nothing");
            }
        }
    }
    lab.assert_over();
}

pub(super) fn a_cancelled_write_is_whole_or_nothing(lab: &mut Lab) {
    for round in 0..100 {
        let file = file(b"");
        let token = lab.submit(write(&file, &[7; 10_000], 0, Some(0)));
        if round % 3 == 0 {
            lab.is_done(token);
        }
        lab.driver.cancel(token);
        match lab.last(token).0 {
            Ok(count) => assert_eq!(content(&file), vec![7; count]),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(Errno::CANCELED.raw_os_error()));
                assert_eq!(content(&file), b"", "it did not happen");
            }
        }
    }
    lab.assert_over();
}

pub(super) fn a_descriptor_lives_as_long_as_its_operation(lab: &mut Lab) {
    let file = file(b"0123456789");
    let observer = Arc::downgrade(&file);
    let token = lab.submit(read(&file, Vec::with_capacity(8), 8, 0));
    drop(file);
    assert!(observer.upgrade().is_some(), "the operation has its share");
    let (result, op) = lab.last(token);
    assert_eq!(result.unwrap(), 8);
    drop(op);
    lab.assert_over();
}

pub(super) fn a_driver_is_dropped_with_files_in_flight(lab: &mut Lab) {
    let file = file(&vec![1; 100_000]);
    for round in 0..20 {
        let mut driver = super::lifetime::another(lab);
        for number in 0..32 {
            driver.submit(
                Token(number),
                read(&file, Vec::with_capacity(4096), 4096, number * 512),
            );
            driver.submit(
                Token(100 + number),
                Op::File(FileOp::Sync {
                    file: Arc::clone(&file),
                    is_data_only: true,
                }),
            );
        }
        if round % 2 == 0 {
            driver.wait(Some(driver.now()), &mut Vec::new());
        }
    }
    lab.assert_over();
}
