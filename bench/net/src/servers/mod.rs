//! The servers: each binds a port of its own, says which, and sends back what arrives until it is ended.
//!
//! All set `TCP_NODELAY` and read into a buffer of the same size, that lives as long as the connection. A connection that
//! breaks is dropped; clients are reset at the end of a measurement.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;

mod antiphon;
mod compio;
mod glommio;
mod limit_epoll;
mod limit_uring;
mod monoio;
mod smol;
mod tokio;

/// A server under its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// Threads that serve.
    pub(crate) workers: usize,
    serve: fn(buffer_bytes: usize) -> Result<Infallible, String>,
}

/// What a server is to the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Under test.
    Ours,
    /// A runtime like ours.
    Peer,
    /// No runtime: what the system costs if it is asked with as little as possible.
    Limit,
    /// Measured only if it is named.
    Extra,
}

/// All of them, ours first.
pub(crate) const SERVERS: [Server; 17] = [
    Server::new(OURS, Role::Ours, antiphon::uring),
    Server::new(READINESS, Role::Ours, antiphon::readiness),
    Server::new(TOKIO, Role::Peer, tokio::serve),
    Server::new("smol", Role::Peer, smol::serve),
    Server::new("monoio", Role::Peer, monoio::plain),
    Server::new("monoio-defer", Role::Peer, monoio::deferring),
    Server::new("compio", Role::Peer, compio::plain),
    Server::new("compio-defer", Role::Peer, compio::deferring),
    Server::new("glommio", Role::Peer, glommio::serve),
    Server::new("limit-uring", Role::Limit, limit_uring::serve),
    Server::new("limit-epoll", Role::Limit, limit_epoll::serve),
    Server::new("antiphon-owned", Role::Extra, antiphon::owned),
    Server::new("antiphon-fill", Role::Extra, antiphon::fill),
    Server::new(
        "antiphon-readiness-fill",
        Role::Extra,
        antiphon::readiness_fill,
    ),
    Server::new("antiphon-2", Role::Ours, antiphon::workers).on(2),
    Server::new("antiphon-readiness-2", Role::Ours, antiphon::workers).on(2),
    Server::new("tokio-2", Role::Peer, tokio::workers).on(2),
];

/// Ours on `io_uring`.
pub(crate) const OURS: &str = "antiphon";
/// Ours on epoll.
pub(crate) const READINESS: &str = "antiphon-readiness";
pub(crate) const TOKIO: &str = "tokio";

impl Server {
    const fn new(
        name: &'static str,
        role: Role,
        serve: fn(usize) -> Result<Infallible, String>,
    ) -> Self {
        Self {
            name,
            role,
            workers: 1,
            serve,
        }
    }

    const fn on(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Returns `true` for the server of this name, with however many threads.
    pub(crate) fn is_named(self, name: &str) -> bool {
        self.name == name || self.workers > 1 && self.name == format!("{name}-{}", self.workers)
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        SERVERS.into_iter().find(|server| server.name == name)
    }

    /// Serves until the process ends.
    ///
    /// # Errors
    /// Why it can't.
    pub(crate) fn serve(self, buffer_bytes: usize) -> Result<Infallible, String> {
        (self.serve)(buffer_bytes)
    }

    /// Returns the variable of the environment that chooses our driver.
    pub(crate) fn driver(self) -> &'static str {
        if self.name.starts_with(READINESS) {
            "readiness"
        } else {
            "io_uring"
        }
    }
}

/// Where servers bind.
const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Says where the server listens.
fn announce(address: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", address.port())?;
    out.flush()
}

/// Makes the error that a server ends with a message.
fn told<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}
