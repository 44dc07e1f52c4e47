//! The calendar of UTC, without a time zone database: the dates in names of snapshots, and the periods of retention.

use jiff::SignedDuration;
use jiff::civil::DateTime;

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The date and time of seconds since 1970; the nearest that the calendar has, which ends with the year 9999.
pub(super) fn date_time(seconds: i64) -> DateTime {
    EPOCH.saturating_add(SignedDuration::from_secs(seconds))
}

/// The seconds since 1970 of a date and time.
pub(super) fn seconds(date_time: DateTime) -> i64 {
    date_time.duration_since(EPOCH).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_what_the_calendar_says() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_795_378_500, "2026-11-22T20:15:00"),
            (-1, "1969-12-31T23:59:59"),
            (i64::MAX, "9999-12-31T23:59:59.999999999"),
        ] {
            assert_eq!(date_time(seconds).to_string(), text);
        }
    }

    #[test]
    fn every_day_of_a_thousand_years_comes_back() {
        for day in 0..365_250 {
            let time = day * DAY + 12_345;
            assert_eq!(seconds(date_time(time)), time);
        }
    }
}
