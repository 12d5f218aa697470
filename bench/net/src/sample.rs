//! What one server did in one window.

use std::io;
use std::time::{Duration, Instant};

use crate::cells::{Cell, Kind, What};
use crate::child::Serving;
use crate::load::{After, Load};
use crate::servers::Server;
use crate::system::Cores;

/// The outcome of one cell on one server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Nanoseconds of the server's processor time for each operation.
    pub(crate) cpu: f64,
    /// Nanoseconds of wall time for each operation, all clients taken together.
    pub(crate) time: f64,
    /// Nanoseconds of latency: of half of the operations, of 99 in a hundred, of 999 in a thousand at most.
    pub(crate) quantiles: [f64; 3],
    /// Bytes of the server's memory for each connection; zero but in a cell of memory.
    pub(crate) bytes: f64,
}

impl Sample {
    /// Returns what is compared.
    pub(crate) fn get(&self, what: What) -> f64 {
        match what {
            What::Cpu => self.cpu,
            What::Time => self.time,
            What::P999 => self.quantiles[2],
        }
    }
}

/// Measures `cell` on a new process of `server`, for so long.
///
/// # Errors
/// If the server can't start, does not answer, or not with what it was sent.
pub(crate) fn measure(
    cell: Cell,
    server: Server,
    window: Duration,
    cores: Cores,
) -> Result<Sample, String> {
    let serving = Serving::start(server, cell.buffer_bytes(), &cores.of_server(cell.workers))?;
    let sample = match cell.kind {
        Kind::Echo => busy(&serving, cell, After::Again, window),
        Kind::Accept => busy(&serving, cell, After::Reconnect, window),
        Kind::Idle => idle(&serving, cell),
    };
    sample.map_err(|error| error.to_string())
}

fn busy(serving: &Serving, cell: Cell, after: After, window: Duration) -> io::Result<Sample> {
    let mut load = Load::new(serving.address, cell.bytes)?;
    load.connect(cell.connections)?;
    load.begin(after)?;
    load.warm_up(window / 4)?;

    let (cpu, start) = (serving.clock.now()?, Instant::now());
    load.measure(window)?;
    let (cpu, time) = (serving.clock.now()?.saturating_sub(cpu), start.elapsed());

    let nanos = |time: Duration| time.as_nanos() as f64 / load.done as f64;
    let quantile = |quantile| load.latencies.value_at_quantile(quantile) as f64;
    Ok(Sample {
        cpu: nanos(cpu),
        time: nanos(time),
        quantiles: [0.5, 0.99, 0.999].map(quantile),
        bytes: 0.0,
    })
}

fn idle(serving: &Serving, cell: Cell) -> io::Result<Sample> {
    let mut load = Load::new(serving.address, cell.bytes)?;
    // The first ones fill what a server keeps, whoever is connected.
    let few = 100;
    load.connect(few)?;
    let before = serving.resident_bytes()?;
    load.connect(few + cell.connections)?;
    let after = serving.resident_bytes()?;
    Ok(Sample {
        bytes: after.saturating_sub(before) as f64 / cell.connections as f64,
        ..Sample::default()
    })
}
