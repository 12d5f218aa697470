//! Which processor a thread runs on.

/// This thread is bound to one processor, until this is dropped. Where the system can't do it, it is not.
#[derive(Debug)]
pub(crate) struct Processors {
    #[cfg(target_os = "linux")]
    before: Option<rustix::thread::CpuSet>,
}

#[cfg(target_os = "linux")]
impl Processors {
    /// Binds this thread to the one that is `index`-th of those it may run on. After the last comes the first again.
    pub(crate) fn pin(index: usize) -> Self {
        use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
        let Ok(before) = sched_getaffinity(None) else {
            return Self { before: None };
        };
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU)
            .filter(|cpu| before.is_set(*cpu))
            .collect();
        let mut one = CpuSet::new();
        if let Some(turn) = index.checked_rem(allowed.len()) {
            one.set(allowed[turn]);
        }
        let is_set = sched_setaffinity(None, &one).is_ok();
        Self {
            before: is_set.then_some(before),
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl Processors {
    pub(crate) const fn pin(_: usize) -> Self {
        Self {}
    }
}

#[cfg(target_os = "linux")]
impl Drop for Processors {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // It may have fewer now. Then it stays where it is.
            let _ = rustix::thread::sched_setaffinity(None, before);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::thread::sched_getaffinity;

    #[test]
    fn a_thread_is_bound_for_a_while() {
        std::thread::spawn(|| {
            let before = sched_getaffinity(None).unwrap();
            for index in [0, 1, 1000] {
                let pinned = Processors::pin(index);
                assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
                drop(pinned);
                assert_eq!(sched_getaffinity(None).unwrap(), before);
            }
        })
        .join()
        .unwrap();
    }
}
