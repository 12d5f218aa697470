//! Spawns `true` and waits for it, a thousand times in a round, here and with tokio, in turn. Prints what one costs the
//! parent: the time that passes, and its processor time, each as the median of the rounds and as that of their ratios.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 9;
const PROCESSES: u32 = 1000;

/// What a process costs, in microseconds.
#[derive(Clone, Copy)]
struct Sample {
    passed: f64,
    processor: f64,
}

fn main() {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Whoever comes second finds the machine as the first has left it: so that is alternated.
        if round % 2 == 0 {
            ours.push(measure(antiphon));
            theirs.push(measure(tokio));
        } else {
            theirs.push(measure(tokio));
            ours.push(measure(antiphon));
        }
    }
    for (name, part) in [
        ("passed", (|sample| sample.passed) as fn(&Sample) -> f64),
        ("processor", |sample| sample.processor),
    ] {
        let [ours, theirs] = [&ours, &theirs].map(|samples| samples.iter().map(part));
        let ratios = ours.clone().zip(theirs.clone());
        let ratio = median(ratios.map(|(ours, theirs)| ours / theirs));
        let (ours, theirs) = (median(ours), median(theirs));
        println!("{name:<10} antiphon {ours:7.1} us  tokio {theirs:7.1} us  ratio {ratio:.3}");
    }
}

fn antiphon() {
    antiphon::run(async || {
        for _ in 0..PROCESSES {
            let mut child = antiphon::process::Command::new("true")
                .spawn()
                .expect("it starts");
            assert!(child.wait().await.expect("it ends").success());
        }
    });
}

fn tokio() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("it starts").block_on(async {
        for _ in 0..PROCESSES {
            let mut child = tokio::process::Command::new("true")
                .spawn()
                .expect("it starts");
            assert!(child.wait().await.expect("it ends").success());
        }
    });
}

fn measure(run: fn()) -> Sample {
    let (start, before) = (Instant::now(), processor_time());
    run();
    let each = |duration: Duration| duration.as_secs_f64() * 1e6 / f64::from(PROCESSES);
    Sample {
        passed: each(start.elapsed()),
        processor: each(processor_time().saturating_sub(before)),
    }
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("it is not negative")
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
