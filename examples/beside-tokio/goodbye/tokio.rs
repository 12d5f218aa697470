//! A farewell that has to be awaited, when the program ends, with tokio.

use tokio::time::{Duration, sleep};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    for name in ["ada", "bob"] {
        tokio::spawn(serve(name));
    }
    // It stands for `tokio::signal::ctrl_c()`.
    sleep(Duration::from_secs(1)).await;
    println!("main: ends");
}

/// Serves a client until it is told to stop, and then says goodbye.
async fn serve(name: &'static str) {
    let session = Session::open(name);
    session.messages().await;
    session.close().await;
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
    async fn messages(&self) {
        sleep(Duration::MAX).await;
    }

    /// Says goodbye, and waits for the answer.
    async fn close(mut self) {
        sleep(Duration::from_millis(10)).await;
        println!("{}: goodbye", self.name);
        self.is_closed = true;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.is_closed {
            println!("{}: gone without a word", self.name);
        }
    }
}
