//! One thread that writes data: its queue and its progress.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use super::performer::Performer;
use super::written::Written;
use super::{RunContext, Task};
use crate::volume::Inode;

/// A queue has up to this many batches
const DEPTH: usize = 4;
/// of up to this many tasks,
const BATCH: usize = 32;
/// or about this many bytes.
const WEIGHT: usize = 512 << 10;
/// With this many entries, finished ones are removed from `pending`.
const PENDING: usize = 4 * BATCH * DEPTH;

/// The handle on a writer thread.
pub(crate) struct WriterThread<'r, I> {
    sender: SyncSender<Batch<I>>,
    waiting: Batch<I>,
    /// The number of tasks submitted, with those in `waiting`.
    submitted: u64,
    /// The inodes of tasks that may not be done yet, each with the number of its task.
    pending: VecDeque<(u64, u64)>,
    done: Arc<Done>,
    /// Locked by the thread while it works. The owner may use it while the thread is idle.
    performer: Arc<Mutex<Performer<'r>>>,
}

struct Batch<I> {
    tasks: Vec<Task<I>>,
    /// The bytes of the stream that they keep in memory.
    weight: usize,
}

/// The progress of a writer thread.
#[derive(Default)]
struct Done {
    state: Mutex<DoneState>,
    changed: Condvar,
}

#[derive(Default)]
struct DoneState {
    tasks: u64,
    /// The number of entries in its log of encoded writes.
    written: usize,
    /// The owner waits. The thread wakes it only then, because a wake-up is a system call.
    awaited: bool,
}

impl<'r, I: Inode> WriterThread<'r, I> {
    /// Starts the thread; it ends when the handle is dropped.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, 'r>,
        context: &'r RunContext,
        freed: impl Fn(usize, bool) + Send + 'r,
    ) -> Self {
        let (sender, receiver) = sync_channel(DEPTH);
        let done = Arc::new(Done::default());
        let performer = Arc::new(Mutex::new(Performer::new(context)));
        let (progress, shared) = (Arc::clone(&done), Arc::clone(&performer));
        scope.spawn(move || run(&receiver, &shared, &progress, &freed));
        Self { sender, waiting: Batch::new(), submitted: 0, pending: VecDeque::new(), done, performer }
    }

    /// Adds a task, which keeps `weight` bytes of the stream in memory.
    pub(crate) fn push(&mut self, task: Task<I>, weight: usize) {
        self.submitted = self.submitted.saturating_add(1);
        self.pending.push_back((task.inode.number(), self.submitted));
        if self.pending.len() > PENDING {
            self.remove_done();
        }
        self.waiting.tasks.push(task);
        self.waiting.weight = self.waiting.weight.saturating_add(weight);
        if self.waiting.tasks.len() >= BATCH || self.waiting.weight >= WEIGHT {
            self.send();
        }
    }

    /// Performs a task on the caller's thread and counts it as done. The writer thread must be idle.
    pub(crate) fn perform_here(&mut self, task: Task<I>) {
        self.submitted = self.submitted.saturating_add(1);
        let mut performer = lock(&self.performer);
        performer.perform(task);
        self.done.add(1, performer.written.len());
    }

    /// The number of entries in its log of encoded writes.
    pub(crate) fn written(&self) -> usize {
        self.done.lock().written
    }

    /// Takes the log of encoded writes. The writer thread must be idle.
    pub(crate) fn take_written(&mut self) -> Written {
        self.done.lock().written = 0;
        std::mem::take(&mut lock(&self.performer).written)
    }

    /// Sends the waiting tasks to the thread.
    pub(crate) fn send(&mut self) {
        if !self.waiting.tasks.is_empty() {
            // The thread ends only when the sender is dropped, so this cannot fail.
            drop(self.sender.send(std::mem::replace(&mut self.waiting, Batch::new())));
        }
    }

    /// Waits until all tasks are done.
    pub(crate) fn drain(&mut self) {
        self.wait(self.submitted);
        self.pending.clear();
    }

    /// Waits until all tasks of one inode are done.
    pub(crate) fn finish(&mut self, number: u64) {
        self.remove_done();
        if let Some(&(_, number)) = self.pending.iter().rev().find(|(inode, _)| *inode == number) {
            self.wait(number);
        }
    }

    /// Waits until this many tasks are done.
    pub(crate) fn wait(&mut self, tasks: u64) {
        self.send();
        self.done.wait(tasks);
    }

    /// How many tasks were submitted.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted
    }

    /// How many tasks it has done.
    pub(crate) fn done(&self) -> u64 {
        self.done.lock().tasks
    }

    /// Whether it has no tasks.
    pub(crate) fn is_idle(&self) -> bool {
        self.done() >= self.submitted
    }

    fn remove_done(&mut self) {
        let done = self.done();
        while self.pending.front().is_some_and(|(_, number)| *number <= done) {
            self.pending.pop_front();
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

/// The thread: performs tasks, and reports the bytes of the stream that it freed.
fn run<I: Inode>(
    batches: &Receiver<Batch<I>>,
    performer: &Mutex<Performer<'_>>,
    done: &Done,
    freed: &impl Fn(usize, bool),
) {
    let mut next = batches.recv().ok();
    while let Some(batch) = next {
        let tasks = batch.tasks.len() as u64;
        let mut performing = lock(performer);
        for task in batch.tasks {
            performing.perform(task);
        }
        let written = performing.written.len();
        // The owner may lock the performer as soon as it sees the thread idle.
        drop(performing);
        done.add(tasks, written);
        next = batches.try_recv().ok();
        freed(batch.weight, next.is_none());
        next = next.or_else(|| batches.recv().ok());
    }
}

fn lock<'l, 'r>(performer: &'l Mutex<Performer<'r>>) -> MutexGuard<'l, Performer<'r>> {
    performer.lock().unwrap_or_else(PoisonError::into_inner)
}
