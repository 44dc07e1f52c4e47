//! The threads that write data, and the order between them.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Scope;

use super::ahead::Ahead;
use super::encoded::Written;
use super::perform::{Performer, Rules, Task};
use crate::volume::Inode;

/// A lane's queue holds this many batches
const DEPTH: usize = 4;
/// of at most this many tasks,
const BATCH: usize = 32;
/// or about this many bytes.
const WEIGHT: usize = 512 << 10;
/// Entries of the readers' table above which finished ones are dropped.
const READERS: usize = 256;

/// The lanes, as the applier sees them.
pub(crate) struct Lanes<I> {
    lanes: Vec<Lane<I>>,
    /// Inodes that a task reads from while it clones: which lane, and how many tasks it must have done.
    readers: HashMap<u64, (usize, u64)>,
    /// Payloads are decoded, so lanes help one another.
    decode: bool,
}

struct Lane<I> {
    sender: SyncSender<Batch<I>>,
    waiting: Batch<I>,
    /// Tasks handed over, those in `waiting` included.
    given: u64,
    done: Arc<Done>,
}

struct Batch<I> {
    orders: Vec<Order<I>>,
    /// Bytes of the stream that they hold.
    weight: usize,
}

enum Order<I> {
    Perform(Task<I>),
    /// Decode for another lane.
    Help(Arc<Ahead>),
    /// Hand over the record of encoded writes.
    Surrender(SyncSender<Written>),
}

/// How far a lane has come.
#[derive(Default)]
struct Done {
    state: Mutex<DoneState>,
    changed: Condvar,
}

#[derive(Default)]
struct DoneState {
    tasks: u64,
    /// Its record of encoded writes has outgrown its bound.
    full: bool,
    /// The applier waits: nobody is woken otherwise, because that is a system call.
    awaited: bool,
}

impl<I: Inode> Lanes<I> {
    /// Starts `count` threads in `scope`. They end when the lanes are dropped.
    pub(crate) fn start<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        count: usize,
        rules: &'env Rules,
        freed: impl Fn(usize, bool) + Send + Clone + 'env,
    ) -> Self {
        let lanes = (0..count.max(1)).map(|_| {
            let (sender, receiver) = sync_channel(DEPTH);
            let done = Arc::new(Done::default());
            let (theirs, freed) = (Arc::clone(&done), freed.clone());
            scope.spawn(move || run(&receiver, rules, &theirs, &freed));
            Lane { sender, waiting: Batch::new(), given: 0, done }
        });
        Self { lanes: lanes.collect(), readers: HashMap::new(), decode: rules.way.force_decompress || rules.way.verify }
    }

    /// Hands a file's work to its lane, after what it depends on.
    pub(crate) fn give(&mut self, mut task: Task<I>) {
        let number = task.inode.number();
        let own = self.lane_of(number);
        if !self.readers.is_empty() {
            if let Some(&(lane, given)) = self.readers.get(&number) {
                if lane != own {
                    self.wait(lane, given);
                }
                self.readers.remove(&number);
            }
        }
        for source in task.sources.iter().map(Inode::number).filter(|&source| source != number) {
            let theirs = self.lane_of(source);
            if theirs != own {
                self.drain(theirs);
                let given = self.lanes.get(own).map_or(0, |lane| lane.given.saturating_add(1));
                if let Some((lane, given)) = self.readers.insert(source, (own, given)).filter(|(lane, _)| *lane != own)
                {
                    self.wait(lane, given);
                }
            }
        }
        if self.readers.len() > READERS {
            let done: Vec<u64> = self.lanes.iter().map(|lane| lane.done.count()).collect();
            self.readers.retain(|_, (lane, given)| done.get(*lane).is_some_and(|done| done < given));
        }
        if self.decode && self.lanes.len() > 1 {
            task.ahead = Ahead::of(&task.changes).map(Arc::new);
        }
        let weight = task.changes.iter().fold(0_usize, |sum, (_, change)| sum.saturating_add(change.weight()));
        let helper = own.saturating_add(1).checked_rem(self.lanes.len()).and_then(|next| self.lanes.get_mut(next));
        if let (Some(ahead), Some(helper)) = (&task.ahead, helper) {
            helper.push(Order::Help(Arc::clone(ahead)), weight);
        }
        if let Some(lane) = self.lanes.get_mut(own) {
            lane.given = lane.given.saturating_add(1);
            lane.push(Order::Perform(task), weight);
        }
    }

    /// Sends what waits to be sent, so that nothing lies about while the applier waits for input.
    pub(crate) fn flush(&mut self) {
        self.lanes.iter_mut().for_each(Lane::send);
    }

    /// Waits until everything given so far is done.
    pub(crate) fn drain_all(&mut self) {
        self.flush();
        for lane in 0..self.lanes.len() {
            self.drain(lane);
        }
        self.readers.clear();
    }

    /// Waits until everything is done, and takes the record of encoded writes.
    pub(crate) fn surrender(&mut self) -> Written {
        self.drain_all();
        let mut all = Written::default();
        for lane in &mut self.lanes {
            let (sender, receiver) = sync_channel(1);
            lane.waiting.orders.push(Order::Surrender(sender));
            lane.send();
            if let Ok(written) = receiver.recv() {
                all.merge(written);
            }
        }
        all
    }

    /// Whether a lane's record has outgrown its bound.
    pub(crate) fn is_full(&self) -> bool {
        self.lanes.iter().any(|lane| lane.done.lock().full)
    }

    fn lane_of(&self, number: u64) -> usize {
        number.checked_rem(self.lanes.len() as u64).and_then(|lane| usize::try_from(lane).ok()).unwrap_or_default()
    }

    fn drain(&mut self, lane: usize) {
        let given = self.lanes.get(lane).map_or(0, |lane| lane.given);
        self.wait(lane, given);
    }

    fn wait(&mut self, lane: usize, given: u64) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.send();
            lane.done.wait(given);
        }
    }
}

impl<I> Lane<I> {
    fn push(&mut self, order: Order<I>, weight: usize) {
        self.waiting.orders.push(order);
        self.waiting.weight = self.waiting.weight.saturating_add(weight);
        if self.waiting.orders.len() >= BATCH || self.waiting.weight >= WEIGHT {
            self.send();
        }
    }

    fn send(&mut self) {
        if !self.waiting.orders.is_empty() {
            // A lane ends only when its sender is dropped, so this cannot fail.
            drop(self.sender.send(std::mem::replace(&mut self.waiting, Batch::new())));
        }
    }
}

impl<I> Batch<I> {
    fn new() -> Self {
        Self { orders: Vec::with_capacity(BATCH), weight: 0 }
    }
}

impl Done {
    fn lock(&self) -> MutexGuard<'_, DoneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> u64 {
        self.lock().tasks
    }

    fn add(&self, tasks: u64, full: bool) {
        let mut state = self.lock();
        state.tasks = state.tasks.saturating_add(tasks);
        state.full = full;
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

/// A lane's thread: performs what comes, and says how many bytes of the stream it let go.
fn run<I: Inode>(orders: &Receiver<Batch<I>>, rules: &Rules, done: &Done, freed: &impl Fn(usize, bool)) {
    let mut performer = Performer::new(rules);
    let mut next = orders.recv().ok();
    while let Some(batch) = next {
        let mut tasks = 0_u64;
        for order in batch.orders {
            match order {
                Order::Perform(task) => {
                    performer.perform(task);
                    tasks = tasks.saturating_add(1);
                }
                Order::Help(ahead) => performer.help(&ahead),
                Order::Surrender(to) => drop(to.send(std::mem::take(&mut performer.written))),
            }
        }
        done.add(tasks, performer.written.is_full());
        next = orders.try_recv().ok();
        freed(batch.weight, next.is_none());
        next = next.or_else(|| orders.recv().ok());
    }
}
