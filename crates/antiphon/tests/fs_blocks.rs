//! Temporary files, files that are replaced, and what is done to names: also when a block is cancelled, panics, or is dropped.

mod net_support;

use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use antiphon::context::with;
use antiphon::fs::{self, TempDir, TempFile};
use antiphon::io::Write;
use antiphon::{CancelScope, is_cancelled, yield_now};
use futures_util::FutureExt;

use net_support::for_each_driver;

#[track_caller]
#[allow(
    clippy::needless_pass_by_value,
    reason = "it is written where it is called"
)]
fn in_a_directory(body: impl AsyncFn(&Path)) {
    for_each_driver(async || {
        with(TempDir::new(), async |dir| {
            body(dir.path()).await;
            Ok::<(), io::Error>(())
        })
        .await
        .unwrap();
    });
}

async fn names(dir: &Path) -> Vec<String> {
    let mut entries = fs::read_dir(dir).await.unwrap();
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.unwrap() {
        names.push(entry.file_name().to_str().unwrap().to_owned());
    }
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Waits until what was handed over to the loop has been done.
async fn until_empty(dir: &Path) {
    while !names(dir).await.is_empty() {
        yield_now().await.unwrap();
    }
}

#[test]
fn what_is_temporary_is_ours_alone_and_goes() {
    in_a_directory(async |dir| {
        with(TempFile::new_in(dir), async |file| {
            assert_eq!(mode(file.path()), 0o600);
            file.write_all(b"x").await
        })
        .await
        .unwrap();
        with(TempDir::new_in(dir), async |inner| {
            assert_eq!(mode(inner.path()), 0o700);
            fs::create_dir_all(inner.path().join("a/b")).await?;
            fs::write(inner.path().join("a/b/c"), "x").await
        })
        .await
        .unwrap();
        drop(TempFile::new_in(dir).await.unwrap());
        drop(TempDir::new_in(dir).await.unwrap());
        assert_eq!(names(dir).await, [""; 0]);
        // What somebody else has removed is gone, and that is no error.
        with(TempFile::new_in(dir), async |file| {
            fs::remove_file(file.path()).await
        })
        .await
        .unwrap();
        let (file, path) = TempFile::new_in(dir).await.unwrap().keep();
        drop(file);
        assert!(fs::try_exists(path).await.unwrap());
    });
}

#[test]
fn however_the_block_ends_it_goes() {
    in_a_directory(async |dir| {
        // An error, a cancel, a panic.
        let failed = with(TempFile::new_in(dir), async |_| {
            Err::<(), _>(io::Error::other("no"))
        });
        assert!(failed.await.is_err());
        let scope = CancelScope::new();
        let cancelled = scope.run(async || {
            with(TempDir::new_in(dir), async |inner| {
                fs::write(inner.path().join("x"), "x").await?;
                scope.cancel("enough");
                yield_now().await.map_err(io::Error::from)
            })
            .await
        });
        assert!(is_cancelled(&cancelled.await.into_result().unwrap_err()));
        let body = with(TempFile::new_in(dir), async |_| -> io::Result<()> {
            panic!("for the test")
        });
        assert!(AssertUnwindSafe(body).catch_unwind().await.is_err());
        assert_eq!(names(dir).await, [""; 0]);
        // Dropped half way, wherever that is.
        for steps in 0..20 {
            let mut block = Box::pin(with(TempDir::new_in(dir), async |inner| {
                fs::write(inner.path().join("x"), "x").await?;
                fs::write(inner.path().join("y"), "y").await
            }));
            for _ in 0..steps {
                if futures_util::poll!(block.as_mut()).is_ready() {
                    break;
                }
                yield_now().await.unwrap();
            }
            drop(block);
            until_empty(dir).await;
        }
    });
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() {
    in_a_directory(async |dir| {
        let path = dir.join("settings");
        with(fs::replace(&path), async |new| {
            new.write_all(b"first").await
        })
        .await
        .unwrap();
        assert_eq!(fs::read(&path).await.unwrap(), b"first");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        fs::symlink("settings", dir.join("link")).await.unwrap();
        with(fs::replace(dir.join("link")), async |new| {
            new.write_all(b"second").await?;
            assert_eq!(fs::read(&path).await?, b"first", "not before the end");
            Ok::<_, io::Error>(())
        })
        .await
        .unwrap();
        assert_eq!(fs::read(&path).await.unwrap(), b"second");
        assert_eq!(mode(&path), 0o640);
        assert!(
            fs::symlink_metadata(dir.join("link"))
                .await
                .unwrap()
                .is_symlink()
        );

        let failed = with(fs::replace(&path), async |new| {
            new.write_all(b"half").await?;
            Err::<(), _>(io::Error::other("no"))
        });
        assert!(failed.await.is_err());
        drop(fs::replace(&path).await.unwrap());
        // The file that it would take the place of can't be.
        fs::create_dir(dir.join("d")).await.unwrap();
        let error = with(fs::replace(dir.join("d")), async |_| Ok::<_, io::Error>(()));
        assert_eq!(error.await.unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = with(fs::replace(dir.join("no/f")), async |_| {
            Ok::<_, io::Error>(())
        });
        assert_eq!(error.await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::read(&path).await.unwrap(), b"second");
        assert_eq!(names(dir).await, ["d", "link", "settings"]);
    });
}

#[test]
fn names_are_made_changed_and_removed() {
    in_a_directory(async |dir| {
        fs::create_dir_all(dir.join("a/b/c")).await.unwrap();
        fs::write(dir.join("a/f"), "f").await.unwrap();
        fs::rename(dir.join("a/f"), dir.join("a/g")).await.unwrap();
        fs::hard_link(dir.join("a/g"), dir.join("a/h"))
            .await
            .unwrap();
        fs::symlink("g", dir.join("a/i")).await.unwrap();
        assert_eq!(names(&dir.join("a")).await, ["b", "g", "h", "i"]);
        assert_eq!(fs::read_to_string(dir.join("a/i")).await.unwrap(), "f");
        assert_eq!(
            fs::read_link(dir.join("a/i")).await.unwrap(),
            Path::new("g")
        );
        let resolved = fs::canonicalize(dir.join("a/b/../i")).await.unwrap();
        assert!(resolved.ends_with("a/g"));
        assert!(fs::metadata(dir.join("a/i")).await.unwrap().is_file());
        let error = fs::remove_dir(dir.join("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
        fs::sync_dir(dir).await.unwrap();
        fs::remove_dir_all(dir.join("a")).await.unwrap();
        assert_eq!(names(dir).await, [""; 0]);
    });
}

#[test]
fn many_names_are_read_in_batches() {
    in_a_directory(async |dir| {
        let mut expected: Vec<_> = (0..600).map(|number| format!("f{number}")).collect();
        for name in &expected {
            std::fs::write(dir.join(name), "").unwrap();
        }
        expected.sort();
        assert_eq!(names(dir).await, expected);
    });
}

#[test]
fn a_copy_has_the_bytes_and_the_permissions() {
    in_a_directory(async |dir| {
        let bytes: Vec<u8> = (0..3_000_000_u32)
            .map(|number| (number / 3 % 251) as u8)
            .collect();
        fs::write(dir.join("f"), &bytes[..]).await.unwrap();
        std::fs::set_permissions(dir.join("f"), std::fs::Permissions::from_mode(0o604)).unwrap();
        assert_eq!(
            fs::copy(dir.join("f"), dir.join("g")).await.unwrap(),
            3_000_000
        );
        assert!(fs::read(dir.join("g")).await.unwrap() == bytes);
        assert_eq!(mode(&dir.join("g")), 0o604);
        let error = fs::copy(dir, dir.join("h")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(" to "), "{error}");
        let error = fs::copy(dir.join("f"), "/dev/full").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    });
}
