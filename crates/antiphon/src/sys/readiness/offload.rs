//! What readiness knows nothing of: operations on files, done by the pool.
//!
//! ```text
//!   submit ──▶ queue of the pool ──▶ a thread: done ──▶ finished ──▶ wait hands it out
//!                 │ cancel: taken back                     │
//!                 └──▶ over, and did not happen            └── rings the bell
//! ```
//! It is below the seam, so that an operation of a file has one completion as any other, whoever does it: it can be left to
//! itself, or be cancelled, without a word about threads further up.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Completion;
use crate::sys::file::FileOp;
use crate::sys::op::{Op, Output, Token};
use crate::sys::tokens::TokenHasher;
use crate::thread::{Job, Pool};
use crate::worker::Kick;

/// The operations that the pool has.
pub(super) struct Offload {
    jobs: HashMap<Token, Arc<Call>, BuildHasherDefault<TokenHasher>>,
    shared: Arc<Shared>,
}

/// Where the threads put what they have done.
struct Shared {
    finished: Mutex<Vec<Token>>,
    kick: Arc<dyn Kick>,
}

struct Call {
    token: Token,
    shared: Arc<Shared>,
    stage: Mutex<Stage>,
}

enum Stage {
    Queued(FileOp),
    /// A thread has it.
    Begun(FileOp),
    UnderWay,
    Done(FileOp, io::Result<usize>),
    /// Taken back, or taken out.
    Gone,
}

impl Offload {
    pub(super) fn new(kick: Arc<dyn Kick>) -> Self {
        let finished = Mutex::default();
        Self {
            jobs: HashMap::default(),
            shared: Arc::new(Shared { finished, kick }),
        }
    }

    /// Has the pool do it.
    ///
    /// # Errors
    /// Gives it back if the system gives no thread, with what it says.
    pub(super) fn submit(&mut self, token: Token, op: FileOp) -> Result<(), (FileOp, io::Error)> {
        let call = Arc::new(Call {
            token,
            shared: Arc::clone(&self.shared),
            stage: Mutex::new(Stage::Queued(op)),
        });
        match Pool::global().submit(call.clone()) {
            Ok(()) => {
                self.jobs.insert(token, call);
                Ok(())
            }
            Err(error) => match call.replace(Stage::Gone) {
                Stage::Queued(op) => Err((op, error)),
                _ => unreachable!("no thread has it"),
            },
        }
    }

    /// Takes an operation back that has not begun.
    pub(super) fn cancel(&mut self, token: Token) -> Option<FileOp> {
        let call = self.jobs.get(&token)?;
        let mut unbegun = None;
        let is_retracted = Pool::global().retract(|| {
            let mut stage = lock(&call.stage);
            match std::mem::replace(&mut *stage, Stage::Gone) {
                Stage::Queued(op) => unbegun = Some(op),
                other => *stage = other,
            }
            unbegun.is_some()
        });
        if is_retracted {
            self.jobs.remove(&token);
        }
        unbegun
    }

    /// Takes out what is done.
    pub(super) fn collect(&mut self, mut take: impl FnMut(Completion)) {
        if self.jobs.is_empty() {
            return;
        }
        let finished = std::mem::take(&mut *lock(&self.shared.finished));
        for token in finished {
            let Some(call) = self.jobs.remove(&token) else {
                continue;
            };
            let Stage::Done(op, result) = call.replace(Stage::Gone) else {
                unreachable!("it is finished")
            };
            take(Completion {
                token,
                result: result.map(Output::Count),
                op: Some(Op::File(op)),
            });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }
}

impl Call {
    fn replace(&self, stage: Stage) -> Stage {
        std::mem::replace(&mut *lock(&self.stage), stage)
    }
}

impl Job for Call {
    fn is_queued(&self) -> bool {
        matches!(*lock(&self.stage), Stage::Queued(_))
    }

    fn begin(&self) -> bool {
        let mut stage = lock(&self.stage);
        let Stage::Queued(op) = std::mem::replace(&mut *stage, Stage::Gone) else {
            return false;
        };
        *stage = Stage::Begun(op);
        true
    }

    fn run(&self) -> bool {
        let Stage::Begun(mut op) = self.replace(Stage::UnderWay) else {
            unreachable!("it has begun, and is not taken back any more")
        };
        let result = op.perform();
        self.replace(Stage::Done(op, result));
        true
    }

    /// If the driver has gone meanwhile, what it rings is nobody's, and the memory goes with the last thread.
    fn deliver(&self) -> bool {
        lock(&self.shared.finished).push(self.token);
        self.shared.kick.kick();
        true
    }
}

impl std::fmt::Debug for Offload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offload")
            .field("jobs", &self.len())
            .finish_non_exhaustive()
    }
}

/// A panic can't leave it half way: each step under a lock is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
