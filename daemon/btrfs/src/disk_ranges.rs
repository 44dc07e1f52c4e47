//! A set of ranges of a filesystem's addresses: which parts of its data were counted already.

use std::collections::BTreeMap;

/// Up to this many separate ranges are kept, in about 40 MiB. Adjacent extents are one range, so even a large subvolume has
/// few unless its files are fragmented.
const MOST: usize = 1 << 20;

/// Ranges that were added. Its size is bounded: see [`Self::is_complete`].
#[derive(Debug, Clone)]
pub struct DiskRanges {
    /// Start and end. No two ranges overlap or touch.
    ranges: BTreeMap<u64, u64>,
    most: usize,
    is_complete: bool,
}

impl Default for DiskRanges {
    fn default() -> Self {
        Self { ranges: BTreeMap::new(), most: MOST, is_complete: true }
    }
}

impl DiskRanges {
    /// Adds a range, and returns how many of its bytes were not in the set before.
    pub fn add(&mut self, start: u64, len: u64) -> u64 {
        let end = start.saturating_add(len);
        if start == end {
            return 0;
        }
        let (mut from, mut to, mut known) = (start, end, 0_u64);
        while let Some((&other, &other_end)) = self.ranges.range(..=to).next_back().filter(|(_, after)| **after >= from)
        {
            known = known.saturating_add(other_end.min(end).saturating_sub(other.max(start)));
            (from, to) = (from.min(other), to.max(other_end));
            self.ranges.remove(&other);
        }
        if self.ranges.len() < self.most {
            self.ranges.insert(from, to);
        } else {
            self.is_complete = false;
        }
        (end - start).saturating_sub(known)
    }

    /// False if there were too many ranges: then [`Self::add`] may have returned too much.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_bytes_are_counted() {
        let mut ranges = DiskRanges::default();
        for (start, len, new) in [
            (100, 50, 50),
            (100, 50, 0),
            (120, 10, 0),
            (140, 20, 10),
            (80, 20, 20),
            (300, 10, 10),
            (70, 300, 210),
            (0, 0, 0),
            (u64::MAX - 5, 100, 5),
        ] {
            assert_eq!(ranges.add(start, len), new, "{start} {len}");
        }
        assert_eq!(ranges.ranges, BTreeMap::from([(70, 370), (u64::MAX - 5, u64::MAX)]));
    }

    #[test]
    fn adjacent_ranges_are_one() {
        let mut ranges = DiskRanges::default();
        for number in [2, 0, 1, 3] {
            assert_eq!(ranges.add(number * 10, 10), 10);
        }
        assert_eq!(ranges.ranges.len(), 1);
    }

    #[test]
    fn too_many_ranges_are_counted_again_and_reported() {
        let mut ranges = DiskRanges { most: 2, ..DiskRanges::default() };
        for number in 0..3 {
            assert_eq!(ranges.is_complete(), number < 3);
            assert_eq!(ranges.add(number * 20, 10), 10);
        }
        assert!(!ranges.is_complete());
        assert_eq!((ranges.add(0, 10), ranges.add(40, 10)), (0, 10));
        assert_eq!(ranges.ranges.len(), 2);
    }
}
