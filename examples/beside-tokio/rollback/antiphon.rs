//! The same transfer with Antiphon: the timeout is an error in the body, which rolls back.

use std::io;
use std::time::Duration;

use antiphon::time::{sleep, timeout};
use antiphon::{DriverKind, Runtime, shield};

fn main() -> io::Result<()> {
    let builder = Runtime::builder().driver(DriverKind::VirtualTime);
    builder.build()?.run(async || {
        let mut connection = Connection::default();
        let result = timeout(Duration::from_secs(1), async || {
            transfer(&mut connection).await
        });
        match result.await {
            Ok(()) => println!("transfer: done"),
            Err(error) => println!("transfer: {}", error.kind()),
        }
        // The connection goes back to its pool.
        println!("in a transaction: {}", connection.in_transaction);
        Ok(())
    })
}

/// Moves money: all of it or nothing.
async fn transfer(connection: &mut Connection) -> io::Result<()> {
    connection.execute("BEGIN").await?;
    match updates(connection).await {
        Ok(()) => connection.execute("COMMIT").await,
        Err(error) => {
            shield(async || connection.execute("ROLLBACK").await).await?;
            Err(error)
        }
    }
}

async fn updates(connection: &mut Connection) -> io::Result<()> {
    connection
        .execute("UPDATE ada SET money = money - 10")
        .await?;
    connection
        .execute("UPDATE bob SET money = money + 10")
        .await
}

/// A connection to a database, in which somebody else has locked Bob's account.
#[derive(Default)]
struct Connection {
    in_transaction: bool,
}

impl Connection {
    async fn execute(&mut self, statement: &str) -> io::Result<()> {
        println!("  {statement}");
        let is_locked = statement.contains("bob");
        sleep(Duration::from_secs(if is_locked { 3600 } else { 0 })).await?;
        match statement {
            "BEGIN" => self.in_transaction = true,
            "COMMIT" | "ROLLBACK" => self.in_transaction = false,
            _ => {}
        }
        Ok(())
    }
}
