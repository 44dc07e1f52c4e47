//! The threads that write data, and the order between them.
//!
//! A file belongs to one writer thread. Two kinds of tasks concern several threads:
//!
//! * A large file whose payloads are decoded would use one core only. Tasks that only write payloads, each after the
//!   previous one, may be performed in any order ([`Spread`]), so all writer threads get them in turn. Each decodes and
//!   writes a payload while it is in its cache. Other tasks of the file wait for all of them.
//! * A file must not change before all clones from it have read it ([`Readers`]).

use std::collections::HashMap;
use std::ops::Range;
use std::thread::Scope;

use super::writer_thread::WriterThread;
use super::written::Written;
use super::{RunContext, Task};
use crate::plan::Change;
use crate::volume::Inode;

/// A task of this many bytes is large. The caller performs it if the writer thread is idle: to wake the thread, and to copy
/// from another core's cache, takes longer.
const LARGE: usize = 64 << 10;
/// With more log entries of encoded extents than this, they are checked early.
const LOG: usize = 1 << 17;

/// The writer threads, as the applier sees them.
pub(crate) struct WriterThreads<'r, I> {
    writer_threads: Vec<WriterThread<'r, I>>,
    readers: Readers,
    spread: Option<Spread>,
    /// Payloads are decoded, so that several writer threads may share a file.
    decode: bool,
    /// Reports the bytes of the stream that were freed.
    freed: Box<dyn Fn(usize, bool) + 'r>,
}

impl<'r, I: Inode> WriterThreads<'r, I> {
    /// Starts `count` threads in `scope`. They end when this is dropped.
    pub(crate) fn start<'scope>(
        scope: &'scope Scope<'scope, 'r>,
        count: usize,
        context: &'r RunContext,
        freed: impl Fn(usize, bool) + Send + Clone + 'r,
    ) -> Self {
        Self {
            writer_threads: (0..count.max(1)).map(|_| WriterThread::start(scope, context, freed.clone())).collect(),
            readers: Readers::default(),
            spread: None,
            decode: context.options.force_decompress || context.options.verify,
            freed: Box::new(freed),
        }
    }

    /// Passes a file's task to its writer thread, or performs it, after the tasks that it depends on.
    pub(crate) fn submit(&mut self, task: Task<I>) {
        let Some(task) = self.spread(task) else { return };
        let number = task.inode.number();
        let own = self.writer_thread_of(number);
        if let Some((writer_thread, given)) =
            self.readers.take(number).filter(|(writer_thread, _)| *writer_thread != own)
        {
            self.wait(writer_thread, given);
        }
        for source in task.sources.iter().map(Inode::number).filter(|&source| source != number) {
            self.before_clone(source, own);
        }
        let Some(writer_thread) = self.writer_threads.get_mut(own) else { return };
        let weight = task.weight();
        if weight >= LARGE && !self.decode && writer_thread.is_idle() {
            writer_thread.perform_here(task);
            (self.freed)(weight, false);
        } else {
            writer_thread.push(task, weight);
        }
    }

    /// Sends all waiting tasks to the threads, for when the applier waits for input.
    pub(crate) fn flush(&mut self) {
        self.writer_threads.iter_mut().for_each(WriterThread::send);
    }

    /// Waits until all tasks submitted so far are done.
    pub(crate) fn drain_all(&mut self) {
        self.flush();
        self.writer_threads.iter_mut().for_each(WriterThread::drain);
        self.readers.clear();
        self.spread = None;
    }

    /// Waits until all tasks are done, and takes the log of encoded writes.
    pub(crate) fn take_written(&mut self) -> Written {
        self.drain_all();
        let mut all = Written::default();
        for writer_thread in &mut self.writer_threads {
            all.merge(writer_thread.take_written());
        }
        all
    }

    /// Whether the logs of the writer threads together may be over their limit.
    pub(crate) fn is_full(&self) -> bool {
        let share = LOG.checked_div(self.writer_threads.len()).unwrap_or(LOG);
        self.writer_threads.iter().any(|writer_thread| writer_thread.written() > share)
    }

    /// Passes a task that any writer thread may perform to the next one; returns any other task.
    fn spread(&mut self, task: Task<I>) -> Option<Task<I>> {
        if !self.decode || self.writer_threads.len() < 2 {
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
            // Earlier tasks of this file must be done first.
            self.drain_all();
        }
        let thread = self.spread.as_ref().map_or(0, |spread| spread.thread.saturating_add(1));
        let thread = thread.checked_rem(self.writer_threads.len()).unwrap_or_default();
        self.spread = Some(Spread { number, end: range.end, thread });
        let weight = task.weight();
        self.writer_threads.get_mut(thread)?.push(task, weight);
        None
    }

    /// A file of the writer thread `own` is about to read from `source`, which may belong to another one: waits until the source
    /// is written, and notes the reader.
    fn before_clone(&mut self, source: u64, own: usize) {
        let theirs = self.writer_thread_of(source);
        if theirs == own {
            return;
        }
        if let Some(writer_thread) = self.writer_threads.get_mut(theirs) {
            writer_thread.finish(source);
        }
        let given = self.writer_threads.get(own).map_or(0, |writer_thread| writer_thread.submitted().saturating_add(1));
        if let Some((writer_thread, given)) = self.readers.insert(source, own, given) {
            self.wait(writer_thread, given);
        }
        let writer_threads = &self.writer_threads;
        self.readers.prune(|writer_thread| writer_threads.get(writer_thread).map_or(u64::MAX, WriterThread::done));
    }

    fn writer_thread_of(&self, number: u64) -> usize {
        number
            .checked_rem(self.writer_threads.len() as u64)
            .and_then(|writer_thread| usize::try_from(writer_thread).ok())
            .unwrap_or_default()
    }

    fn wait(&mut self, writer_thread: usize, given: u64) {
        if let Some(writer_thread) = self.writer_threads.get_mut(writer_thread) {
            writer_thread.wait(given);
        }
    }
}

/// A smaller task is not spread, because the next other task of the file would have to wait for all writer threads.
const LEAST: usize = 128 << 10;

/// The file that is spread over the writer threads.
#[derive(Debug)]
pub(crate) struct Spread {
    /// Its inode.
    pub(crate) number: u64,
    /// The end of the last task in the file.
    pub(crate) end: u64,
    /// The writer thread of the last task.
    pub(crate) thread: usize,
}

impl Spread {
    /// The range of the file that a task writes, if any writer thread may perform it.
    pub(crate) fn range<I>(task: &Task<I>) -> Option<Range<u64>> {
        if task.weight() < LEAST {
            return None;
        }
        let mut whole: Option<Range<u64>> = None;
        for (_, change) in &task.changes {
            let Change::Encoded { extent, .. } = change else { return None };
            let range = extent.file_offset..extent.file_offset.checked_add(extent.file_len)?;
            let start = match &whole {
                Some(before) if range.start < before.end => return None,
                Some(before) => before.start,
                None => range.start,
            };
            whole = Some(start..range.end);
        }
        whole
    }
}

/// With more entries than this, finished ones are removed.
const ENTRIES: usize = 256;

/// For each inode that clones read from: the writer thread that reads it, and how many tasks that thread has done when it has
/// read it.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    by_source: HashMap<u64, (usize, u64)>,
}

impl Readers {
    /// `writer_thread` will read from `source` in its task number `given`. Returns another reader that the caller must wait for:
    /// the table has one reader of each inode.
    pub(crate) fn insert(&mut self, source: u64, writer_thread: usize, given: u64) -> Option<(usize, u64)> {
        self.by_source.insert(source, (writer_thread, given)).filter(|(other, _)| *other != writer_thread)
    }

    /// Removes an inode that is about to change, and returns its reader.
    pub(crate) fn take(&mut self, number: u64) -> Option<(usize, u64)> {
        if self.by_source.is_empty() { None } else { self.by_source.remove(&number) }
    }

    /// Removes readers that have finished, if there are many; `done` returns how many tasks a writer thread has done.
    pub(crate) fn prune(&mut self, done: impl Fn(usize) -> u64) {
        if self.by_source.len() > ENTRIES {
            self.by_source.retain(|_, (writer_thread, given)| done(*writer_thread) < *given);
        }
    }

    /// Removes all readers, after all tasks are done.
    pub(crate) fn clear(&mut self) {
        self.by_source.clear();
    }
}

#[cfg(test)]
mod tests {
    use butterdock_stream::{Compression, Extent, Position};

    use super::*;
    use crate::name::StreamPath;

    const K: u64 = 1024;

    fn encoded(file_offset: u64, payload: usize) -> Change {
        let (file_len, compression) = (128 * K, Compression::Zstd);
        let extent =
            Extent { file_offset, file_len, decoded_len: file_len, decoded_offset: 0, compression, encryption: 0 };
        Change::Encoded { extent, payload: vec![0; payload].into() }
    }

    fn task(changes: Vec<Change>) -> Task<()> {
        let changes = changes.into_iter().map(|change| (Position { command: 1, at: 0 }, change)).collect();
        Task { inode: (), path: StreamPath::new(b"f").unwrap(), known: None, changes, sources: Vec::new() }
    }

    #[test]
    fn any_writer_thread_may_write_ascending_payloads() {
        let range = Spread::range(&task(vec![encoded(0, 70 << 10), encoded(256 * K, 70 << 10)]));
        assert_eq!(range, Some(0..384 * K));
    }

    #[test]
    fn overlapping_mixed_or_small_tasks_stay_in_order() {
        for changes in [
            vec![encoded(128 * K, 70 << 10), encoded(0, 70 << 10)],
            vec![encoded(0, 70 << 10), encoded(64 * K, 70 << 10)],
            vec![encoded(0, 70 << 10), encoded(128 * K, 70 << 10), Change::Truncate { size: 1 }],
            vec![encoded(0, 4 << 10)],
            Vec::new(),
        ] {
            assert_eq!(Spread::range(&task(changes)), None);
        }
    }

    #[test]
    fn a_source_waits_for_readers_in_other_threads() {
        let mut readers = Readers::default();
        assert_eq!(readers.insert(300, 0, 7), None);
        assert_eq!(readers.insert(300, 0, 9), None);
        assert_eq!(readers.insert(300, 1, 2), Some((0, 9)));
        assert_eq!(readers.take(300), Some((1, 2)));
        assert_eq!(readers.take(300), None);
    }

    #[test]
    fn only_finished_readers_are_removed() {
        let mut readers = Readers::default();
        for source in 0..=ENTRIES as u64 {
            readers.insert(source, 0, source);
        }
        readers.prune(|_| 250);
        assert_eq!(readers.take(250), None);
        assert_eq!(readers.take(251), Some((0, 251)));
    }
}
