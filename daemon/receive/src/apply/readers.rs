//! Files that others clone from: they must not change before those have read them.

use std::collections::HashMap;

/// Entries above which finished ones are dropped.
const ENTRIES: usize = 256;

/// For an inode that is read from, the writer thread that reads it, and how many tasks that writer thread must have done until then.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    by_source: HashMap<u64, (usize, u64)>,
}

impl Readers {
    /// The writer thread will read from `source` with its task number `given`. Answers who else does, and must be waited for:
    /// one reader of each inode is remembered.
    pub(crate) fn insert(&mut self, source: u64, writer_thread: usize, given: u64) -> Option<(usize, u64)> {
        self.by_source.insert(source, (writer_thread, given)).filter(|(other, _)| *other != writer_thread)
    }

    /// Forgets an inode that is about to change, and answers who reads from it.
    pub(crate) fn take(&mut self, number: u64) -> Option<(usize, u64)> {
        if self.by_source.is_empty() { None } else { self.by_source.remove(&number) }
    }

    /// Forgets readers that are through, when there are many; `done` tells how far a writer thread has come.
    pub(crate) fn prune(&mut self, done: impl Fn(usize) -> u64) {
        if self.by_source.len() > ENTRIES {
            self.by_source.retain(|_, (writer_thread, given)| done(*writer_thread) < *given);
        }
    }

    /// Everybody is through.
    pub(crate) fn clear(&mut self) {
        self.by_source.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reader_of_an_inode_is_remembered_and_another_lane_is_waited_for() {
        let mut readers = Readers::default();
        assert_eq!(readers.insert(300, 0, 7), None);
        assert_eq!(readers.insert(300, 0, 9), None);
        assert_eq!(readers.insert(300, 1, 2), Some((0, 9)));
        assert_eq!(readers.take(300), Some((1, 2)));
        assert_eq!(readers.take(300), None);
    }

    #[test]
    fn only_readers_that_are_through_are_forgotten() {
        let mut readers = Readers::default();
        for source in 0..=ENTRIES as u64 {
            readers.insert(source, 0, source);
        }
        readers.prune(|_| 250);
        assert_eq!(readers.take(250), None);
        assert_eq!(readers.take(251), Some((0, 251)));
    }
}
