//! Time, and processor time of all threads.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What a round trip costs, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) processor: f64,
    pub(crate) passed: f64,
}

/// How long a batch is, at least.
const BATCH: Duration = Duration::from_millis(10);
const BATCHES: usize = 5;

/// Samples, batch by batch. The first one is for warming up.
pub(crate) struct Batches {
    start: Instant,
    before: Duration,
    trips: u32,
    samples: Vec<Sample>,
}

impl Batches {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            before: processor_time(),
            trips: 0,
            samples: Vec::with_capacity(BATCHES + 1),
        }
    }

    /// Counts `trips` more. Returns `false` when there is enough.
    pub(crate) fn go_on_after(&mut self, trips: u32) -> bool {
        self.trips += trips;
        let passed = self.start.elapsed();
        if passed >= BATCH {
            let each = |duration: Duration| duration.as_secs_f64() * 1e9 / f64::from(self.trips);
            self.samples.push(Sample {
                processor: each(processor_time().saturating_sub(self.before)),
                passed: each(passed),
            });
            (self.start, self.before, self.trips) = (Instant::now(), processor_time(), 0);
        }
        self.samples.len() <= BATCHES
    }

    /// Returns the middle of the batches.
    pub(crate) fn sample(&self) -> Sample {
        let middle = |part: fn(&Sample) -> f64| median(self.samples.iter().skip(1).map(part));
        Sample {
            processor: middle(|sample| sample.processor),
            passed: middle(|sample| sample.passed),
        }
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("it is not negative")
}

/// Returns the middle value.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
