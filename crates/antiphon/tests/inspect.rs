//! A program that is looked at through a socket.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener as StdListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use antiphon::context::with;
use antiphon::io::{Read, Write};
use antiphon::net::UnixStream;
use antiphon::{CancelScope, DriverKind, Runtime, inspect, is_cancelled, spawn, time};

/// A path of its own, in a folder that goes with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("antiphon-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs `main` on each driver, with a path that is free.
fn on_each_driver(name: &str, main: impl AsyncFn(&Path) + Copy) {
    for driver in [DriverKind::Auto, DriverKind::Readiness] {
        let place = Place::new(name);
        let mut runtime = Runtime::builder().driver(driver).build().unwrap();
        runtime.run(async || main(&place.socket()).await);
    }
}

async fn ask(path: &Path, request: &[u8]) -> io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(request).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

#[test]
fn each_picture_is_what_the_program_sees_itself() {
    on_each_driver("inspect-pictures", async |path| {
        let inspector = inspect::open(path).await.unwrap();
        let tree = ask(path, b"antiphon 1 tree\n").await.unwrap();
        assert!(
            tree.starts_with("antiphon 1 ok\n1 `main` waiting"),
            "{tree}"
        );
        assert!(tree.contains("`inspector's client` running"), "{tree}");
        assert!(tree.contains("`inspector` waiting (spawned at"), "{tree}");
        assert!(tree.contains("tests/inspect.rs"), "{tree}");
        let table = ask(path, b"antiphon 1 ps\r\n").await.unwrap();
        assert!(table.starts_with("antiphon 1 ok\nID  PARENT"), "{table}");
        let json = ask(path, b"antiphon 1 json").await.unwrap();
        assert!(json.starts_with("antiphon 1 ok\n{\"tasks\":["), "{json}");
        drop(inspector);
    });
}

#[test]
fn what_is_no_request_is_refused() {
    on_each_driver("inspect-garbage", async |path| {
        let _inspector = inspect::open(path).await.unwrap();
        for garbage in [
            &b""[..],
            b"\n",
            b"GET / HTTP/1.1\r\n",
            b"antiphon 2 tree\n",
            b"\xff\xfe\x00\n",
            &[b'x'; 64],
        ] {
            let answer = ask(path, garbage).await.unwrap();
            assert!(answer.starts_with("antiphon 1 error: "), "{answer}");
        }
        // It is there for the next one.
        let tree = ask(path, b"antiphon 1 tree\n").await.unwrap();
        assert!(tree.starts_with("antiphon 1 ok\n"));
    });
}

#[test]
fn the_socket_is_its_owners_alone() {
    on_each_driver("inspect-mode", async |path| {
        let _inspector = inspect::open(path).await.unwrap();
        let found = fs::symlink_metadata(path).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, 0o600);
    });
}

#[test]
fn it_is_removed_at_the_end_of_the_block() {
    on_each_driver("inspect-block", async |path| {
        with(inspect::open(path), async |_inspector| {
            assert!(path.exists());
            Ok::<(), io::Error>(())
        })
        .await
        .unwrap();
        assert!(!path.exists());
    });
}

#[test]
fn serving_ends_when_it_is_cancelled() {
    on_each_driver("inspect-cancel", async |path| {
        let scope = CancelScope::new();
        let server = {
            let (scope, path) = (scope.clone(), path.to_owned());
            spawn(async move || scope.run(async || inspect::serve(path).await).await)
        };
        while ask(path, b"antiphon 1 tree\n").await.is_err() {
            antiphon::yield_now().await.unwrap();
        }
        scope.cancel("it was enough");
        let error = server.await.unwrap().into_result().unwrap_err();
        assert!(is_cancelled(&error), "{error}");
        assert!(!path.exists());
    });
}

#[test]
fn a_socket_that_nobody_listens_at_is_replaced() {
    on_each_driver("inspect-stale", async |path| {
        drop(StdListener::bind(path).unwrap());
        assert!(path.exists(), "as after a crash");
        let _inspector = inspect::open(path).await.unwrap();
        assert!(ask(path, b"antiphon 1 tree\n").await.is_ok());
    });
}

#[test]
fn what_is_somebody_elses_is_left_alone() {
    on_each_driver("inspect-taken", async |path| {
        let check = async || {
            let error = inspect::open(path).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        };
        let first = inspect::open(path).await.unwrap();
        check().await;
        assert!(ask(path, b"antiphon 1 tree\n").await.is_ok());
        with(async move { Ok::<_, io::Error>(first) }, async |_| {
            Ok::<(), io::Error>(())
        })
        .await
        .unwrap();

        fs::write(path, "a file").unwrap();
        check().await;
        assert_eq!(fs::read(path).unwrap(), b"a file");
        fs::remove_file(path).unwrap();

        let _datagrams = UnixDatagram::bind(path).unwrap();
        check().await;
        assert!(path.exists());
    });
}

/// More clients than are answered at one time are silent, and one of them never reads; the others' turn comes when they go.
#[test]
fn silent_clients_hold_nobody_but_those_behind_them() {
    on_each_driver("inspect-silent", async |path| {
        let _inspector = inspect::open(path).await.unwrap();
        let mut silent = Vec::new();
        for _ in 0..16 {
            silent.push(UnixStream::connect(path).await.unwrap());
        }
        let path = path.to_owned();
        let patient = spawn(async move || ask(&path, b"antiphon 1 ps\n").await);
        // The loop goes on meanwhile.
        time::sleep(Duration::ZERO).await.unwrap();
        drop(silent);
        assert!(patient.await.unwrap().unwrap().starts_with("antiphon 1 ok"));
    });
}
