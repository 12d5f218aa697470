//! A future that waits for a lock, and that nobody polls, with tokio.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::{Duration, sleep, timeout};

type Journal = Mutex<Vec<&'static str>>;

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let journal = Arc::new(Journal::default());
    tokio::spawn(back_up(Arc::clone(&journal)));
    sleep(Duration::from_millis(1)).await;

    match timeout(Duration::from_secs(3600), save_and_tell(&journal)).await {
        Ok(()) => println!("journal: {:?}", journal.lock().await),
        Err(_) => println!("nothing happens for an hour"),
    }
}

/// Saves, and tells every second that it has not been done yet.
async fn save_and_tell(journal: &Journal) {
    let mut save = pin!(save(journal));
    loop {
        tokio::select! {
            () = &mut save => return,
            () = sleep(Duration::from_secs(1)) => tell(journal).await,
        }
    }
}

async fn back_up(journal: Arc<Journal>) {
    let _guard = journal.lock().await;
    println!("backup: has the journal");
    sleep(Duration::from_secs(2)).await;
    println!("backup: done");
}

async fn save(journal: &Journal) {
    println!("save: waits for the journal");
    let mut entries = journal.lock().await;
    println!("save: has the journal");
    sleep(Duration::from_millis(10)).await;
    entries.push("saved");
}

async fn tell(journal: &Journal) {
    println!("tell: waits for the journal");
    let mut entries = journal.lock().await;
    println!("tell: has the journal");
    entries.push("slow today");
}
