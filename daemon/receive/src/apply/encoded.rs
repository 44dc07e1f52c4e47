//! Encoded extents that were written and must be checked.
//!
//! Up to Linux 6.18 an I/O error under an encoded write is lost: the call, `fsync` and `syncfs` succeed, and the range
//! reads as zeros. So each writer thread records what it wrote, and after the sync the engine looks for the extents in the
//! filesystem.

use butterdock_stream::Place;

use crate::volume::Ranges;

/// A log of the file ranges that were written encoded, and of those that may be holes again. It is only appended
/// to while data is written: what it comes to is worked out once, for the check.
#[derive(Debug, Default)]
pub(crate) struct Written {
    log: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    ino: u64,
    /// The command: more than one writer thread may have worked on a file, and the order of the stream counts.
    at: u64,
    start: u64,
    end: u64,
    there: bool,
}

impl Written {
    /// An encoded write succeeded.
    pub(crate) fn insert(&mut self, ino: u64, start: u64, len: u64, place: Place) {
        let (end, at) = (start.saturating_add(len), place.command);
        match self.log.last_mut() {
            Some(last) if last.there && last.ino == ino && last.end == start && last.at.checked_add(1) == Some(at) => {
                (last.end, last.at) = (end, at);
            }
            _ => self.log.push(Entry { ino, at, start, end, there: true }),
        }
    }

    /// The range may be a hole from here on.
    pub(crate) fn remove(&mut self, ino: u64, start: u64, end: u64, place: Place) {
        self.log.push(Entry { ino, at: place.command, start, end, there: false });
    }

    /// How many entries it has: what bounds its memory.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }

    /// Adds what another writer thread wrote.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.log.append(&mut other.log);
    }

    /// What must be there, by file, in the order of inode numbers.
    pub(crate) fn into_sorted(self) -> Vec<(u64, Ranges)> {
        let mut log = self.log;
        log.sort_by_key(|entry| (entry.ino, entry.at));
        let mut files: Vec<(u64, Ranges)> = Vec::new();
        for of_file in log.chunk_by(|one, next| one.ino == next.ino) {
            let mut ranges = Ranges::default();
            for &Entry { start, end, there, .. } in of_file {
                if there { ranges.insert(start, end) } else { ranges.remove(start, end) }
            }
            if let (Some(entry), false) = (of_file.first(), ranges.is_empty()) {
                files.push((entry.ino, ranges));
            }
        }
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(command: u64) -> Place {
        Place { command, at: 0 }
    }

    #[test]
    fn the_log_equals_the_final_extents() {
        let mut one = Written::default();
        one.insert(258, 0, 4096, at(1));
        one.insert(257, 0, 4096, at(2));
        one.insert(257, 4096, 4096, at(3));
        one.remove(257, 0, 100, at(4));
        one.insert(259, 0, 10, at(5));
        one.remove(259, 0, u64::MAX, at(6));
        let mut other = Written::default();
        other.remove(260, 0, 1, at(7));
        other.insert(260, 0, 1, at(8));
        one.merge(other);
        let files = one.into_sorted();
        let firsts: Vec<_> = files.iter().map(|(ino, ranges)| (*ino, ranges.first())).collect();
        assert_eq!(firsts, [(257, Some((100, 8192))), (258, Some((0, 4096))), (260, Some((0, 1)))]);
    }

    #[test]
    fn writes_of_several_threads_merge_in_stream_order() {
        let (mut one, mut other) = (Written::default(), Written::default());
        one.insert(257, 0, 4096, at(1));
        other.remove(257, 0, u64::MAX, at(2));
        one.insert(257, 4096, 4096, at(3));
        other.merge(one);
        let files = other.into_sorted();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].1.first(), Some((4096, 8192)));
    }
}
