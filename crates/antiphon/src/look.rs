//! Looking: who waits, for what, on which line, and since when.
//!
//! Every leaf leaves a record while it waits, and a lock notes who takes it, so looking is a *read*: nothing is polled, and
//! next to nothing is paid for it while nobody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::panic::Location;
use std::time::Duration;

use crate::scope::{Cancelled, ScopeId};
use crate::task::{Header, TASK_WAIT, TaskId};
use crate::wait::{Held, Waiting};
use crate::worker::{Worker, current};

/// Takes a picture of the loop's tasks.
///
/// Print it with `{}` as text, or with [`to_json`](Tree::to_json). The moments in it are those of this turn.
///
/// # Panics
/// If no loop is running on this thread.
///
/// # Examples
/// ```
/// use antiphon::{TaskBuilder, run, time, tree, yield_now};
/// use std::time::Duration;
///
/// run(async || {
///     let sleeper = TaskBuilder::new().name("sleeper").spawn(async || {
///         time::sleep(Duration::from_secs(3600)).await;
///     });
///     yield_now().await;
///     let text = tree().to_string();
///     assert!(text.contains("sleeper") && text.contains("sleep"), "{text}");
///     # let _ = sleeper;
/// });
/// ```
#[track_caller]
pub fn tree() -> Tree {
    current(Tree::of)
}

/// A picture of a loop: its tasks, in the order in which they were spawned.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The tasks, parents before their children.
    pub tasks: Vec<TaskSnapshot>,
}

/// A task in a [`Tree`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskSnapshot {
    /// Its number.
    pub id: TaskId,
    /// The task that spawned it, which may have ended; `None` for the main task.
    pub parent: Option<TaskId>,
    /// Its name, if it was given one.
    pub name: Option<String>,
    /// The line that spawned it.
    pub origin: &'static Location<'static>,
    /// What it is doing.
    pub state: TaskState,
    /// The scopes that it is in, outer ones before inner ones.
    pub scopes: Vec<ScopeSnapshot>,
    /// What it waits for; several things, if it waits for any of them.
    pub waits: Vec<Wait>,
}

/// A scope that a task is in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScopeSnapshot {
    /// Its number.
    pub id: ScopeId,
    /// The scope around it, which may be another task's; `None` if that is the loop.
    pub parent: Option<ScopeId>,
    /// The line that entered it.
    pub at: &'static Location<'static>,
    /// Whether it keeps the cancels of the scopes around it off.
    pub is_shield: bool,
    /// In what time its deadline cancels it, from the start of this turn; zero if that is past.
    pub deadline_in: Option<Duration>,
    /// Its own cancel.
    pub cancelled: Option<Cancelled>,
    /// Whether the next wait in it ends as cancelled. If its task waits and nothing is listed that it waits for, a cancel is held
    /// up by a future that is not of this crate.
    pub is_to_hear: bool,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// Its step is under way: it is the one that looks.
    Running,
    /// It has a step due.
    Ready,
    /// It waits: for what, [`TaskSnapshot::waits`] says. If that is empty, for a future that is not of this crate.
    Waiting,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Wait {
    /// The kind of thing: `"sleep"`, `"mutex"`, `"tcp read"`, ….
    pub kind: &'static str,
    /// The task whose end is waited for.
    pub task: Option<TaskId>,
    /// The line that waits; of a wait for a task, the line that spawned that.
    pub at: &'static Location<'static>,
    /// For how long, up to the start of this turn.
    pub elapsed: Duration,
    /// Who holds it, if it is a lock or a semaphore. `None` for the moment between being handed it and taking the next step.
    pub held_by: Option<Holder>,
}

/// Who holds what a task waits for: a [`Mutex`](crate::sync::Mutex), an [`RwLock`](crate::sync::RwLock), or permits of a
/// [`Semaphore`](crate::sync::Semaphore).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// How it is held: `"mutex"`, `"rwlock read"`, `"rwlock write"`, or `"semaphore"`.
    pub kind: &'static str,
    /// How many hold it: 1, or the number of readers. Of a semaphore, how many permits are out; those that were
    /// [forgotten](crate::sync::SemaphorePermit::forget) don't count.
    pub count: usize,
    /// The task that got it last: of several, the others came before it, and it may have gone since. `None` if that has
    /// ended and left the guard to somebody else, or if it was no task of this loop.
    ///
    /// A guard that was kept from an earlier loop of the thread may be taken for that of a task of this one; its line is right.
    pub task: Option<TaskId>,
    /// The line at which that task asked for it. `None` if nobody ever got permits of the semaphore.
    pub at: Option<&'static Location<'static>>,
}

/// Takes a picture of a loop that may be between two steps.
pub(crate) fn tree_of(worker: &Worker) -> Tree {
    Tree::of(worker)
}

impl Wait {
    pub(crate) fn of(worker: &Worker, waiting: Waiting) -> Self {
        Self {
            kind: waiting.kind,
            task: TaskId::new(waiting.note).filter(|_| waiting.kind == TASK_WAIT),
            at: waiting.at,
            elapsed: Duration::from_nanos(worker.clock().saturating_sub(waiting.since)),
            held_by: None,
        }
    }
}

impl Tree {
    fn of(worker: &Worker) -> Self {
        let mut waits: BTreeMap<_, Vec<Wait>> = BTreeMap::new();
        let held = worker.waits().held();
        worker.waits().for_each(|waiting| {
            let held_by = held[waiting.place.index()].map(|held| Holder::of(worker, held));
            let wait = Wait {
                held_by,
                ..Wait::of(worker, waiting)
            };
            waits.entry(waiting.task).or_default().push(wait);
        });
        let mut scopes: BTreeMap<_, Vec<ScopeSnapshot>> = BTreeMap::new();
        worker.scopes().for_each(|open| {
            let Some(task) = open.task else { return };
            scopes.entry(task).or_default().push(ScopeSnapshot {
                id: open.id,
                parent: open.parent,
                at: open.at,
                is_shield: open.is_shield,
                deadline_in: open
                    .deadline
                    .map(|deadline| deadline.saturating_duration_since(worker.now())),
                cancelled: open.cancelled,
                is_to_hear: open.is_to_hear,
            });
        });
        let mut tasks = Vec::new();
        worker.for_each_task(|address, header, is_ready| {
            let state = if worker.running_address() == address {
                TaskState::Running
            } else if is_ready {
                TaskState::Ready
            } else {
                TaskState::Waiting
            };
            tasks.push(TaskSnapshot {
                id: header.id(),
                parent: header.parent(),
                name: header.name().map(str::to_owned),
                origin: header.origin(),
                state,
                scopes: scopes.remove(&address).unwrap_or_default(),
                waits: waits.remove(&address).unwrap_or_default(),
            });
        });
        tasks.sort_by_key(|task| task.id);
        Self { tasks }
    }

    /// Returns the picture as JSON: `{"tasks": [{"id", "parent", "name", "origin", "state", "scopes": [{"id", "parent", "at",
    /// "is_shield", "deadline_in_ns", "cancelled", "is_to_hear"}], "waits": [{"kind", "task", "at", "elapsed_ns", "held_by": {"kind",
    /// "count", "task", "at"}}]}]}`. What is absent is `null`.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{\"tasks\":[");
        for (index, task) in self.tasks.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let parent = task
                .parent
                .map_or_else(|| "null".to_owned(), |parent| parent.to_string());
            let name = task
                .name
                .as_deref()
                .map_or_else(|| "null".to_owned(), quoted);
            let origin = quoted(&task.origin.to_string());
            let (id, state) = (task.id, quoted(task.state.name()));
            let _ = write!(
                json,
                "{comma}{{\"id\":{id},\"parent\":{parent},\"name\":{name},\"origin\":{origin},\"state\":{state},\"scopes\":["
            );
            for (index, scope) in task.scopes.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let parent = scope
                    .parent
                    .map_or_else(|| "null".to_owned(), |parent| parent.to_string());
                let cancelled = scope.cancelled.as_ref().map_or_else(
                    || "null".to_owned(),
                    |cancelled| quoted(&cancelled.to_string()),
                );
                let (id, at) = (scope.id, quoted(&scope.at.to_string()));
                let (is_shield, is_to_hear) = (scope.is_shield, scope.is_to_hear);
                let deadline = scope.deadline_in.map(|left| left.as_nanos().to_string());
                let deadline = deadline.as_deref().unwrap_or("null");
                let _ = write!(
                    json,
                    "{comma}{{\"id\":{id},\"parent\":{parent},\"at\":{at},\"is_shield\":{is_shield},\"deadline_in_ns\":{deadline},\"cancelled\":{cancelled},\"is_to_hear\":{is_to_hear}}}"
                );
            }
            json.push_str("],\"waits\":[");
            for (index, wait) in task.waits.iter().enumerate() {
                let comma = if index == 0 { "" } else { "," };
                let (kind, at) = (quoted(wait.kind), quoted(&wait.at.to_string()));
                let task = wait
                    .task
                    .map_or_else(|| "null".to_owned(), |task| task.to_string());
                let elapsed = wait.elapsed.as_nanos();
                let held_by = wait
                    .held_by
                    .map_or_else(|| "null".to_owned(), Holder::to_json);
                let _ = write!(
                    json,
                    "{comma}{{\"kind\":{kind},\"task\":{task},\"at\":{at},\"elapsed_ns\":{elapsed},\"held_by\":{held_by}}}"
                );
            }
            json.push_str("]}");
        }
        json.push_str("]}");
        json
    }

    /// Returns the picture as a table: a line with the names of the columns, and a line a task, in the order of their numbers.
    ///
    /// Of several things that a task waits for, the first is shown, and how many there are besides.
    ///
    /// # Examples
    /// ```
    /// antiphon::run(async || {
    ///     let table = antiphon::tree().to_table();
    ///     let mut lines = table.lines();
    ///     assert!(lines.next().unwrap().starts_with("ID  PARENT  STATE"));
    ///     assert!(lines.next().unwrap().starts_with("1   -       running"));
    /// });
    /// ```
    pub fn to_table(&self) -> String {
        let heads = [
            "ID",
            "PARENT",
            "STATE",
            "FOR",
            "WAITS FOR",
            "NAME",
            "SPAWNED AT",
        ];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(self.tasks.iter().map(TaskSnapshot::row));
        let mut widths = [0; 7];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut table = String::new();
        for row in &rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table
    }

    /// Returns the tasks in the order in which a tree is printed, each with its depth.
    fn by_depth(&self) -> Vec<(usize, &TaskSnapshot)> {
        let known: BTreeSet<TaskId> = self.tasks.iter().map(|task| task.id).collect();
        let mut children: BTreeMap<Option<TaskId>, Vec<&TaskSnapshot>> = BTreeMap::new();
        for task in &self.tasks {
            // A task whose parent has ended is shown at the root.
            children
                .entry(task.parent.filter(|parent| known.contains(parent)))
                .or_default()
                .push(task);
        }
        // A stack of its own: a chain of spawns may be longer than the thread's stack is deep.
        let mut ordered = Vec::with_capacity(self.tasks.len());
        let mut todo: Vec<_> = children
            .remove(&None)
            .into_iter()
            .flatten()
            .rev()
            .map(|task| (0, task))
            .collect();
        while let Some((depth, task)) = todo.pop() {
            ordered.push((depth, task));
            let below = children.remove(&Some(task.id)).into_iter().flatten();
            todo.extend(below.rev().map(|child| (depth + 1, child)));
        }
        ordered
    }
}

impl TaskSnapshot {
    /// Returns `true` if the task was cancelled, in the innermost scope that it is in, and waits for a future that is not of
    /// this crate: it hears of the cancel when that is ready. See [`droppable`](crate::droppable).
    pub fn is_held_up(&self) -> bool {
        self.state == TaskState::Waiting
            && self.scopes.last().is_some_and(|scope| scope.is_to_hear)
            && self
                .waits
                .iter()
                .all(|wait| matches!(wait.kind, "deadline" | "grace"))
    }
}

impl Holder {
    fn of(worker: &Worker, held: Held) -> Self {
        Self {
            kind: held.kind,
            count: held.count,
            task: worker.with_task(held.task, Header::id),
            at: held.at,
        }
    }

    fn to_json(self) -> String {
        let task = self
            .task
            .map_or_else(|| "null".to_owned(), |task| task.to_string());
        let at = self
            .at
            .map_or_else(|| "null".to_owned(), |at| quoted(&at.to_string()));
        let (kind, count) = (quoted(self.kind), self.count);
        format!("{{\"kind\":{kind},\"count\":{count},\"task\":{task},\"at\":{at}}}")
    }
}

impl TaskSnapshot {
    /// Its line in a table.
    fn row(&self) -> [String; 7] {
        let none = || "-".to_owned();
        let wait = self.waits.first();
        let what = wait.map_or_else(none, |wait| {
            let more = match self.waits.len() {
                1 => String::new(),
                count => format!(" (+{})", count - 1),
            };
            format!("{} {}:{}{more}", wait.kind, wait.at.file(), wait.at.line())
        });
        [
            self.id.to_string(),
            self.parent.map_or_else(none, |parent| parent.to_string()),
            self.state.name().to_owned(),
            wait.map_or_else(none, |wait| format!("{:.1?}", wait.elapsed)),
            what,
            // Whatever is in a name, it stays on its line.
            self.name
                .as_deref()
                .map_or_else(none, |name| name.replace(char::is_control, "\u{fffd}")),
            self.origin.to_string(),
        ]
    }
}

impl TaskState {
    const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
        }
    }
}

/// One line a task, children under their parents, what each waits for below it.
impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, task) in self.by_depth() {
            writeln!(f, "{:indent$}{task}", "", indent = depth * 2)?;
            for scope in &task.scopes {
                writeln!(f, "{:indent$}{scope}", "", indent = depth * 2 + 4)?;
            }
            for wait in &task.waits {
                writeln!(f, "{:indent$}{wait}", "", indent = depth * 2 + 4)?;
            }
            if task.is_held_up() {
                let held_up = "cancel pending behind a foreign future";
                writeln!(f, "{:indent$}{held_up}", "", indent = depth * 2 + 4)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TaskSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.id)?;
        if let Some(name) = &self.name {
            write!(f, "`{name}` ")?;
        }
        write!(f, "{} (spawned at {})", self.state.name(), self.origin)
    }
}

impl fmt::Display for ScopeSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_shield { "shield" } else { "scope" };
        write!(f, "in {kind} {} of {}", self.id, self.at)?;
        if let (Some(left), None) = (self.deadline_in, &self.cancelled) {
            write!(f, ", for {left:?} more")?;
        }
        match &self.cancelled {
            Some(cancelled) => write!(f, ", {cancelled}"),
            None if self.is_to_hear => f.write_str(", cancelled from further out"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind)?;
        if let Some(task) = self.task {
            write!(f, " {task}")?;
        }
        write!(f, " at {} for {:?}", self.at, self.elapsed)?;
        match self.held_by {
            Some(holder) => write!(f, ", {holder}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.count) {
            ("rwlock read", 1) => f.write_str("held by a reader: locked")?,
            ("rwlock read", count) => write!(f, "held by {count} readers: last locked")?,
            ("rwlock write", _) => f.write_str("held by a writer: locked")?,
            ("semaphore", 0) => return f.write_str("no permit is out"),
            ("semaphore", 1) => f.write_str("1 permit is out: last taken")?,
            ("semaphore", count) => write!(f, "{count} permits are out: last taken")?,
            _ => f.write_str("held: locked")?,
        }
        if let Some(task) = self.task {
            write!(f, " by task {task}")?;
        }
        match self.at {
            Some(at) => write!(f, " at {at}"),
            None => Ok(()),
        }
    }
}

/// Returns `text` as a JSON string.
fn quoted(text: &str) -> String {
    let mut json = String::from('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(json, "\\u{:04x}", u32::from(control));
            }
            other => json.push(other),
        }
    }
    json.push('"');
    json
}
