//! Byte ranges of one file, disjoint and in order.

use std::collections::BTreeMap;

/// A set of byte ranges; neighbours are joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// Start → end, disjoint and not touching.
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

    /// Takes out the bytes from `start` up to `end`.
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

    /// Whether there is none.
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

    fn spans(ranges: &Ranges) -> Vec<(u64, u64)> {
        ranges.spans.iter().map(|(&start, &end)| (start, end)).collect()
    }

    #[test]
    fn neighbours_are_joined() {
        let mut ranges = Ranges::default();
        for (start, end) in [(0, 10), (20, 30), (40, 50), (10, 20), (5, 6), (7, 7)] {
            ranges.insert(start, end);
        }
        assert_eq!(spans(&ranges), [(0, 30), (40, 50)]);
    }

    #[test]
    fn what_is_taken_out_may_cut_ranges_in_two() {
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
    fn a_set_of_bytes_agrees_with_a_plain_table() {
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
