//! The same with Antiphon: who is left when the program ends is told, and has its grace.

use std::io;
use std::time::Duration;

use antiphon::time::sleep;
use antiphon::{Cancelled, DriverKind, Runtime, shield, spawn};

fn main() -> io::Result<()> {
    let builder = Runtime::builder().driver(DriverKind::VirtualTime);
    builder.build()?.run(async || {
        for name in ["ada", "bob"] {
            drop(spawn(async move || serve(name).await));
        }
        // It stands for whatever says that the program is to end.
        sleep(Duration::from_secs(1)).await?;
        println!("main: ends");
        Ok(())
    })
}

/// Serves a client until it is told to stop, and then says goodbye.
async fn serve(name: &'static str) -> Result<(), Cancelled> {
    let session = Session::open(name);
    let served = session.messages().await;
    shield(async || session.close().await).await?;
    served
}

/// A connection to a client, who wants to know when it ends.
struct Session {
    name: &'static str,
    is_closed: bool,
}

impl Session {
    fn open(name: &'static str) -> Self {
        println!("{name}: hello");
        Self {
            name,
            is_closed: false,
        }
    }

    /// Passes messages on, as long as there are some.
    async fn messages(&self) -> Result<(), Cancelled> {
        sleep(Duration::MAX).await
    }

    /// Says goodbye, and waits for the answer.
    async fn close(mut self) -> Result<(), Cancelled> {
        sleep(Duration::from_millis(10)).await?;
        println!("{}: goodbye", self.name);
        self.is_closed = true;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_closed {
            println!("{}: gone without a word", self.name);
        }
    }
}
