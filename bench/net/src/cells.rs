//! The cells: what the clients do, and what the project promises of it.

/// Something to measure on every server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    /// Bytes of a message.
    pub(crate) bytes: usize,
    /// Clients at the same time, each with one message under way.
    pub(crate) connections: usize,
    /// Threads of a server.
    pub(crate) workers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message there and back, again and again.
    Echo,
    /// A connection, a message there and back, and the end of the connection.
    Accept,
    /// Connections that have had an echo and are silent; what counts is their memory.
    Idle,
}

const KIB: usize = 1024;

impl Cell {
    pub(crate) const ALL: [Self; 15] = [
        Self::echo(64, 1),
        Self::echo(64, 50),
        Self::echo(64, 500),
        Self::echo(64, 5000),
        Self::echo(4 * KIB, 1),
        Self::echo(4 * KIB, 50),
        Self::echo(4 * KIB, 500),
        Self::echo(4 * KIB, 5000),
        Self::echo(64 * KIB, 1),
        Self::echo(64 * KIB, 50),
        Self::new(Kind::Accept, 64, 1),
        Self::new(Kind::Accept, 64, 32),
        Self::new(Kind::Idle, 64, 5000),
        Self::echo(64, 50).on(2),
        Self::echo(64, 500).on(2),
    ];

    const fn echo(bytes: usize, connections: usize) -> Self {
        Self::new(Kind::Echo, bytes, connections)
    }

    const fn new(kind: Kind, bytes: usize, connections: usize) -> Self {
        Self {
            kind,
            bytes,
            connections,
            workers: 1,
        }
    }

    const fn on(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Returns the cell's name on the command line.
    pub(crate) fn key(self) -> String {
        let connections = self.connections;
        match self.kind {
            Kind::Echo if self.workers > 1 => format!("workers-{connections}"),
            Kind::Echo if self.bytes < KIB => format!("echo-{}-{connections}", self.bytes),
            Kind::Echo => format!("echo-{}k-{connections}", self.bytes / KIB),
            Kind::Accept => format!("accept-{connections}"),
            Kind::Idle => format!("idle-{connections}"),
        }
    }

    /// Returns `true` if `text` is the key of this cell, or of none and a part of this one's.
    pub(crate) fn is_meant_by(self, text: &str) -> bool {
        let is_key = Self::ALL.iter().any(|cell| cell.key() == text);
        self.key() == text || !is_key && self.key().contains(text)
    }

    /// Returns the bytes of the buffer that a server reads into.
    pub(crate) const fn buffer_bytes(self) -> usize {
        if self.bytes > 4 * KIB {
            64 * KIB
        } else {
            4 * KIB
        }
    }

    /// Returns what the project promises of this cell. Nothing of memory.
    pub(crate) fn bars(self) -> &'static [Bar] {
        match self.kind {
            Kind::Echo if self.workers > 1 => WORKERS,
            Kind::Echo if self.bytes > 4 * KIB => LARGE_ECHO,
            Kind::Echo => ECHO,
            Kind::Accept => ACCEPT,
            Kind::Idle => &[],
        }
    }
}

const ECHO: &[Bar] = &[
    Bar::new(Ours::Uring, What::Cpu, Beside::BestPeer, 1.0),
    Bar::new(Ours::Uring, What::Cpu, Beside::Limit, 1.05),
    Bar::new(Ours::Readiness, What::Cpu, Beside::Tokio, 1.0),
    Bar::new(Ours::Uring, What::P999, Beside::Tokio, 1.0),
    Bar::new(Ours::Readiness, What::P999, Beside::Tokio, 1.0),
];

const LARGE_ECHO: &[Bar] = &[
    Bar::new(Ours::Uring, What::Cpu, Beside::BestPeer, 1.0),
    Bar::new(Ours::Uring, What::Time, Beside::BestPeer, 1.0),
    Bar::new(Ours::Readiness, What::Cpu, Beside::Tokio, 1.0),
];

const WORKERS: &[Bar] = &[
    Bar::new(Ours::Uring, What::Cpu, Beside::Tokio, 0.9),
    Bar::new(Ours::Readiness, What::Cpu, Beside::Tokio, 0.9),
];

const ACCEPT: &[Bar] = &[
    Bar::new(Ours::Uring, What::Cpu, Beside::BestPeer, 1.0),
    Bar::new(Ours::Uring, What::Cpu, Beside::Tokio, 0.9),
    Bar::new(Ours::Readiness, What::Cpu, Beside::Tokio, 1.0),
];

/// The most that a ratio of ours may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    pub(crate) ours: Ours,
    pub(crate) what: What,
    pub(crate) beside: Beside,
    pub(crate) most: f64,
}

impl Bar {
    const fn new(ours: Ours, what: What, beside: Beside, most: f64) -> Self {
        Self {
            ours,
            what,
            beside,
            most,
        }
    }
}

/// Which of our drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ours {
    Uring,
    Readiness,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The server's processor time for each operation.
    Cpu,
    /// Wall time for each operation, all clients taken together.
    Time,
    /// The latency that one operation in a thousand exceeds.
    P999,
}

/// With whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// The peer with the best median.
    BestPeer,
    /// The better one of the servers without a runtime.
    Limit,
    Tokio,
}
