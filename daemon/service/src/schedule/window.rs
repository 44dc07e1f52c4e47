//! A part of each day: `08:00-23:00`, in local time. One that ends before it begins goes over midnight.

use std::fmt;

use jiff::Timestamp;
use jiff::ToSpan as _;
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;

use super::parse::{Clock, time};
use super::times::local;

/// From its first time up to, and without, its second one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    from: Time,
    to: Time,
}

impl Window {
    /// Reads `HH:MM-HH:MM`. None if it is anything else, or empty.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (time(from)?, if to == "24:00" { Time::midnight() } else { time(to)? });
        (from != to).then_some(Self { from, to })
    }

    /// Whether the local time at `now`, in seconds since 1970, is in it.
    pub(crate) fn contains(&self, now: i64, zone: &TimeZone) -> bool {
        local(now, zone).is_some_and(|now| self.has(now.time()))
    }

    /// Whether a time of day is in both.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.has(other.from) || other.has(self.from)
    }

    fn has(&self, time: Time) -> bool {
        if self.from < self.to { (self.from..self.to).contains(&time) } else { time >= self.from || time < self.to }
    }

    /// The first moment after `now` at which [`Self::contains`] may change.
    pub(crate) fn next_change(&self, now: i64, zone: &TimeZone) -> Option<i64> {
        let today = local(now, zone)?.date();
        let mut moments = Vec::new();
        for day in [today, today.checked_add(1.day()).ok()?] {
            for border in [self.from, self.to] {
                // One that exists twice is two moments; one that the clocks skip is when they do.
                let times = zone.to_ambiguous_timestamp(DateTime::from_parts(day, border));
                moments.extend([times.earlier(), times.later()].into_iter().flatten());
            }
        }
        // The clocks may be set into it, or out of it.
        let set = zone.following(Timestamp::from_second(now).ok()?).next().map(|transition| transition.timestamp());
        moments.into_iter().chain(set).map(Timestamp::as_second).filter(|moment| *moment > now).min()
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", Clock(self.from), Clock(self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn window(text: &str) -> Window {
        Window::parse(text).expect(text)
    }

    #[test]
    fn a_window_is_two_different_times() {
        for good in ["08:00-23:00", "22:00-06:30", "0:00-24:00", "23:00-00:00"] {
            let is_whole = good == "0:00-24:00";
            assert_eq!(Window::parse(good).is_none(), is_whole, "{good}");
        }
        for wrong in
            ["", "08:00", "8-9", "08:00-08:00", "08:00-25:00", "08:00 - 09:00", "08:00-09:00-10:00", "24:00-01:00"]
        {
            assert_eq!(Window::parse(wrong), None, "{wrong}");
        }
        assert_eq!(window("8:00-24:00").to_string(), "08:00-00:00");
    }

    #[test]
    fn windows_overlap_also_over_midnight() {
        let overlap =
            |one: &str, other: &str| window(one).overlaps(&window(other)) && window(other).overlaps(&window(one));
        assert!(overlap("08:00-12:00", "11:59-13:00") && overlap("22:00-06:00", "05:00-05:30"));
        assert!(overlap("22:00-06:00", "23:00-01:00") && overlap("08:00-20:00", "09:00-10:00"));
        assert!(!overlap("08:00-12:00", "12:00-13:00") && !overlap("22:00-06:00", "06:00-22:00"));
    }

    /// Every five minutes of forty days around each change of the clocks: the moments of change are exactly those that are announced.
    #[test]
    fn each_change_is_announced_in_every_zone() {
        // 2026-03-01 and 2026-10-01.
        for (begin, zone) in [1_772_323_200, 1_790_812_800]
            .into_iter()
            .flat_map(|begin| super::super::tests::ZONES.map(|zone| (begin, zone)))
        {
            let zone = super::super::tests::zone(zone);
            for text in ["08:00-23:00", "22:00-06:00", "02:30-03:30", "01:00-02:30", "00:00-02:00", "23:59-00:01"] {
                let (window, mut now) = (window(text), begin);
                let mut is_in = window.contains(now, &zone);
                while now < begin + 40 * 24 * HOUR {
                    let next = window.next_change(now, &zone).expect("it changes every day");
                    assert!(next > now && next <= now + 25 * HOUR, "{text} {now} {next}");
                    for minute in ((now + 60)..next).step_by(300) {
                        assert_eq!(window.contains(minute, &zone), is_in, "{text} at {minute}, before {next}");
                    }
                    (now, is_in) = (next, window.contains(next, &zone));
                }
            }
        }
    }

    #[test]
    fn the_clock_that_goes_back_repeats_the_end_of_a_window() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        // 2026-10-25: 03:00 becomes 02:00 at 01:00 in universal time.
        let (window, back) = (window("01:00-02:30"), 1_792_890_000);
        let is_in = |at: i64| window.contains(at, &zone);
        assert!(is_in(back - HOUR) && !is_in(back - HOUR / 2) && is_in(back) && !is_in(back + HOUR / 2));
        assert_eq!(window.next_change(back - HOUR, &zone), Some(back - HOUR / 2));
        assert_eq!(window.next_change(back - HOUR / 2, &zone), Some(back));
        assert_eq!(window.next_change(back, &zone), Some(back + HOUR / 2));
    }
}
