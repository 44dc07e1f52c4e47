//! The words of a schedule: `on-plug`, `hourly`, `every 6h`, `daily 02:00`, `weekly sun 03:00`, `monthly 1 03:00`, `manual`.

use std::fmt;
use std::time::Duration;

use jiff::civil::{Time, Weekday};
use serde::Deserialize;

use super::{DAY, Entry, Schedule};

/// A string or a list of strings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Several(Vec<String>),
}

/// Limit of entries in one schedule.
const MOST: usize = 32;
/// The shortest and the longest period of `every`.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

const WRONG: &str = "a schedule is one of \"on-plug\", \"hourly\", \"every 6h\", \"daily 02:00\", \"weekly sun 03:00\", \
                     \"monthly 1 03:00\" and \"manual\", or a list of them";

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let words = match Words::deserialize(from).map_err(|_error| serde::de::Error::custom(WRONG))? {
            Words::One(word) => vec![word],
            Words::Several(words) => words,
        };
        Self::parse(&words).map_err(serde::de::Error::custom)
    }
}

impl Schedule {
    /// Reads its entries.
    ///
    /// # Errors
    /// A sentence with the entry that is wrong.
    pub fn parse(words: &[impl AsRef<str>]) -> Result<Self, String> {
        if words.is_empty() {
            return Err("a schedule has at least one entry; \"manual\" starts nothing by itself".to_owned());
        }
        if words.len() > MOST {
            return Err(format!("a schedule has up to {MOST} entries"));
        }
        let mut entries = Vec::new();
        for word in words {
            let word = word.as_ref();
            let entry = entry(word).ok_or_else(|| format!("\"{}\" is no schedule: {WRONG}", word.escape_debug()))?;
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
        if entries.len() > 1 && entries.contains(&Entry::Manual) {
            return Err("\"manual\" stands alone: remove it, or the other entries of the schedule".to_owned());
        }
        Ok(Self(entries))
    }
}

fn entry(text: &str) -> Option<Entry> {
    let words: Vec<&str> = text.split(' ').collect();
    match *words.as_slice() {
        ["on-plug"] => Some(Entry::OnPlug),
        ["manual"] => Some(Entry::Manual),
        ["hourly"] => Some(Entry::Every(Duration::from_secs(3600))),
        ["every", period] => every(period).map(Entry::Every),
        ["daily", at] => Some(Entry::Daily(time(at)?)),
        ["weekly", day, at] => Some(Entry::Weekly(weekday(day)?, time(at)?)),
        ["monthly", day, at] => {
            let day = number(day, 2).and_then(|day| i8::try_from(day).ok()).filter(|day| (1..=31).contains(day))?;
            Some(Entry::Monthly(day, time(at)?))
        }
        _ => None,
    }
}

/// `15m`, `6h`, `2d` or `1w`.
fn every(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..)? {
        "m" => 60,
        "h" => 3600,
        "d" => DAY.as_secs(),
        "w" => DAY.as_secs().checked_mul(7)?,
        _ => return None,
    };
    let period = Duration::from_secs(u64::from(number(digits, 5)?).checked_mul(unit)?);
    (SHORTEST..=LONGEST).contains(&period).then_some(period)
}

/// `HH:MM`.
pub(super) fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':').filter(|(_, minute)| minute.len() == 2)?;
    let number = |text: &str| number(text, 2).and_then(|number| i8::try_from(number).ok());
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn number(text: &str, most: usize) -> Option<u32> {
    let is_plain = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

const WEEKDAYS: [(&str, &str, Weekday); 7] = [
    ("mon", "Monday", Weekday::Monday),
    ("tue", "Tuesday", Weekday::Tuesday),
    ("wed", "Wednesday", Weekday::Wednesday),
    ("thu", "Thursday", Weekday::Thursday),
    ("fri", "Friday", Weekday::Friday),
    ("sat", "Saturday", Weekday::Saturday),
    ("sun", "Sunday", Weekday::Sunday),
];

fn weekday(text: &str) -> Option<Weekday> {
    WEEKDAYS.iter().find(|(short, _, _)| *short == text).map(|(_, _, day)| *day)
}

fn day_words(day: Weekday) -> (&'static str, &'static str) {
    WEEKDAYS.iter().find(|(_, _, known)| *known == day).map_or(("", ""), |(short, long, _)| (short, long))
}

pub(super) struct Clock(pub(super) Time);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0.hour(), self.0.minute())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OnPlug => f.write_str("on-plug"),
            Self::Manual => f.write_str("manual"),
            Self::Every(HOUR) => f.write_str("hourly"),
            Self::Every(period) => write!(f, "every {}", short(period)),
            Self::Daily(time) => write!(f, "daily {}", Clock(time)),
            Self::Weekly(day, time) => write!(f, "weekly {} {}", day_words(day).0, Clock(time)),
            Self::Monthly(day, time) => write!(f, "monthly {day} {}", Clock(time)),
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);

fn short(period: Duration) -> String {
    let minutes = period.as_secs() / 60;
    let units = [("w", 7 * 24 * 60), ("d", 24 * 60), ("h", 60)];
    let unit = units.iter().find(|(_, length)| minutes.is_multiple_of(*length));
    unit.map_or_else(|| format!("{minutes}m"), |(unit, length)| format!("{}{unit}", minutes / length))
}

impl Schedule {
    /// When it starts, for `check-config`.
    pub(crate) fn words(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|entry| entry.words()).collect();
        match self.0.as_slice() {
            [Entry::Manual] => "on request".to_owned(),
            _ => format!("{}, and on request", words.join(", ")),
        }
    }
}

impl Entry {
    fn words(self) -> String {
        match self {
            Self::OnPlug => "when one of its drives is plugged in".to_owned(),
            Self::Manual => "on request".to_owned(),
            Self::Every(HOUR) => "every hour".to_owned(),
            Self::Every(period) => format!("every {}", short(period)),
            Self::Daily(time) => format!("every day at {}", Clock(time)),
            Self::Weekly(day, time) => format!("every {} at {}", day_words(day).1, Clock(time)),
            Self::Monthly(day @ 29..=31, time) => {
                format!("on day {day} of every month (the last day of a shorter one) at {}", Clock(time))
            }
            Self::Monthly(day, time) => format!("on day {day} of every month at {}", Clock(time)),
        }
    }
}
