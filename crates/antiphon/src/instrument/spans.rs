//! Spans of the crate `tracing`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use tracing::span::EnteredSpan;
use tracing::{Span, info_span};

use super::{Instrument, TaskView};
use crate::task::TaskId;

/// Has each task run in a span of its own, so that what is told with `tracing` in the task says whose it is.
///
/// The span is called `task`, of level `INFO` and target `antiphon::task`. Its fields are `id`, `name` if the task has one, and
/// `spawned_at`, the line. It is entered around each step, and closed when the task has ended. The span of a group's child
/// follows no other: it is a root, as that of any task. For a task that was spawned before this was added it is made at its next
/// step.
///
/// # Examples
/// ```
/// use antiphon::Runtime;
/// use antiphon::instrument::TaskSpans;
///
/// let mut runtime = Runtime::builder().instrument(TaskSpans::new()).build()?;
/// runtime.run(async || {
///     tracing::info!("in the main task's span");
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct TaskSpans {
    spans: RefCell<BTreeMap<TaskId, Span>>,
    /// Those of the steps under way, the innermost one last.
    entered: RefCell<Vec<(TaskId, EnteredSpan)>>,
}

impl TaskSpans {
    /// Makes the instrument, for one loop.
    pub const fn new() -> Self {
        Self {
            spans: RefCell::new(BTreeMap::new()),
            entered: RefCell::new(Vec::new()),
        }
    }

    fn span(&self, task: &TaskView<'_>) -> Span {
        if let Some(span) = self.spans.borrow().get(&task.id()) {
            return span.clone();
        }
        // A subscriber is somebody else's code: nothing is borrowed.
        let span = info_span!(
            target: "antiphon::task",
            parent: None,
            "task",
            id = task.id().get(),
            name = task.name(),
            spawned_at = %task.origin(),
        );
        self.spans.borrow_mut().insert(task.id(), span.clone());
        span
    }
}

impl Instrument for TaskSpans {
    fn spawned(&self, task: &TaskView<'_>) {
        self.span(task);
    }

    fn before_step(&self, task: &TaskView<'_>) {
        let entered = self.span(task).entered();
        self.entered.borrow_mut().push((task.id(), entered));
    }

    fn after_step(&self, task: &TaskView<'_>) {
        // One that was added in the middle of a step has not heard of its begin.
        let is_own = self
            .entered
            .borrow()
            .last()
            .is_some_and(|(id, _)| *id == task.id());
        if is_own {
            let left = self.entered.borrow_mut().pop();
            drop(left);
        }
    }

    fn exited(&self, task: &TaskView<'_>) {
        let closed = self.spans.borrow_mut().remove(&task.id());
        drop(closed);
    }
}

impl fmt::Debug for TaskSpans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskSpans")
            .field("tasks", &self.spans.borrow().len())
            .finish_non_exhaustive()
    }
}
