//! A task that outlives the request it was spawned for, with tokio.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::time::{Duration, sleep, timeout};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let bank = Arc::new(Bank::default());
    for attempt in 1..=2 {
        let request = timeout(Duration::from_secs(1), check_out(&bank, attempt));
        match request.await.unwrap_or_else(|elapsed| Err(elapsed.into())) {
            Ok(()) => println!("request {attempt}: thank you"),
            Err(error) => println!("request {attempt}: {}, please try again", error.kind()),
        }
    }
    sleep(Duration::from_secs(60)).await;
    println!("charges: {}", bank.charges.load(Relaxed));
}

/// Charges, and packs at the same time.
async fn check_out(bank: &Arc<Bank>, attempt: u32) -> io::Result<()> {
    let bank = Arc::clone(bank);
    let charge = tokio::spawn(async move { bank.charge(attempt).await });
    let parcel = tokio::spawn(sleep(Duration::from_millis(10)));
    parcel.await?;
    charge.await?
}

#[derive(Default)]
struct Bank {
    charges: AtomicU32,
}

impl Bank {
    /// Slow at first.
    async fn charge(&self, attempt: u32) -> io::Result<()> {
        println!("request {attempt}: asks the bank");
        sleep(Duration::from_secs(if attempt == 1 { 2 } else { 0 })).await;
        self.charges.fetch_add(1, Relaxed);
        println!("request {attempt}: charged");
        Ok(())
    }
}
