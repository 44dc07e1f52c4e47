//! The encoded extents that were written, to be checked.
//!
//! Up to Linux 6.18 the kernel loses an I/O error under an encoded write: the call, `fsync` and `syncfs` succeed, and the
//! range reads as zeros. So each writer thread logs what it wrote, and after the sync the engine looks for the extents in
//! the filesystem.

use std::collections::BTreeMap;

use butterdock_stream::Position;

/// A log of the file ranges that were written encoded, and of those that may be holes again. Writing only appends to it; the
/// result is computed once, for the check.
#[derive(Debug, Default)]
pub(crate) struct Written {
    log: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    ino: u64,
    /// The number of the command: several writer threads may have written to a file, and the order of the stream decides.
    at: u64,
    start: u64,
    end: u64,
    written: bool,
}

impl Written {
    /// An encoded write succeeded.
    pub(crate) fn insert(&mut self, ino: u64, start: u64, len: u64, place: Position) {
        let (end, at) = (start.saturating_add(len), place.command);
        match self.log.last_mut() {
            Some(last)
                if last.written && last.ino == ino && last.end == start && last.at.checked_add(1) == Some(at) =>
            {
                (last.end, last.at) = (end, at);
            }
            _ => self.log.push(Entry { ino, at, start, end, written: true }),
        }
    }

    /// The range may be a hole from here on.
    pub(crate) fn remove(&mut self, ino: u64, start: u64, end: u64, place: Position) {
        self.log.push(Entry { ino, at: place.command, start, end, written: false });
    }

    /// The number of entries, which bounds its memory.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }

    /// Adds the log of another writer thread.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.log.append(&mut other.log);
    }

    /// The ranges that must exist, by file, in the order of inode numbers.
    pub(crate) fn into_sorted(self) -> Vec<(u64, Ranges)> {
        let mut log = self.log;
        log.sort_by_key(|entry| (entry.ino, entry.at));
        let mut files: Vec<(u64, Ranges)> = Vec::new();
        for of_file in log.chunk_by(|one, next| one.ino == next.ino) {
            let mut ranges = Ranges::default();
            for &Entry { start, end, written, .. } in of_file {
                if written { ranges.insert(start, end) } else { ranges.remove(start, end) }
            }
            if let (Some(entry), false) = (of_file.first(), ranges.is_empty()) {
                files.push((entry.ino, ranges));
            }
        }
        files
    }
}

/// A set of byte ranges of one file; adjacent ranges are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// Start → end, disjoint and not adjacent.
    spans: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds the bytes from `start` up to `end`.
    pub(crate) fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let (mut low, mut high) = (start, end);
        while let Some((&at, &until)) = self.spans.range(..=high).next_back() {
            if until < low {
                break;
            }
            low = low.min(at);
            high = high.max(until);
            self.spans.remove(&at);
        }
        self.spans.insert(low, high);
    }

    /// Removes the bytes from `start` up to `end`.
    pub(crate) fn remove(&mut self, start: u64, end: u64) {
        while let Some((&at, &until)) = self.spans.range(..end).next_back() {
            if until <= start || start >= end {
                break;
            }
            self.spans.remove(&at);
            if at < start {
                self.spans.insert(at, start);
            }
            if until > end {
                self.spans.insert(end, until);
            }
            if at <= start {
                break;
            }
        }
    }

    /// Whether the set is empty.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The first range: start and end.
    #[must_use]
    pub(crate) fn first(&self) -> Option<(u64, u64)> {
        self.spans.first_key_value().map(|(&start, &end)| (start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(command: u64) -> Position {
        Position { command, at: 0 }
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

    fn spans(ranges: &Ranges) -> Vec<(u64, u64)> {
        ranges.spans.iter().map(|(&start, &end)| (start, end)).collect()
    }

    #[test]
    fn adjacent_ranges_are_joined() {
        let mut ranges = Ranges::default();
        for (start, end) in [(0, 10), (20, 30), (40, 50), (10, 20), (5, 6), (7, 7)] {
            ranges.insert(start, end);
        }
        assert_eq!(spans(&ranges), [(0, 30), (40, 50)]);
    }

    #[test]
    fn a_removal_may_split_a_range() {
        let mut ranges = Ranges::default();
        for (start, end) in [(0, 30), (40, 50), (60, 70)] {
            ranges.insert(start, end);
        }
        ranges.remove(10, 20);
        ranges.remove(25, 65);
        assert_eq!(spans(&ranges), [(0, 10), (20, 25), (65, 70)]);
        ranges.remove(0, u64::MAX);
        assert!(ranges.is_empty());
    }

    #[test]
    fn a_set_of_ranges_agrees_with_a_table_of_bytes() {
        let mut ranges = Ranges::default();
        let mut table = [false; 64];
        let mut seed = 1_u64;
        for _ in 0..4000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (a, b) = ((seed >> 33) % 64, (seed >> 43) % 64);
            let insert = seed >> 63 == 0;
            if insert {
                ranges.insert(a, b)
            } else {
                ranges.remove(a, b)
            }
            for at in a..b {
                table[usize::try_from(at).unwrap()] = insert;
            }
            let mut seen = [false; 64];
            for (start, end) in spans(&ranges) {
                for at in start..end {
                    seen[usize::try_from(at).unwrap()] = true;
                }
            }
            assert_eq!(seen, table);
        }
    }
}
