//! One thread that writes data: its queue and its progress.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use super::performer::Performer;
use super::written::Written;
use super::{RunContext, Task};
use crate::volume::Inode;

/// A queue holds this many batches
const DEPTH: usize = 4;
/// of up to this many tasks,
const BATCH: usize = 32;
/// or about this many bytes.
const WEIGHT: usize = 512 << 10;
/// The record of what is in work is looked through when it has this many entries.
const IN_WORK: usize = 4 * BATCH * DEPTH;

/// A writer thread, as its owner sees it.
pub(crate) struct WriterThread<'r, I> {
    sender: SyncSender<Batch<I>>,
    waiting: Batch<I>,
    /// Tasks handed over, those in `waiting` included.
    given: u64,
    /// The inodes of those that may not be done yet, each with its place in the queue.
    in_work: VecDeque<(u64, u64)>,
    done: Arc<Done>,
    /// Held by the thread while it works; its owner may use it when the writer thread is idle.
    performer: Arc<Mutex<Performer<'r>>>,
}

struct Batch<I> {
    tasks: Vec<Task<I>>,
    /// Bytes of the stream that they hold.
    weight: usize,
}

/// How far a writer thread has come.
#[derive(Default)]
struct Done {
    state: Mutex<DoneState>,
    changed: Condvar,
}

#[derive(Default)]
struct DoneState {
    tasks: u64,
    /// Entries of its record of encoded writes.
    written: usize,
    /// The owner waits. Without a waiter there is no wake-up, because that is a system call.
    awaited: bool,
}

impl<'r, I: Inode> WriterThread<'r, I> {
    /// Starts the thread; it ends when the writer thread is dropped.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, 'r>,
        context: &'r RunContext,
        freed: impl Fn(usize, bool) + Send + 'r,
    ) -> Self {
        let (sender, receiver) = sync_channel(DEPTH);
        let done = Arc::new(Done::default());
        let performer = Arc::new(Mutex::new(Performer::new(context)));
        let (told, with) = (Arc::clone(&done), Arc::clone(&performer));
        scope.spawn(move || run(&receiver, &with, &told, &freed));
        Self { sender, waiting: Batch::new(), given: 0, in_work: VecDeque::new(), done, performer }
    }

    /// Takes a task, which holds `weight` bytes of the stream.
    pub(crate) fn push(&mut self, task: Task<I>, weight: usize) {
        self.given = self.given.saturating_add(1);
        self.in_work.push_back((task.inode.number(), self.given));
        if self.in_work.len() > IN_WORK {
            self.forget_done();
        }
        self.waiting.tasks.push(task);
        self.waiting.weight = self.waiting.weight.saturating_add(weight);
        if self.waiting.tasks.len() >= BATCH || self.waiting.weight >= WEIGHT {
            self.send();
        }
    }

    /// Does a task on the caller's thread; it counts as given and done. The writer thread must be idle.
    pub(crate) fn perform_here(&mut self, task: Task<I>) {
        self.given = self.given.saturating_add(1);
        let mut with = lock(&self.performer);
        with.perform(task);
        self.done.add(1, with.written.len());
    }

    /// How many encoded extents it remembers.
    pub(crate) fn written(&self) -> usize {
        self.done.lock().written
    }

    /// Takes the record of encoded writes. The writer thread must be idle.
    pub(crate) fn take_written(&mut self) -> Written {
        self.done.lock().written = 0;
        std::mem::take(&mut lock(&self.performer).written)
    }

    /// Sends what waits to be sent.
    pub(crate) fn send(&mut self) {
        if !self.waiting.tasks.is_empty() {
            // A writer thread ends only when its sender is dropped, so this cannot fail.
            drop(self.sender.send(std::mem::replace(&mut self.waiting, Batch::new())));
        }
    }

    /// Waits until everything is done.
    pub(crate) fn drain(&mut self) {
        self.wait(self.given);
        self.in_work.clear();
    }

    /// Waits until everything on one inode is done.
    pub(crate) fn finish(&mut self, number: u64) {
        self.forget_done();
        if let Some(&(_, given)) = self.in_work.iter().rev().find(|(inode, _)| *inode == number) {
            self.wait(given);
        }
    }

    /// Waits until this many tasks are done.
    pub(crate) fn wait(&mut self, given: u64) {
        self.send();
        self.done.wait(given);
    }

    /// How many tasks it was given.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// How many tasks it has done.
    pub(crate) fn done(&self) -> u64 {
        self.done.lock().tasks
    }

    /// Whether it has nothing to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.done() >= self.given
    }

    fn forget_done(&mut self) {
        let done = self.done();
        while self.in_work.front().is_some_and(|(_, given)| *given <= done) {
            self.in_work.pop_front();
        }
    }
}

impl<I> Batch<I> {
    fn new() -> Self {
        Self { tasks: Vec::with_capacity(BATCH), weight: 0 }
    }
}

impl Done {
    fn lock(&self) -> MutexGuard<'_, DoneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, tasks: u64, written: usize) {
        let mut state = self.lock();
        state.tasks = state.tasks.saturating_add(tasks);
        state.written = written;
        if state.awaited {
            self.changed.notify_all();
        }
    }

    fn wait(&self, until: u64) {
        let mut state = self.lock();
        state.awaited = true;
        while state.tasks < until {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.awaited = false;
    }
}

/// The thread: performs tasks, and counts the bytes of the stream that it freed.
fn run<I: Inode>(
    batches: &Receiver<Batch<I>>,
    performer: &Mutex<Performer<'_>>,
    done: &Done,
    freed: &impl Fn(usize, bool),
) {
    let mut next = batches.recv().ok();
    while let Some(batch) = next {
        let tasks = batch.tasks.len() as u64;
        let mut with = lock(performer);
        for task in batch.tasks {
            with.perform(task);
        }
        let written = with.written.len();
        // Who finds the writer thread idle may take the performer at once.
        drop(with);
        done.add(tasks, written);
        next = batches.try_recv().ok();
        freed(batch.weight, next.is_none());
        next = next.or_else(|| batches.recv().ok());
    }
}

fn lock<'l, 'r>(performer: &'l Mutex<Performer<'r>>) -> MutexGuard<'l, Performer<'r>> {
    performer.lock().unwrap_or_else(PoisonError::into_inner)
}
