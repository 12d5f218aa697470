//! The same with Antiphon: what was spawned for a request ends with it.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use antiphon::time::{sleep, timeout};
use antiphon::{DriverKind, Runtime, group};

fn main() -> io::Result<()> {
    let builder = Runtime::builder().driver(DriverKind::VirtualTime);
    builder.build()?.run(async || {
        let bank = Bank::default();
        for attempt in 1..=2 {
            let request = timeout(Duration::from_secs(1), async || {
                check_out(&bank, attempt).await
            });
            match request.await {
                Ok(()) => println!("request {attempt}: thank you"),
                Err(error) => println!("request {attempt}: {}, please try again", error.kind()),
            }
        }
        sleep(Duration::from_secs(60)).await?;
        println!("charges: {}", bank.charges.get());
        Ok(())
    })
}

/// Charges, and packs at the same time.
async fn check_out(bank: &Bank, attempt: u32) -> io::Result<()> {
    let served = group(async |group| {
        group.spawn(async move || bank.charge(attempt).await);
        group.spawn(async || Ok(sleep(Duration::from_millis(10)).await?));
        Ok(())
    });
    served.await.map_err(io::Error::from)
}

#[derive(Default)]
struct Bank {
    charges: Cell<u32>,
}

impl Bank {
    /// Slow at first.
    async fn charge(&self, attempt: u32) -> io::Result<()> {
        println!("request {attempt}: asks the bank");
        sleep(Duration::from_secs(if attempt == 1 { 2 } else { 0 })).await?;
        self.charges.set(self.charges.get() + 1);
        println!("request {attempt}: charged");
        Ok(())
    }
}
