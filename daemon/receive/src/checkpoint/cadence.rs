//! When the next checkpoint is due.

use std::time::Duration;

/// After this time a checkpoint is due if there is any new input. With the time that the checkpoint itself takes, up to two
/// minutes of work are lost.
const LONGEST: Duration = Duration::from_secs(110);

/// The time and the input since the last checkpoint, or since the beginning of the run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cadence {
    every: Duration,
    bytes: u64,
    since: Duration,
    read: u64,
}

impl Cadence {
    pub(super) fn new(every: Duration, bytes: u64, now: Duration) -> Self {
        Self { every, bytes, since: now, read: 0 }
    }

    /// Whether one is due, `now`, with so many bytes `read` from the beginning of the input.
    pub(super) fn is_due(&self, now: Duration, read: u64) -> bool {
        let (passed, new) = (now.saturating_sub(self.since), read.saturating_sub(self.read));
        new > 0 && passed >= self.every && (new >= self.bytes || passed >= self.every.max(LONGEST))
    }

    /// An earlier run has received so many bytes.
    pub(super) fn skip(&mut self, read: u64) {
        self.read = read;
    }

    /// One was made, or could not be made: the next one is due later.
    pub(super) fn restart(&mut self, now: Duration, read: u64) {
        (self.since, self.read) = (now, read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const GIB: u64 = 1 << 30;

    #[test]
    fn a_fast_destination_waits_for_the_time_and_a_slow_one_not_for_the_bytes() {
        let mut cadence = Cadence::new(60 * SECOND, GIB, 5 * SECOND);
        assert!(!cadence.is_due(64 * SECOND, 50 * GIB), "a transfer under a minute");
        assert!(cadence.is_due(65 * SECOND, GIB));
        assert!(!cadence.is_due(114 * SECOND, GIB - 1));
        assert!(cadence.is_due(115 * SECOND, 1), "after this time any new input suffices");
        assert!(!cadence.is_due(3600 * SECOND, 0), "nothing new");
        cadence.restart(65 * SECOND, GIB);
        assert!(!cadence.is_due(124 * SECOND, 9 * GIB));
        assert!(cadence.is_due(125 * SECOND, 2 * GIB));
        assert!(!cadence.is_due(3600 * SECOND, GIB), "nothing new");
    }

    #[test]
    fn without_a_least_time_the_bytes_decide() {
        let cadence = Cadence::new(Duration::ZERO, 16, Duration::ZERO);
        assert!(!cadence.is_due(SECOND, 15));
        assert!(cadence.is_due(Duration::ZERO, 16));
    }
}
