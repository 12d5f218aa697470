//! Files, interrupted at every point: in virtual time, with files of the system.

mod explore_support;

use std::io;
use std::path::Path;

use antiphon::context::with;
use antiphon::explore::{Explorer, Fault, exposed};
use antiphon::fs::{self, BufWriter, File, TempDir, TempFile};
use antiphon::io::{Read, Write};
use antiphon::spawn;

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// A directory of the test, made outside of the explored program so that its name is not drawn anew in each run.
fn directory(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("antiphon-explore-{}-{name}", std::process::id()));
    std::fs::create_dir(&dir).unwrap();
    dir
}

#[track_caller]
fn explore<F: Future<Output = ()>>(name: &str, program: impl Fn(std::path::PathBuf) -> F) {
    let dir = directory(name);
    let explorer = Explorer::new().faults(&[Fault::Cancel, Fault::Panic, Fault::Error]);
    let result = explorer.run(|| program(dir.clone()));
    std::fs::remove_dir_all(dir).unwrap();
    match result {
        Ok(all) => println!("{name}: {} points, {} runs", all.points(), all.runs()),
        Err(failure) => panic!("{name}: {failure}"),
    }
}

#[test]
fn a_replaced_file_is_the_old_one_or_the_new_one() {
    explore("replace", |dir| async move {
        let path = dir.join("settings");
        std::fs::write(&path, "old").unwrap();
        let (there, aside) = (path.clone(), dir.clone());
        let task = spawn(async move || {
            let _ = aside;
            exposed(async || {
                with(fs::replace(&there), async |new| {
                    new.write_all(b"n").await?;
                    new.write_all(b"ew").await
                })
                .await
            })
            .await
            .into_result()
            .is_ok()
        });
        let is_done = task.await.unwrap_or(false);
        let content = std::fs::read_to_string(&path).unwrap();
        assert!(content == "old" || content == "new", "{content:?}");
        assert!(!is_done || content == "new");
        assert_eq!(names(&dir), ["settings"]);
    });
}

#[test]
fn what_is_temporary_goes() {
    explore("temp", |dir| async move {
        let inside = dir.clone();
        let task = spawn(async move || {
            exposed(async || {
                with(TempDir::new_in(&inside), async |temp| {
                    fs::write(temp.path().join("x"), "x").await?;
                    with(TempFile::new_in(&inside), async |file| {
                        fs::copy(temp.path().join("x"), file.path()).await
                    })
                    .await
                })
                .await
            })
            .await
            .into_result()
            .is_ok()
        });
        let _ = task.await;
        assert_eq!(names(&dir), [""; 0]);
    });
}

/// Each line is in the file whole, in order, and as many as were taken over at least.
#[test]
fn what_was_taken_over_is_written() {
    explore("writes", |dir| async move {
        let path = dir.join("log");
        let _ = std::fs::remove_file(&path);
        let (there, counted) = (path.clone(), std::rc::Rc::new(std::cell::Cell::new(0)));
        let count = std::rc::Rc::clone(&counted);
        let task = spawn(async move || {
            exposed(async || {
                let mut file = File::create(&there).await?;
                for number in 0..3 {
                    file.write_all(format!("{number}\n").as_bytes()).await?;
                    count.set(number + 1);
                }
                file.sync_all().await?;
                let mut lines = File::open(&there).await?.lines();
                while lines.next_line().await?.is_some() {}
                let mut writer = BufWriter::new(file);
                writer.write_all(b"3\n").await?;
                with(async { Ok::<_, io::Error>(writer) }, async |writer| {
                    writer.write_all(b"4\n").await
                })
                .await
            })
            .await
            .into_result()
            .is_ok()
        });
        let is_done = task.await.unwrap_or(false);
        let content = std::fs::read_to_string(&path).unwrap_or_default();
        assert!("0\n1\n2\n3\n4\n".starts_with(&content), "{content:?}");
        assert!(content.len() >= counted.get() * 2, "{content:?}");
        assert!(!is_done || content.len() == 10);
    });
}
