//! The rate over the last few seconds, so that a pause is visible and a peak is not.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back is looked.
const WINDOW: Duration = Duration::from_secs(5);

/// Counts of bytes at moments within the window, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Speed {
    samples: VecDeque<(Instant, u64)>,
}

impl Speed {
    /// Notes how many bytes there are by now; returns bytes per second.
    pub(crate) fn note(&mut self, now: Instant, bytes: u64) -> u64 {
        while self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.samples.pop_front();
        }
        self.samples.push_back((now, bytes));
        let Some(&(since, before)) = self.samples.front() else { return 0 };
        let millis = now.duration_since(since).as_millis();
        let rate = u128::from(bytes.saturating_sub(before)).saturating_mul(1000).checked_div(millis);
        rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_window() {
        let start = Instant::now();
        let mut speed = Speed::default();
        assert_eq!(speed.note(start, 0), 0);
        assert_eq!(speed.note(start + Duration::from_secs(2), 4000), 2000);
        assert_eq!(speed.note(start + Duration::from_secs(6), 4000), 0);
    }
}
