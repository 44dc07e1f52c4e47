//! The rate of a job, and when it will end.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The rate is that of the last seconds,
const WINDOW: Duration = Duration::from_secs(5);
/// of which this many samples are kept.
const SAMPLES: usize = 32;

/// The last seconds of a job.
#[derive(Debug)]
pub(super) struct Pace {
    samples: VecDeque<(Instant, u64)>,
}

impl Pace {
    /// Of a job that begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self { samples: VecDeque::from([(now, 0)]) }
    }

    /// The rate in bytes per second, with this many bytes received now.
    pub(super) fn sample(&mut self, now: Instant, bytes: u64) -> u64 {
        self.samples.push_back((now, bytes));
        // The newest sample before the window stays as its beginning.
        while self.samples.len() > SAMPLES
            || self.samples.get(1).is_some_and(|(when, _)| now.duration_since(*when) >= WINDOW)
        {
            self.samples.pop_front();
        }
        let Some(&(since, before)) = self.samples.front() else { return 0 };
        let millis = now.duration_since(since).as_millis();
        let bytes = u128::from(bytes.saturating_sub(before)).saturating_mul(1000);
        bytes.checked_div(millis).map_or(0, |rate| u64::try_from(rate).unwrap_or(u64::MAX))
    }
}

/// Seconds until the rest has arrived at this rate; `None` if unknown.
pub(super) fn remaining(total: u64, bytes: u64, rate: u64) -> Option<Duration> {
    if total == 0 {
        return None;
    }
    let micros = u128::from(total.saturating_sub(bytes)).saturating_mul(1_000_000).checked_div(u128::from(rate))?;
    u64::try_from(micros).ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.sample(start, 0), 0);
        assert_eq!(pace.sample(start + Duration::from_secs(1), 1000), 1000);
        for second in 2..10 {
            pace.sample(start + Duration::from_secs(second), 1000);
        }
        assert_eq!(pace.sample(start + Duration::from_secs(10), 1000), 0);
    }

    #[test]
    fn the_samples_of_a_rate_are_bounded() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for step in 1..1000 {
            pace.sample(start + Duration::from_millis(step), step);
        }
        assert!(pace.samples.len() <= SAMPLES);
    }

    #[test]
    fn the_end_is_unknown_without_total_or_rate() {
        assert_eq!(remaining(0, 5, 10), None);
        assert_eq!(remaining(10, 5, 0), None);
        assert_eq!(remaining(10, 5, 5), Some(Duration::from_secs(1)));
        assert_eq!(remaining(10, 15, 5), Some(Duration::ZERO));
        assert_eq!(remaining(u64::MAX, 0, 1), None);
    }
}
