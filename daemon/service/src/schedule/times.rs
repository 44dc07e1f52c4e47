//! The instants of a schedule, in seconds since 1970.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::{Entry, Schedule};

/// What turns a schedule into instants.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    /// The zone of local times.
    pub zone: TimeZone,
    /// Each instant is so much later: a part of `spread`, fixed for one backup of one machine.
    pub delay: Duration,
}

impl Schedule {
    /// The newest instant up to `now`. None without times.
    pub(crate) fn newest(&self, now: i64, calendar: &Calendar) -> Option<i64> {
        let delay = calendar.delay();
        let at = now.saturating_sub(delay);
        let newest = self.0.iter().filter_map(|entry| entry.newest(at, &calendar.zone)).max()?;
        newest.checked_add(delay)
    }

    /// The first instant after `now`. None without times.
    pub(crate) fn next(&self, now: i64, calendar: &Calendar) -> Option<i64> {
        let delay = calendar.delay();
        let at = now.saturating_sub(delay);
        let next = self.0.iter().filter_map(|entry| entry.next(at, &calendar.zone)).min()?;
        next.checked_add(delay)
    }
}

impl Calendar {
    /// Of a backup: the hash of machine and backup decides which part of `spread` delays it.
    pub(crate) fn of(zone: TimeZone, spread: Duration, machine: [u8; 16], backup: &str) -> Self {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::new().chain_update(machine).chain_update(backup).finalize();
        let number = hash.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let delay = number.checked_rem(spread.as_secs()).map_or(Duration::ZERO, Duration::from_secs);
        Self { zone, delay }
    }

    fn delay(&self) -> i64 {
        i64::try_from(self.delay.as_secs()).unwrap_or(0)
    }
}

impl Entry {
    fn newest(self, at: i64, zone: &TimeZone) -> Option<i64> {
        if let Self::Every(period) = self {
            return multiple_before(at, period);
        }
        // Where clocks go back over midnight, the one of tomorrow may have been.
        let mut day = local(at, zone)?.date().tomorrow().ok()?;
        for _ in 0..MOST_DAYS {
            match self.on(day, zone) {
                Some(instant) if instant <= at => return Some(instant),
                Some(_) | None => day = day.yesterday().ok()?,
            }
        }
        None
    }

    fn next(self, at: i64, zone: &TimeZone) -> Option<i64> {
        if let Self::Every(period) = self {
            return multiple_before(at, period)?.checked_add(i64::try_from(period.as_secs()).ok()?);
        }
        // The one of yesterday may have been moved behind midnight.
        let mut day = local(at, zone)?.date().checked_sub(1.day()).ok()?;
        for _ in 0..MOST_DAYS {
            match self.on(day, zone) {
                Some(instant) if instant > at => return Some(instant),
                Some(_) | None => day = day.tomorrow().ok()?,
            }
        }
        None
    }

    /// Its instant on a local day, if it has one.
    fn on(self, day: Date, zone: &TimeZone) -> Option<i64> {
        let time = match self {
            Self::Daily(time) => Some(time),
            Self::Weekly(weekday, time) => (day.weekday() == weekday).then_some(time),
            Self::Monthly(number, time) => (day.day() == number.min(day.days_in_month())).then_some(time),
            Self::OnPlug | Self::Manual | Self::Every(_) => None,
        }?;
        instant(day, time, zone)
    }
}

/// Days between two instants of one entry, with some more.
const MOST_DAYS: u8 = 70;

/// The one instant of a local time. One that exists twice is the first; one that the clocks skip is as much later as they skip.
fn instant(day: Date, time: Time, zone: &TimeZone) -> Option<i64> {
    let instant = zone.to_ambiguous_timestamp(DateTime::from_parts(day, time)).compatible().ok()?;
    Some(instant.as_second())
}

pub(super) fn local(at: i64, zone: &TimeZone) -> Option<DateTime> {
    Some(zone.to_datetime(Timestamp::from_second(at).ok()?))
}

fn multiple_before(at: i64, period: Duration) -> Option<i64> {
    let period = i64::try_from(period.as_secs()).ok()?;
    at.checked_sub(at.checked_rem_euclid(period)?)
}
