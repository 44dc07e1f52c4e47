//! The limits of a stream that a caller passes: a minimum rate and a maximum time.
//!
//! The rate is the bytes that arrived while the worker waited for the stream, divided by that waiting time: neither a
//! slow volume nor making a subvolume durable makes a stream slow. The worker reports the waiting time; callers pass
//! the time for the time limit.
//!
//! The rate applies to root too, because a dead connection would block its volume for ever. The time limit applies
//! only to other users: it bounds how long they can block a volume, while a long first transfer of root is legitimate.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{ByteRate, StreamRules, duration_words};

/// Samples are about this part of the window apart.
const STEPS: u32 = 16;

/// The limits of one stream, and its samples.
#[derive(Debug)]
pub(super) struct StreamLimit {
    least_rate: ByteRate,
    rate_window: Duration,
    /// Its end by the time limit, and the limit.
    end: Option<(Instant, Duration)>,
    /// The total wait, and the bytes received by then; the oldest first, about a step apart.
    samples: VecDeque<(Duration, u64)>,
    /// The total wait of the last report, and the part of it that does not count.
    reported: Duration,
    left_out: Duration,
}

/// The limit that a stream exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamExcess {
    /// It was slower than the minimum rate.
    Slow { bytes: u64, waited: Duration, least: ByteRate },
    /// It took longer than the limit.
    Long { limit: Duration },
}

impl StreamLimit {
    /// Of a stream of this user, whose job begins now.
    pub(super) fn new(rules: &StreamRules, uid: u32, now: Instant) -> Self {
        let StreamRules { least_rate, rate_window, time_limit } = *rules;
        let end = if uid == 0 { None } else { now.checked_add(time_limit).map(|end| (end, time_limit)) };
        let samples = VecDeque::from([(Duration::ZERO, 0)]);
        Self { least_rate, rate_window, end, samples, reported: Duration::ZERO, left_out: Duration::ZERO }
    }

    /// Applies a report: the total wait for the stream, and the bytes received. While a subvolume is made durable the wait does
    /// not count.
    pub(super) fn hear(&mut self, waited: Duration, bytes: u64, is_settling: bool) -> Option<StreamExcess> {
        let grown = waited.saturating_sub(self.reported);
        self.reported = self.reported.max(waited);
        if is_settling {
            self.left_out = self.left_out.saturating_add(grown);
        }
        let now = self.reported.saturating_sub(self.left_out);
        let excess = self.judge(now, bytes);
        let step = self.rate_window / STEPS;
        if self.samples.back().is_none_or(|(last, _)| now.saturating_sub(*last) >= step) {
            self.samples.push_back((now, bytes));
        }
        // The one before the window stays as its beginning.
        while self.samples.get(1).is_some_and(|(when, _)| now.saturating_sub(*when) >= self.rate_window) {
            self.samples.pop_front();
        }
        excess
    }

    fn judge(&self, now: Duration, bytes: u64) -> Option<StreamExcess> {
        let (since, before) = *self.samples.iter().rfind(|(when, _)| now.saturating_sub(*when) >= self.rate_window)?;
        let (waited, bytes) = (now.saturating_sub(since), bytes.saturating_sub(before));
        let least = u128::from(self.least_rate.0).saturating_mul(waited.as_millis());
        let is_slow = u128::from(bytes).saturating_mul(1000) < least;
        is_slow.then_some(StreamExcess::Slow { bytes, waited, least: self.least_rate })
    }

    /// When its time limit ends.
    pub(super) fn end(&self) -> Option<Instant> {
        self.end.map(|(end, _)| end)
    }

    /// Whether it has exceeded the time limit.
    pub(super) fn overtime(&self, now: Instant) -> Option<StreamExcess> {
        self.end.filter(|(end, _)| now >= *end).map(|(_, limit)| StreamExcess::Long { limit })
    }
}

impl StreamExcess {
    /// What happened, and what to do about it.
    pub(super) fn words(self) -> (String, String) {
        match self {
            Self::Slow { bytes, waited, least } => {
                let seconds = waited.as_secs();
                let minutes = seconds - seconds % 60;
                let over = duration_words(Duration::from_secs(if minutes > 60 { minutes } else { seconds }));
                (
                    format!(
                        "the stream was too slow: {bytes} bytes in {over} of waiting, and the minimum is {least} on \
                         average"
                    ),
                    "check the sender and its connection and send again, or change least_rate or rate_window in \
                     [streams] of butterdock.toml"
                        .to_owned(),
                )
            }
            Self::Long { limit } => (
                format!("the stream took longer than {}", duration_words(limit)),
                "send smaller increments, receive it as root, or change time_limit in [streams] of butterdock.toml"
                    .to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const KIB: u64 = 1024;

    fn limit(uid: u32) -> (StreamLimit, Instant) {
        let now = Instant::now();
        (StreamLimit::new(&StreamRules::default(), uid, now), now)
    }

    /// The first excess within `within` of a sender that sends `bytes` after each wait of `every`.
    fn sent(every: Duration, bytes: u64, within: Duration) -> Option<(Duration, StreamExcess)> {
        let (mut limit, _) = limit(1000);
        let (mut waited, mut sum) = (Duration::ZERO, 0);
        let mut next = every;
        while waited < within {
            waited += SECOND;
            if waited >= next {
                (next, sum) = (next + every, sum + bytes);
            }
            if let Some(excess) = limit.hear(waited, sum, false) {
                return Some((waited, excess));
            }
        }
        None
    }

    #[test]
    fn streams_that_stall_or_trickle_are_slow_after_the_window() {
        for (every, bytes) in [(365 * 24 * 60 * MINUTE, 0), (15 * SECOND, 1), (SECOND, 1000)] {
            let (after, excess) = sent(every, bytes, 60 * MINUTE).expect("ended");
            assert!((15 * MINUTE..17 * MINUTE).contains(&after), "{every:?} {bytes}: {after:?}");
            assert!(matches!(excess, StreamExcess::Slow { least: ByteRate(KIB), .. }), "{excess:?}");
        }
    }

    #[test]
    fn weak_uplinks_and_long_pauses_are_not_slow() {
        let day = 24 * 60 * MINUTE;
        // A modem, an uplink of 64 kbit/s, a sender that searches for minutes, a sender that is paused.
        for (every, bytes) in [(SECOND, 3000), (SECOND, 8 * KIB), (5 * MINUTE, KIB * KIB), (14 * MINUTE, 1 << 30)] {
            assert_eq!(sent(every, bytes, day), None, "{every:?} {bytes}");
        }
    }

    #[test]
    fn a_silence_after_much_was_sent_is_slow_too() {
        let (mut limit, _) = limit(0);
        assert_eq!(limit.hear(MINUTE, 10 << 30, false), None);
        assert_eq!(limit.hear(15 * MINUTE, 10 << 30, false), None);
        let excess = StreamExcess::Slow { bytes: 0, waited: 15 * MINUTE, least: ByteRate(KIB) };
        assert_eq!(limit.hear(16 * MINUTE, 10 << 30, false), Some(excess));
    }

    #[test]
    fn making_durable_does_not_count_for_the_limits() {
        let (mut limit, _) = limit(0);
        assert_eq!(limit.hear(MINUTE, 5, false), None);
        for minute in 2..600 {
            assert_eq!(limit.hear(minute * MINUTE, 5, true), None);
        }
        assert_eq!(limit.hear(600 * MINUTE, 5, false), None);
        assert!(limit.hear(615 * MINUTE, 5, false).is_some());
    }

    #[test]
    fn a_volume_that_writes_for_hours_makes_no_stream_slow() {
        let (mut limit, _) = limit(0);
        // Hours pass, of which the worker has waited a few seconds for the stream.
        for hour in 1..100 {
            assert_eq!(limit.hear(hour * SECOND, u64::from(hour), false), None);
        }
    }

    #[test]
    fn without_a_least_rate_no_stream_is_slow() {
        let rules = StreamRules { least_rate: ByteRate(0), ..StreamRules::default() };
        let mut limit = StreamLimit::new(&rules, 1000, Instant::now());
        for day in 1..100 {
            assert_eq!(limit.hear(day * 24 * 60 * MINUTE, 0, false), None);
        }
    }

    #[test]
    fn the_samples_of_a_stream_are_bounded() {
        let (mut limit, _) = limit(0);
        for step in 1..100_000 {
            limit.hear(step * SECOND / 4, 1 << 40, false);
            assert!(limit.samples.len() <= 18, "{}", limit.samples.len());
        }
    }

    #[test]
    fn the_time_limit_does_not_apply_to_root() {
        let week = 7 * 24 * 60 * MINUTE;
        let (users, now) = limit(1000);
        assert_eq!(users.end(), Some(now + week));
        assert_eq!(users.overtime(now + week - SECOND), None);
        assert_eq!(users.overtime(now + week), Some(StreamExcess::Long { limit: week }));
        let (roots, now) = limit(0);
        assert_eq!((roots.end(), roots.overtime(now + 100 * week)), (None, None));
    }

    #[test]
    fn the_message_names_rate_limit_and_setting() {
        let slow = StreamExcess::Slow { bytes: 60, waited: 15 * MINUTE, least: ByteRate(KIB) };
        let (what, next) = slow.words();
        assert!(what.contains("60 bytes in 15 minutes") && what.contains("1 KiB/s"), "{what}");
        assert!(next.contains("least_rate") && next.contains("rate_window") && next.contains("[streams]"), "{next}");
        let (what, next) = StreamExcess::Long { limit: 7 * 24 * 60 * MINUTE }.words();
        assert!(what.ends_with("longer than 1 week") && next.contains("time_limit"), "{what} {next}");
    }
}
