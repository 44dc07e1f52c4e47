//! When backups start: pure functions of a schedule, a time zone and a time.
//!
//! `times` has the instants of a schedule. `due` decides what is due from the newest instant and the last good run, so that
//! catching up after a suspend, a power cut or an absence needs no state of its own; and when a backup is overdue.
//! `parse` reads the words of the configuration; `window` is a part of each day.

mod due;
mod parse;
mod times;
mod window;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod year_tests;

use std::time::Duration;

use jiff::civil::{Time, Weekday};

pub use due::OverdueFor;
pub(crate) use due::{Attempts, Due, Expected, counted_from, is_from_future, is_over, overdue_after};
pub(crate) use times::Calendar;
pub(crate) use window::Window;

/// When a backup starts: the union of its entries. At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Entry>);

/// One entry of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// When one of its destinations is attached.
    OnPlug,
    /// Only on request; it stands alone.
    Manual,
    /// At the multiples of this duration since 1970, in universal time: the clocks of a zone do not change its length.
    Every(Duration),
    /// Every day at this local time.
    Daily(Time),
    /// Every week.
    Weekly(Weekday, Time),
    /// Every month; in a shorter month on its last day.
    Monthly(i8, Time),
}

impl Schedule {
    /// Only on request.
    #[must_use]
    pub fn manual() -> Self {
        Self(vec![Entry::Manual])
    }

    /// Whether it starts when a destination is attached.
    #[must_use]
    pub fn is_on_plug(&self) -> bool {
        self.0.contains(&Entry::OnPlug)
    }

    /// Whether it starts at times.
    #[must_use]
    pub fn has_times(&self) -> bool {
        self.0.iter().any(|entry| entry.period().is_some())
    }

    /// The entries as the configuration writes them.
    #[must_use]
    pub fn entries(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// The time between two instants of its most frequent entry; None without times.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.0.iter().filter_map(|entry| entry.period()).min()
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self(vec![Entry::OnPlug])
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Entry {
    fn period(self) -> Option<Duration> {
        match self {
            Self::OnPlug | Self::Manual => None,
            Self::Every(period) => Some(period),
            Self::Daily(_) => Some(DAY),
            Self::Weekly(..) => Some(DAY.saturating_mul(7)),
            Self::Monthly(..) => Some(DAY.saturating_mul(31)),
        }
    }
}
