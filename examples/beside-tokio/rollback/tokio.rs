//! A transaction that is dropped by a timeout, with tokio.

use std::io;

use tokio::time::{Duration, sleep, timeout};

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() {
    let mut connection = Connection::default();
    let result = timeout(Duration::from_secs(1), transfer(&mut connection)).await;
    match result.unwrap_or_else(|elapsed| Err(elapsed.into())) {
        Ok(()) => println!("transfer: done"),
        Err(error) => println!("transfer: {}", error.kind()),
    }
    // The connection goes back to its pool.
    println!("in a transaction: {}", connection.in_transaction);
}

/// Moves money: all of it or nothing.
async fn transfer(connection: &mut Connection) -> io::Result<()> {
    connection.execute("BEGIN").await?;
    match updates(connection).await {
        Ok(()) => connection.execute("COMMIT").await,
        Err(error) => {
            connection.execute("ROLLBACK").await?;
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
        sleep(Duration::from_secs(if is_locked { 3600 } else { 0 })).await;
        match statement {
            "BEGIN" => self.in_transaction = true,
            "COMMIT" | "ROLLBACK" => self.in_transaction = false,
            _ => {}
        }
        Ok(())
    }
}
