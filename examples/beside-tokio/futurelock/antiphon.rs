//! The same with Antiphon: a race owns its branches, and polls them all.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use antiphon::sync::Mutex;
use antiphon::time::{sleep, timeout};
use antiphon::{Cancelled, DriverKind, Race2, Runtime, race, spawn};

type Journal = Mutex<Vec<&'static str>>;

fn main() -> io::Result<()> {
    let builder = Runtime::builder().driver(DriverKind::VirtualTime);
    builder.build()?.run(async || {
        let journal = Rc::new(Journal::default());
        let backed_up = Rc::clone(&journal);
        let backup = spawn(async move || back_up(&backed_up).await);
        sleep(Duration::from_millis(1)).await?;

        let hour = Duration::from_secs(3600);
        match timeout(hour, async || save_and_tell(&journal).await).await {
            Ok(()) => println!("journal: {:?}", journal.lock().await?),
            Err(_) => println!("nothing happens for an hour"),
        }
        Ok(backup.await.expect("a backup does not panic")?)
    })
}

/// Saves, and tells every second that it has not been done yet.
async fn save_and_tell(journal: &Journal) -> Result<(), Cancelled> {
    let tell_on = async || {
        loop {
            sleep(Duration::from_secs(1)).await?;
            tell(journal).await?;
        }
    };
    match race((async || save(journal).await, tell_on)).await {
        Race2::First(saved, _) => saved,
        // It tells until it is cancelled.
        Race2::Second(told, saved) => saved.unwrap_or(told),
    }
}

async fn back_up(journal: &Journal) -> Result<(), Cancelled> {
    let _guard = journal.lock().await?;
    println!("backup: has the journal");
    sleep(Duration::from_secs(2)).await?;
    println!("backup: done");
    Ok(())
}

async fn save(journal: &Journal) -> Result<(), Cancelled> {
    println!("save: waits for the journal");
    let mut entries = journal.lock().await?;
    println!("save: has the journal");
    sleep(Duration::from_millis(10)).await?;
    entries.push("saved");
    Ok(())
}

async fn tell(journal: &Journal) -> Result<(), Cancelled> {
    println!("tell: waits for the journal");
    let mut entries = journal.lock().await?;
    println!("tell: has the journal");
    entries.push("slow today");
    Ok(())
}
