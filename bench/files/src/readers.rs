//! The same reads, as each runtime spells them.

use std::fs::File as StdFile;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use antiphon::{DriverKind, Runtime};
use compio::io::AsyncReadAtExt;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::Row;

type Reader = fn(&Path, Row);

/// We come first.
pub(crate) const READERS: [(&str, Reader); 6] = [
    ("**antiphon, io_uring**", |path, row| {
        antiphon(DriverKind::Auto, path, row)
    }),
    ("**antiphon, epoll**", |path, row| {
        antiphon(DriverKind::Readiness, path, row)
    }),
    ("**antiphon, memory given away**", antiphon_owned),
    ("tokio", tokio_reader),
    ("compio", compio_reader),
    ("threads, `pread`", threads),
];

fn antiphon(driver: DriverKind, path: &Path, row: Row) {
    let mut runtime = Runtime::builder()
        .driver(driver)
        .build()
        .expect("it starts");
    runtime.run(async || {
        let file = antiphon::fs::File::open(path).await.expect("it opens");
        let lane = |lane| {
            let file = &file;
            async move || {
                let mut buf = vec![0; row.block];
                for offset in row.offsets(lane) {
                    file.read_exact_at(&mut buf, offset)
                        .await
                        .expect("it is read");
                    black_box(&buf);
                }
            }
        };
        antiphon::join_all((0..row.depth).map(lane)).await;
    });
}

fn antiphon_owned(path: &Path, row: Row) {
    let mut runtime = Runtime::builder().build().expect("it starts");
    runtime.run(async || {
        let file = antiphon::fs::File::open(path).await.expect("it opens");
        let lane = |lane| {
            let file = &file;
            async move || {
                let mut memory = Vec::with_capacity(row.block);
                for offset in row.offsets(lane) {
                    let result;
                    memory.clear();
                    (result, memory) = file.read_owned_at(memory, offset).await;
                    assert_eq!(result.expect("it is read"), row.block);
                    black_box(&memory);
                }
            }
        };
        antiphon::join_all((0..row.depth).map(lane)).await;
    });
}

/// It has no reads at a place: in sequence it reads as its users do, at random it has its pool call `pread`.
fn tokio_reader(path: &Path, row: Row) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("it starts");
    runtime.block_on(async {
        if !row.is_random {
            let mut file = tokio::fs::File::open(path).await.expect("it opens");
            let mut buf = vec![0; row.block];
            for offset in row.offsets(0) {
                if offset == 0 {
                    file.rewind().await.expect("it goes back");
                }
                file.read_exact(&mut buf).await.expect("it is read");
                black_box(&buf);
            }
            return;
        }
        let file = Arc::new(StdFile::open(path).expect("it opens"));
        let lane = |lane| {
            let file = Arc::clone(&file);
            async move {
                let mut buf = vec![0; row.block];
                for offset in row.offsets(lane) {
                    let file = Arc::clone(&file);
                    let read = tokio::task::spawn_blocking(move || {
                        file.read_exact_at(&mut buf, offset).expect("it is read");
                        buf
                    });
                    buf = read.await.expect("it does not panic");
                    black_box(&buf);
                }
            }
        };
        join_all((0..row.depth).map(lane)).await;
    });
}

fn compio_reader(path: &Path, row: Row) {
    let runtime = compio::runtime::Runtime::new().expect("it starts");
    runtime.block_on(async {
        let file = compio::fs::File::open(path).await.expect("it opens");
        let lane = |lane| {
            let file = &file;
            async move {
                let mut memory = Vec::with_capacity(row.block);
                for offset in row.offsets(lane) {
                    memory.clear();
                    let read = file.read_exact_at(memory, offset).await;
                    read.0.expect("it is read");
                    memory = read.1;
                    black_box(&memory);
                }
            }
        };
        join_all((0..row.depth).map(lane)).await;
    });
}

/// One thread for each of those that are under way together.
fn threads(path: &Path, row: Row) {
    let file = Arc::new(StdFile::open(path).expect("it opens"));
    let lane = |lane| {
        let file = Arc::clone(&file);
        thread::spawn(move || {
            let mut buf = vec![0; row.block];
            for offset in row.offsets(lane) {
                file.read_exact_at(&mut buf, offset).expect("it is read");
                black_box(&buf);
            }
        })
    };
    let threads: Vec<_> = (0..row.depth).map(lane).collect();
    for thread in threads {
        thread.join().expect("it does not panic");
    }
}
