//! A limit of bytes over time.

use std::time::{Duration, Instant};

/// A token bucket with a capacity and a constant refill rate. It may be overdrawn, because the length of an answer is known only
/// when the answer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    capacity: i64,
    /// Per second.
    rate: i64,
    level: i64,
    /// The time of this level.
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(capacity: u32, rate: u32, now: Instant) -> Self {
        let capacity = i64::from(capacity);
        Self { capacity, rate: i64::from(rate), level: capacity, at: now }
    }

    /// Whether it holds this amount.
    pub(super) fn has(&mut self, amount: usize, now: Instant) -> bool {
        self.fill(now);
        self.level >= signed(amount)
    }

    /// Takes this amount out, even if it does not hold it.
    pub(super) fn take(&mut self, amount: usize) {
        self.level = self.level.saturating_sub(signed(amount));
    }

    /// Puts an amount back.
    pub(super) fn give_back(&mut self, amount: usize) {
        self.level = self.level.saturating_add(signed(amount)).min(self.capacity);
    }

    /// Whether it is full.
    pub(super) fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.level >= self.capacity
    }

    fn fill(&mut self, now: Instant) {
        let passed = i64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(i64::MAX);
        let amount = passed.saturating_mul(self.rate).checked_div(1000).unwrap_or(0);
        if amount == 0 {
            // Keep the time, so that a fraction is not lost.
            return;
        }
        self.level = self.level.saturating_add(amount).min(self.capacity);
        // Keep the fraction of a millisecond.
        self.at = self.at.checked_add(Duration::from_millis(passed.unsigned_abs())).unwrap_or(now);
    }
}

fn signed(amount: usize) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills_up_to_its_capacity() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, 100, start);
        assert!(bucket.has(1000, start) && bucket.is_full(start));
        bucket.take(1000);
        assert!(!bucket.has(1, start));
        assert!(bucket.has(100, start + Duration::from_secs(1)) && !bucket.has(101, start + Duration::from_secs(1)));
        assert!(
            bucket.has(1000, start + Duration::from_hours(1)) && !bucket.has(1001, start + Duration::from_hours(1))
        );
    }

    #[test]
    fn frequent_reads_do_not_slow_the_refill() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, 100, start);
        bucket.take(1000);
        for step in 1..=1000 {
            bucket.has(1, start + Duration::from_millis(step));
        }
        assert!(bucket.has(99, start + Duration::from_secs(1)), "{bucket:?}");
    }

    #[test]
    fn an_overdrawn_bucket_is_empty_until_it_has_refilled() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, 100, start);
        bucket.take(1500);
        assert!(!bucket.has(1, start + Duration::from_secs(5)));
        bucket.give_back(200);
        assert!(bucket.has(200, start + Duration::from_secs(5)));
    }
}
