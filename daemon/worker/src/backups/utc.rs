//! Times in UTC, as a calendar has them: no zone and no leap second.

use std::fmt;

/// A moment in UTC, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Utc {
    /// May be negative: before the first of January of the year 1.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
}

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;
/// Days from the first of March of the year 0 to the first of January 1970.
const EPOCH: i64 = 719_468;
/// Days in four hundred years, after which the calendar repeats itself.
const ERA: i64 = 146_097;

impl Utc {
    /// From seconds since 1970.
    pub(super) fn from_seconds(seconds: i64) -> Self {
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let rest = seconds.rem_euclid(DAY);
        Self { year, month, day, hour: rest / HOUR, minute: rest % HOUR / MINUTE, second: rest % MINUTE }
    }

    /// Seconds since 1970; none where the calendar has no such moment.
    pub(super) fn seconds(self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second } = self;
        let fits = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second);
        let seconds = || days(year, month, day) * DAY + hour * HOUR + minute * MINUTE + second;
        // A day that its month does not have comes back as another.
        fits.then(seconds).filter(|&seconds| Self::from_seconds(seconds) == self)
    }
}

/// The day of the calendar that is so many days after the first of January 1970. The year is thought to begin in March,
/// so that the leap day is its last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(EPOCH);
    let (era, of_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The opposite of [`civil`], for a year from 0 to 9999.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

impl fmt::Display for Utc {
    /// As people write it: `2026-11-22 20:15 UTC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second: _ } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_what_the_calendar_says() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_795_378_500, "2026-11-22 20:15 UTC"),
            (-1, "1969-12-31 23:59 UTC"),
        ] {
            assert_eq!(Utc::from_seconds(seconds).to_string(), text);
        }
    }

    #[test]
    fn every_day_of_a_thousand_years_comes_back() {
        for day in 0..365_250 {
            let seconds = day * DAY + 12_345;
            assert_eq!(Utc::from_seconds(seconds).seconds(), Some(seconds));
        }
    }

    #[test]
    fn a_day_that_no_month_has_is_no_moment() {
        let day = |year, month, day| Utc { year, month, day, hour: 0, minute: 0, second: 0 };
        assert_eq!(day(2026, 2, 29).seconds(), None);
        assert_eq!(day(2026, 13, 1).seconds(), None);
        assert!(day(2028, 2, 29).seconds().is_some());
    }
}
