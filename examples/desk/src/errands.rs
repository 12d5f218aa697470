//! `--exec`: a command for each coroutine that has finished, so many at once.
//!
//! Each has a task, which waits for a place and then for the command. When the desk closes these tasks are cancelled: a command
//! that has not begun does not, and one that runs is asked to end, and killed if it does not, before the desk is gone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use antiphon::process::{Command, Stdio};
use antiphon::sync::{self, OwnedSemaphorePermit, Semaphore};
use antiphon::{Cancelled, JoinHandle, TaskBuilder, is_cancelled};

use crate::front::Front;
use crate::input::Quoted;

/// The commands that wait or run.
pub(crate) struct Errands {
    /// The program, and the arguments before the coroutine's number.
    command: Vec<OsString>,
    /// So many run at once.
    jobs: Rc<Semaphore>,
    /// So many wait or run. Whoever would start one more waits.
    places: Rc<Semaphore>,
    /// By the coroutine's number.
    unfinished: RefCell<BTreeMap<usize, JoinHandle<()>>>,
    /// Set while none is unfinished.
    idle: sync::Event,
    front: Rc<Front>,
}

/// So many may wait for a job, before those who make them wait as well.
const WAITING_MAX: usize = 1000;

const MISSED: &str = "not begun, because the desk closes";

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// A command that says more than this on standard error is ended.
const STDERR_BYTES_MAX: usize = 1 << 20;

impl Errands {
    /// Prepares to run `command`, a program and its arguments with white space between them, for at most `jobs` coroutines at once.
    pub(crate) fn new(command: &str, jobs: usize, front: Rc<Front>) -> Rc<Self> {
        let idle = sync::Event::new();
        idle.set();
        Rc::new(Self {
            command: command.split_whitespace().map(OsString::from).collect(),
            jobs: Rc::new(Semaphore::new(jobs)),
            places: Rc::new(Semaphore::new(jobs + WAITING_MAX)),
            unfinished: RefCell::default(),
            idle,
            front,
        })
    }

    /// Waits until one more may be started. `None` if the wait was cancelled.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.acquire_owned(1).await.ok()
    }

    /// Runs the command for coroutine `id`, when there is a job free.
    pub(crate) fn start(self: &Rc<Self>, id: usize, place: OwnedSemaphorePermit) {
        let errands = Rc::clone(self);
        let name = format!("exec {id}");
        let task = TaskBuilder::new().name(&name).spawn(async move || {
            // It is dropped when the task ends.
            let _place = place;
            if let Err(trouble) = errands.run(id).await {
                errands.front.warn(&format!("exec {id}: {trouble}"));
            }
            errands.end(id);
        });
        self.idle.clear();
        self.unfinished.borrow_mut().insert(id, task);
    }

    /// Says that the command is not run for coroutine `id`.
    pub(crate) fn miss(&self, id: usize) {
        self.front.warn(&format!("exec {id}: {MISSED}"));
    }

    /// Waits until none is unfinished.
    pub(crate) async fn idle(&self) -> Result<(), Cancelled> {
        self.idle.wait().await
    }

    /// Has all that are unfinished end. [`idle`](Self::idle) then waits until they have.
    pub(crate) fn cancel(&self) {
        for task in self.unfinished.borrow().values() {
            task.cancel("the desk closes");
        }
    }

    fn end(&self, id: usize) {
        let mut unfinished = self.unfinished.borrow_mut();
        unfinished.remove(&id);
        if unfinished.is_empty() {
            self.idle.set();
        }
    }

    /// Runs the command to its end. The error says what a person wants to know.
    async fn run(&self, id: usize) -> Result<(), String> {
        let Ok(_job) = self.jobs.acquire(1).await else {
            return Err(MISSED.into());
        };
        let Some((program, arguments)) = self.command.split_first() else {
            return Err("there is no command".into());
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(id.to_string())
            .stdout(Stdio::null())
            .grace(GRACE)
            .output_max(STDERR_BYTES_MAX);
        match command.output().await {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                let last = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
                Err(match last {
                    Some(line) => format!("{}: {}", output.status, Quoted(line)),
                    None => output.status.to_string(),
                })
            }
            Err(error) if is_cancelled(&error) => Err("ended, because the desk closes".into()),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err("ended, because it says too much on standard error".into())
            }
            Err(error) => Err(format!(
                "can't run {}: {error}",
                Path::new(program).display()
            )),
        }
    }
}
