//! The threads that write data, and the order between them.

use std::thread::Scope;

use super::encoded::Written;
use super::lane::Lane;
use super::perform::{Rules, Task};
use super::readers::Readers;
use super::spread::Spread;
use crate::volume::Inode;

/// Work of this many bytes is large. It is done by the caller where its lane has nothing to do: to wake a lane, and to
/// copy from another core's cache, costs more than the caller could do meanwhile.
const LARGE: usize = 64 << 10;
/// So many encoded extents are remembered before they are checked early.
const RECORD: usize = 1 << 17;

/// The lanes, as the applier sees them.
pub(crate) struct Lanes<'r, I> {
    lanes: Vec<Lane<'r, I>>,
    readers: Readers,
    spread: Option<Spread>,
    /// Payloads are decoded, so that a file may keep more than one lane busy.
    decode: bool,
    /// Told how many bytes of the stream were let go.
    freed: Box<dyn Fn(usize, bool) + 'r>,
}

impl<'r, I: Inode> Lanes<'r, I> {
    /// Starts `count` threads in `scope`. They end when the lanes are dropped.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, 'r>,
        count: usize,
        rules: &'r Rules,
        freed: impl Fn(usize, bool) + Send + Clone + 'r,
    ) -> Self {
        Self {
            lanes: (0..count.max(1)).map(|_| Lane::start(scope, rules, freed.clone())).collect(),
            readers: Readers::default(),
            spread: None,
            decode: rules.way.force_decompress || rules.way.verify,
            freed: Box::new(freed),
        }
    }

    /// Does a file's work, or hands it to its lane, after what it depends on.
    pub(crate) fn give(&mut self, task: Task<I>) {
        let Some(task) = self.spread(task) else { return };
        let number = task.inode.number();
        let own = self.lane_of(number);
        if let Some((lane, given)) = self.readers.take(number).filter(|(lane, _)| *lane != own) {
            self.wait(lane, given);
        }
        for source in task.sources.iter().map(Inode::number).filter(|&source| source != number) {
            self.source(source, own);
        }
        let Some(lane) = self.lanes.get_mut(own) else { return };
        let weight = task.weight();
        if weight >= LARGE && !self.decode && lane.is_idle() {
            lane.perform_here(task);
            (self.freed)(weight, false);
        } else {
            lane.push(task, weight);
        }
    }

    /// Sends what waits to be sent, so that nothing lies about while the applier waits for input.
    pub(crate) fn flush(&mut self) {
        self.lanes.iter_mut().for_each(Lane::send);
    }

    /// Waits until everything given so far is done.
    pub(crate) fn drain_all(&mut self) {
        self.flush();
        self.lanes.iter_mut().for_each(Lane::drain);
        self.readers.clear();
        self.spread = None;
    }

    /// Waits until everything is done, and takes the record of encoded writes.
    pub(crate) fn surrender(&mut self) -> Written {
        self.drain_all();
        let mut all = Written::default();
        for lane in &mut self.lanes {
            all.merge(lane.take_written());
        }
        all
    }

    /// Whether the lanes' records together may have outgrown their bound.
    pub(crate) fn is_full(&self) -> bool {
        let share = RECORD.checked_div(self.lanes.len()).unwrap_or(RECORD);
        self.lanes.iter().any(|lane| lane.written() > share)
    }

    /// Hands the task to whichever lane is next, if it is one that may go to any; gives back one that may not.
    fn spread(&mut self, task: Task<I>) -> Option<Task<I>> {
        if !self.decode || self.lanes.len() < 2 {
            return Some(task);
        }
        let number = task.inode.number();
        let Some(range) = Spread::range(&task) else {
            let touched = |spread: &Spread| {
                spread.number == number || task.sources.iter().any(|source| source.number() == spread.number)
            };
            if self.spread.as_ref().is_some_and(touched) {
                self.drain_all();
            }
            return Some(task);
        };
        if self.spread.as_ref().is_none_or(|spread| spread.number != number || range.start < spread.end) {
            // What came before on this file is done first, and what came before on the other is forgotten.
            self.drain_all();
        }
        let turn = self.spread.as_ref().map_or(0, |spread| spread.turn.saturating_add(1));
        let turn = turn.checked_rem(self.lanes.len()).unwrap_or_default();
        self.spread = Some(Spread { number, end: range.end, turn });
        let weight = task.weight();
        self.lanes.get_mut(turn)?.push(task, weight);
        None
    }

    /// A file of the lane `own` is about to read from `source`, which may belong to another one.
    fn source(&mut self, source: u64, own: usize) {
        let theirs = self.lane_of(source);
        if theirs == own {
            return;
        }
        if let Some(lane) = self.lanes.get_mut(theirs) {
            lane.finish(source);
        }
        let given = self.lanes.get(own).map_or(0, |lane| lane.given().saturating_add(1));
        if let Some((lane, given)) = self.readers.insert(source, own, given) {
            self.wait(lane, given);
        }
        let lanes = &self.lanes;
        self.readers.prune(|lane| lanes.get(lane).map_or(u64::MAX, Lane::done));
    }

    fn lane_of(&self, number: u64) -> usize {
        number.checked_rem(self.lanes.len() as u64).and_then(|lane| usize::try_from(lane).ok()).unwrap_or_default()
    }

    fn wait(&mut self, lane: usize, given: u64) {
        if let Some(lane) = self.lanes.get_mut(lane) {
            lane.wait(given);
        }
    }
}
