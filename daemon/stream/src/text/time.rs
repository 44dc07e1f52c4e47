//! A point in time as text, in a zone that the caller gives.
//!
//! The calendar is computed here, because a stream may hold any 64-bit number of seconds, and `btrfs receive --dump` prints
//! years that calendar libraries do not have.

use std::fmt;

const DAY: i64 = 86_400;

/// Local time: the civil date and clock somewhere, and how far that is from UTC.
#[derive(Debug)]
pub(super) struct Local {
    days: i64,
    second: i64,
    offset: i32,
}

impl Local {
    /// `seconds` since 1970 in UTC, shown `offset` seconds ahead of UTC.
    pub(super) fn new(seconds: i64, offset: i32) -> Self {
        let local = seconds.saturating_add(i64::from(offset));
        Self { days: local.div_euclid(DAY), second: local.rem_euclid(DAY), offset }
    }
}

impl fmt::Display for Local {
    /// As strftime's `%FT%T%z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.days);
        let (hour, minute, second) = (self.second / 3600, self.second / 60 % 60, self.second % 60);
        let sign = if self.offset < 0 { '-' } else { '+' };
        let ahead = self.offset.unsigned_abs() / 60;
        write!(f, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        write!(f, "{sign}{:02}{:02}", ahead / 60, ahead % 60)
    }
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is a year's last; 400 of them have 146 097 days. The sums stay
/// far inside 64 bits, because `days` came from seconds.
fn civil(days: i64) -> (i64, i64, i64) {
    let since_march_of_0 = days.saturating_add(719_468);
    let (era, day) = (since_march_of_0.div_euclid(146_097), since_march_of_0.rem_euclid(146_097));
    // Days without those leap days that the year-count below does not expect.
    let even = day.saturating_sub(day / 1460).saturating_add(day / 36_524).saturating_sub(day / 146_096);
    let year = even / 365;
    let before = year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100);
    let in_year = day.saturating_sub(before);
    let from_march = in_year.saturating_mul(5).saturating_add(2) / 153;
    let day = in_year.saturating_sub(from_march.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let month = if from_march < 10 { from_march.saturating_add(3) } else { from_march.saturating_sub(9) };
    let year = era.saturating_mul(400).saturating_add(year);
    (if month <= 2 { year.saturating_add(1) } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_shown_right() {
        for (seconds, offset, text) in [
            (0, 0, "1970-01-01T00:00:00+0000"),
            (-1, 0, "1969-12-31T23:59:59+0000"),
            (951_782_400, 0, "2000-02-29T00:00:00+0000"),
            (1_709_251_199, 3600, "2024-03-01T00:59:59+0100"),
            (4_107_542_400, 0, "2100-03-01T00:00:00+0000"),
            (1_700_000_000, -12_600, "2023-11-14T18:43:20-0330"),
            (253_402_300_800, 0, "10000-01-01T00:00:00+0000"),
        ] {
            assert_eq!(Local::new(seconds, offset).to_string(), text);
        }
    }

    #[test]
    fn the_ends_of_the_range_do_not_panic() {
        assert!(!Local::new(i64::MAX, i32::MAX).to_string().is_empty());
        assert!(!Local::new(i64::MIN, i32::MIN).to_string().is_empty());
    }
}
