//! Encoded extents that await their check.
//!
//! Up to Linux 6.18 an I/O error under an encoded write vanishes: the call, `fsync` and `syncfs` succeed, and the
//! range reads as zeros. So each lane remembers what it wrote, and after the sync the volume is asked whether the
//! extents are there.

use std::collections::HashMap;

use crate::volume::Ranges;

/// About this many files or ranges are remembered by one lane before they are checked early.
const CAPACITY: usize = 1 << 18;

/// The file ranges that were written encoded, by inode number.
#[derive(Debug, Default)]
pub(crate) struct Written {
    files: HashMap<u64, Ranges>,
    extents: usize,
}

impl Written {
    /// An encoded write succeeded.
    pub(crate) fn insert(&mut self, ino: u64, start: u64, len: u64) {
        let ranges = self.files.entry(ino).or_default();
        let before = ranges.len();
        ranges.insert(start, start.saturating_add(len));
        self.extents = self.extents.saturating_sub(before).saturating_add(ranges.len());
    }

    /// The range may be a hole from here on.
    pub(crate) fn remove(&mut self, ino: u64, start: u64, end: u64) {
        if let Some(ranges) = self.files.get_mut(&ino) {
            let before = ranges.len();
            ranges.remove(start, end);
            self.extents = self.extents.saturating_sub(before).saturating_add(ranges.len());
            if ranges.is_empty() {
                self.files.remove(&ino);
            }
        }
    }

    /// Whether a check is due, so that memory stays bounded.
    pub(crate) fn is_full(&self) -> bool {
        self.extents >= CAPACITY
    }

    /// Adds what another lane wrote.
    pub(crate) fn merge(&mut self, other: Self) {
        self.extents = self.extents.saturating_add(other.extents);
        // An inode belongs to one lane, so no entry is in both.
        self.files.extend(other.files);
    }

    /// The files in the order of their numbers.
    pub(crate) fn into_sorted(self) -> Vec<(u64, Ranges)> {
        let mut files: Vec<_> = self.files.into_iter().collect();
        files.sort_unstable_by_key(|(ino, _)| *ino);
        files
    }
}
