//! A server in a process of its own.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use crate::servers::Server;
use crate::system::{self, CpuClock};

/// It is killed when this is dropped.
pub(crate) struct Serving {
    process: Child,
    pub(crate) address: SocketAddr,
    pub(crate) clock: CpuClock,
}

impl Serving {
    /// Starts this program again, as `server`, on `cores`.
    ///
    /// # Errors
    /// What the server says if it can't start.
    pub(crate) fn start(
        server: Server,
        buffer_bytes: usize,
        cores: &[usize],
    ) -> Result<Self, String> {
        let failed = |error: io::Error| error.to_string();
        let program = std::env::current_exe().map_err(failed)?;
        let mut process = Command::new(program)
            .args(["--serve", server.name])
            .arg(buffer_bytes.to_string())
            .arg(
                cores
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(","),
            )
            .env("ANTIPHON_DRIVER", server.driver())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut line = String::new();
        let out = process.stdout.take().expect("it is piped");
        BufReader::new(out).read_line(&mut line).map_err(failed)?;
        let Ok(port) = line.trim().parse() else {
            return Err(last_words(process));
        };
        let serving = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            clock: CpuClock::of(process.id()).map_err(failed)?,
            process,
        };
        Ok(serving)
    }

    /// Returns the bytes of the server that are in memory.
    pub(crate) fn resident_bytes(&self) -> io::Result<u64> {
        system::resident_bytes(self.process.id())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Errors say that it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for a process that ends by itself, and returns what it says.
fn last_words(mut process: Child) -> String {
    let mut message = String::new();
    if let Some(mut errors) = process.stderr.take() {
        let _ = errors.read_to_string(&mut message);
    }
    let status = process.wait().map(|status| status.to_string());
    let line = message.lines().find(|line| !line.is_empty());
    format!(
        "{}: {}",
        status.unwrap_or_else(|error| error.to_string()),
        line.unwrap_or("no word")
    )
}
