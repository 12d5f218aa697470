//! A child as the loop knows it.

use std::panic::Location;
use std::rc::Rc;
use std::task::Context;

use super::ready::Ready;
use crate::scope::ScopeRef;
use crate::task::{Task, TaskId};
use crate::worker::{Address, Worker};

/// A child's task and scope.
#[derive(Clone, Copy)]
pub(super) struct Identity {
    /// Its place in the group.
    index: usize,
    /// Those of its stand-in.
    stamp: u64,
    address: Address,
    scope: ScopeRef,
}

impl Identity {
    /// Makes the child at `index` known. `None` if the loop is closing.
    pub(super) fn new(
        worker: &Worker,
        id: TaskId,
        (ready, index): (&Rc<Ready>, usize),
        group: ScopeRef,
        name: Option<Box<str>>,
        at: &'static Location<'static>,
    ) -> Option<Self> {
        let (parent, has_locals) = worker.parent();
        let (stand_in, stamp) = ready.stand_in(index);
        let task = Task::without_handle(stand_in, id.get(), parent, at);
        task.header().set_stand_in();
        if has_locals || name.is_some() {
            let locals = has_locals
                .then(|| worker.with_running(|parent| parent.locals()?.inherit()))
                .flatten();
            task.header().set_extra(name, locals.unwrap_or_default());
        }
        let address = worker.admit(task)?;
        Some(Self {
            index,
            stamp,
            address,
            scope: worker.scopes().enter_below(group, address, false, at),
        })
    }

    pub(super) const fn address(self) -> Address {
        self.address
    }

    pub(super) const fn scope(self) -> ScopeRef {
        self.scope
    }

    /// Calls `f` as the child: as its task, in its scope, with its waker. After its loop has ended, in another one, it is
    /// called as who is there.
    pub(super) fn act<T>(
        self,
        worker: &Worker,
        ready: &Ready,
        f: impl FnOnce(&mut Context<'_>) -> T,
    ) -> T {
        let waker = self.address.waker();
        let act = || f(&mut Context::from_waker(&waker));
        if !ready.has_stand_in(self.index, self.stamp) {
            return act();
        }
        worker.step_as(self.address, || {
            worker.scopes().within(self.scope, &waker, act)
        })
    }

    /// Leaves its scope, and takes its stand-in away.
    pub(super) fn end(self, worker: &Worker, ready: &Ready) {
        if !ready.has_stand_in(self.index, self.stamp) {
            return;
        }
        worker.scopes().leave(self.scope);
        if !ready.ends_by_itself(self.index) {
            worker.dismiss(self.address);
        }
    }
}

pub(super) fn next_id(worker: &Worker) -> TaskId {
    TaskId::new(worker.next_id()).expect("they are counted from 1")
}
