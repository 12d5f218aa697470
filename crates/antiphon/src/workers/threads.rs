//! The threads of the workers after the first, which run as often as the first one does.

use std::any::Any;
use std::fmt;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::crew::{Crew, Place};
use crate::sys::Processors;
use crate::thread::{self as threads, Handle};
use crate::worker::Worker;

/// How the workers after the first are to be made. Called on the thread of each.
pub(crate) type Plan = Arc<dyn Fn() -> io::Result<Worker> + Send + Sync>;

/// The workers after the first.
pub(crate) struct Threads {
    members: Vec<Member>,
    /// For how long they may go on when the main task has ended.
    grace: Duration,
    is_pinned: bool,
}

struct Member {
    orders: Sender<Order>,
    reports: Receiver<Report>,
    /// `None` if it did not come back from a run.
    thread: Option<thread::JoinHandle<()>>,
}

/// A run to be taken part in.
struct Order {
    place: Place,
    /// Closed when the main task has ended.
    end: threads::Receiver<()>,
}

enum Report {
    Ready(io::Result<()>),
    Entered(Handle),
    Left(Result<(), Box<dyn Any + Send>>),
}

/// A worker has so long after its grace to drop what is left. Then it is held by something.
const SLACK: Duration = Duration::from_secs(2);

impl Threads {
    /// Starts so many workers.
    ///
    /// # Errors
    /// If the system gives no thread, or not what a loop needs. Those that have started are ended.
    pub(crate) fn start(
        count: usize,
        plan: &Plan,
        grace: Duration,
        is_pinned: bool,
    ) -> io::Result<Self> {
        let mut members = Vec::with_capacity(count);
        for index in 1..=count {
            members.push(Member::start(index, Arc::clone(plan), is_pinned)?);
        }
        let threads = Self {
            members,
            grace,
            is_pinned,
        };
        for member in &threads.members {
            member.wait_until_ready()?;
        }
        Ok(threads)
    }

    /// Has all of them begin a run.
    ///
    /// # Panics
    /// If one did not come back from the last run.
    pub(crate) fn begin(&mut self) -> Shift<'_> {
        // Asked of all first: none begins a run that another one can't take part in.
        for (index, member) in (1..).zip(&self.members) {
            assert!(
                member.thread.is_some(),
                "worker {index} did not come back from the last run"
            );
        }
        let crew = Arc::<Crew>::default();
        let mut ends = Vec::new();
        for (index, member) in (1..).zip(&self.members) {
            let (end, ended) = threads::channel(1);
            let place = Place::new(Arc::clone(&crew), index);
            let order = Order { place, end: ended };
            assert!(
                member.orders.send(order).is_ok(),
                "the thread of worker {index} has ended"
            );
            ends.push(end);
        }
        let mut shift = Shift {
            threads: self,
            crew,
            handles: Vec::new(),
            ends,
            is_over: false,
            panic: None,
        };
        for index in 0..shift.threads.members.len() {
            match shift.threads.members[index].reports.recv() {
                Ok(Report::Entered(handle)) => shift.handles.push(handle),
                Ok(Report::Left(Err(payload))) => resume_unwind(payload),
                Ok(Report::Left(Ok(())) | Report::Ready(_)) | Err(_) => {
                    panic!("worker {} did not begin", index + 1)
                }
            }
        }
        shift
    }
}

/// A run of all workers. Dropped, it waits for their ends.
pub(crate) struct Shift<'a> {
    threads: &'a mut Threads,
    crew: Arc<Crew>,
    handles: Vec<Handle>,
    /// Dropped, they end the workers' runs.
    ends: Vec<threads::Sender<()>>,
    /// Set when all have ended, or were given up.
    is_over: bool,
    /// The first panic of a worker.
    panic: Option<Box<dyn Any + Send>>,
}

/// Dropped when the main task has ended, it has the others end.
pub(crate) struct Ends(Vec<threads::Sender<()>>);

impl Drop for Ends {
    fn drop(&mut self) {
        // The last first, as they were started.
        while self.0.pop().is_some() {}
    }
}

impl Shift<'_> {
    /// Makes this thread the first worker's, until what is returned is dropped.
    pub(crate) fn take_place(&self) -> impl Sized + use<> {
        let place = Place::new(Arc::clone(&self.crew), 0);
        let processors = self.threads.is_pinned.then(|| Processors::pin(0));
        (place.take(), processors)
    }

    /// Makes the loop that is running on this thread the first worker's. What is returned ends the others when it is dropped.
    pub(crate) fn enter(&mut self) -> Ends {
        let mut handles = vec![Handle::current()];
        handles.append(&mut self.handles);
        self.crew.set(handles);
        Ends(std::mem::take(&mut self.ends))
    }

    /// Waits until all have ended. The first panic among them goes on.
    pub(crate) fn end(mut self) {
        self.wait();
        if let Some(payload) = self.panic.take() {
            resume_unwind(payload);
        }
    }

    fn wait(&mut self) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        self.ends.clear();
        for (index, member) in (1..).zip(&mut self.threads.members) {
            let Some(thread) = member.thread.take() else {
                continue;
            };
            let patience = self.threads.grace.saturating_add(SLACK);
            let left = loop {
                match member.reports.recv_timeout(patience) {
                    Ok(Report::Left(result)) => break Some(result),
                    Ok(Report::Entered(_) | Report::Ready(_)) => {}
                    Err(RecvTimeoutError::Disconnected) => break Some(Ok(())),
                    Err(RecvTimeoutError::Timeout) => break None,
                }
            };
            match left {
                Some(result) => {
                    member.thread = Some(thread);
                    if let Err(payload) = result {
                        self.panic.get_or_insert(payload);
                    }
                }
                None => report_held(index, patience),
            }
        }
    }
}

impl Drop for Shift<'_> {
    fn drop(&mut self) {
        self.wait();
        if let Some(payload) = self.panic.take() {
            // The panic hook has told of it, and we are in a destructor.
            std::mem::forget(payload);
        }
    }
}

/// Tells that a worker is left behind.
#[cold]
fn report_held(index: usize, patience: Duration) {
    // If nobody can read it, there is nobody to tell.
    let _ = writeln!(
        io::stderr(),
        "antiphon: worker {index} did not end within {patience:?}, because a task on it does not wait for anything; \
         its thread is left behind"
    );
}

impl Member {
    fn start(index: usize, plan: Plan, is_pinned: bool) -> io::Result<Self> {
        let (orders, taken) = channel();
        let (told, reports) = channel();
        let thread = thread::Builder::new()
            .name(format!("antiphon worker {index}"))
            .spawn(move || {
                let _processors = is_pinned.then(|| Processors::pin(index));
                work(&plan, &taken, &told);
            })?;
        Ok(Self {
            orders,
            reports,
            thread: Some(thread),
        })
    }

    fn wait_until_ready(&self) -> io::Result<()> {
        match self.reports.recv() {
            Ok(Report::Ready(result)) => result,
            Ok(Report::Entered(_) | Report::Left(_)) | Err(_) => {
                Err(io::Error::other("a worker's thread has ended"))
            }
        }
    }
}

/// What a worker's thread does.
fn work(plan: &Plan, orders: &Receiver<Order>, reports: &Sender<Report>) {
    let worker = match plan() {
        Ok(worker) => worker,
        Err(error) => {
            let _ = reports.send(Report::Ready(Err(error)));
            return;
        }
    };
    // Who does not listen any more has gone, and so will this.
    let _ = reports.send(Report::Ready(Ok(())));
    for Order { place, mut end } in orders {
        let run = || {
            let _place = place.take();
            worker.run(async {
                let _ = reports.send(Report::Entered(Handle::current()));
                // Nobody sends: it is closed.
                while let Ok(Some(())) = end.recv().await {}
            });
        };
        let result = catch_unwind(AssertUnwindSafe(run));
        let _ = reports.send(Report::Left(result));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Without orders the thread ends.
        let (none, _) = channel();
        drop(std::mem::replace(&mut self.orders, none));
        if let Some(thread) = self.thread.take() {
            if let Err(payload) = thread.join() {
                std::mem::forget(payload);
            }
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads")
            .field("len", &self.members.len())
            .field("is_pinned", &self.is_pinned)
            .finish_non_exhaustive()
    }
}
