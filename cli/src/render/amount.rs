//! Readable sizes, durations and times.

use std::time::{SystemTime, UNIX_EPOCH};

use indicatif::BinaryBytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `1.50 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    BinaryBytes(count).to_string()
}

/// `1:05` or `26:01:05`.
pub(crate) fn duration(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `2026-11-22 17:30`, in local time. (The C library's localtime is not thread-safe.)
pub(crate) fn moment(micros: u64) -> String {
    let moment = i64::try_from(micros).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok());
    moment.map_or_else(
        || "unknown".to_owned(),
        |moment| TimeZone::system().to_datetime(moment).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

/// Microseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_durations_have_no_hours() {
        assert_eq!(duration(0), "0:00");
        assert_eq!(duration(65_900_000), "1:05");
        assert_eq!(duration(93_665_000_000), "26:01:05");
    }

    #[test]
    fn every_moment_has_a_text() {
        assert!(!moment(u64::MAX).is_empty());
        assert!(moment(1_700_000_000_000_000).starts_with("2023-11-1"));
    }
}
