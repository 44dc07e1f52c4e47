//! `max_rate` of a destination: how fast backups write to it, by the time of day.

use std::fmt;

use jiff::tz::TimeZone;
use serde::Deserialize;

use super::streams::ByteRate;
use crate::schedule::Window;

/// Rate limits: up to one without a window, and any that do not overlap. Without one there is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MaxRate(Vec<Limit>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Limit {
    rate: ByteRate,
    /// None: at all other times.
    window: Option<Window>,
}

/// The limit at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateNow {
    /// In bytes per second.
    pub(crate) rate: Option<u64>,
    /// When it may change, in seconds since 1970.
    pub(crate) until: Option<i64>,
}

/// A string or a list of strings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    One(String),
    Several(Vec<String>),
}

/// Limit of entries.
const MOST: usize = 32;
/// The lowest rate, so that the progress of a job can be seen.
const LOWEST: u64 = 16 << 10;

const WRONG: &str = "a rate limit is a rate from 16KiB/s to 1024MiB/s, alone or with a time of day: \"20MiB/s\", \
                     \"20MiB/s 08:00-23:00\"; or a list of them";

impl<'de> Deserialize<'de> for MaxRate {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let words = match Words::deserialize(from).map_err(|_error| serde::de::Error::custom(WRONG))? {
            Words::One(word) => vec![word],
            Words::Several(words) => words,
        };
        Self::parse(&words).map_err(serde::de::Error::custom)
    }
}

impl MaxRate {
    fn parse(words: &[String]) -> Result<Self, String> {
        if words.len() > MOST {
            return Err(format!("max_rate has up to {MOST} entries"));
        }
        let mut limits: Vec<Limit> = Vec::new();
        for word in words {
            let limit = limit(word).ok_or_else(|| format!("\"{}\" is no rate limit: {WRONG}", word.escape_debug()))?;
            let overlaps = |other: &&Limit| match (&limit.window, &other.window) {
                (Some(window), Some(other)) => window.overlaps(other),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if let Some(other) = limits.iter().find(overlaps) {
                return Err(format!("\"{limit}\" and \"{other}\" are for the same time: remove one of them"));
            }
            limits.push(limit);
        }
        Ok(Self(limits))
    }

    /// The limit at `now`, in seconds since 1970. One with a window comes before the one without.
    pub(crate) fn at(&self, now: i64, zone: &TimeZone) -> RateNow {
        let windows = || self.0.iter().filter_map(|limit| Some((limit.rate, limit.window.as_ref()?)));
        let in_window = windows().find(|(_, window)| window.contains(now, zone)).map(|(rate, _)| rate);
        let other = || self.0.iter().find(|limit| limit.window.is_none()).map(|limit| limit.rate);
        let until = windows().filter_map(|(_, window)| window.next_change(now, zone)).min();
        RateNow { rate: in_window.or_else(other).map(|rate| rate.0), until }
    }

    /// The limits in words, for `check-config`; None without any.
    pub(crate) fn words(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let is_alone = self.0.len() == 1;
        let words = |limit: &Limit| match &limit.window {
            Some(window) => format!("{} from {window}", limit.rate),
            None if is_alone => limit.rate.to_string(),
            None => format!("{} otherwise", limit.rate),
        };
        Some(self.0.iter().map(words).collect::<Vec<_>>().join(", "))
    }
}

fn limit(word: &str) -> Option<Limit> {
    let (rate, window) = match word.split_once(' ') {
        Some((rate, window)) => (rate, Some(Window::parse(window)?)),
        None => (word, None),
    };
    let rate = ByteRate::try_from(rate.to_owned()).ok().filter(|rate| rate.0 >= LOWEST)?;
    Some(Limit { rate, window })
}

impl fmt::Display for Limit {
    /// As it is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.rate.to_string().replace(' ', "");
        match &self.window {
            Some(window) => write!(f, "{rate} {window}"),
            None => f.write_str(&rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<MaxRate, String> {
        MaxRate::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_window_comes_before_the_limit_of_all_other_times() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        // 2026-06-15, 12:00 in Berlin.
        let noon = 1_781_517_600;
        for words in [["5MiB/s", "20MiB/s 22:00-06:00"], ["20MiB/s 22:00-06:00", "5MiB/s"]] {
            let rates = parse(&words).expect("good");
            assert_eq!(rates.at(noon, &zone), RateNow { rate: Some(5 << 20), until: Some(noon + 10 * 3600) });
            let night = RateNow { rate: Some(20 << 20), until: Some(noon + 18 * 3600) };
            assert_eq!(rates.at(noon + 10 * 3600, &zone), night);
            assert_eq!(rates.at(noon + 17 * 3600, &zone), night, "after midnight");
        }
        let day = parse(&["20MiB/s 08:00-23:00"]).expect("good");
        assert_eq!(day.at(noon, &zone), RateNow { rate: Some(20 << 20), until: Some(noon + 11 * 3600) });
        assert_eq!(day.at(noon + 11 * 3600, &zone), RateNow { rate: None, until: Some(noon + 20 * 3600) });
        assert_eq!(parse(&["1MiB/s"]).expect("good").at(noon, &zone), RateNow { rate: Some(1 << 20), until: None });
        assert_eq!(MaxRate::default().at(noon, &zone), RateNow { rate: None, until: None });
    }

    #[test]
    fn limits_for_the_same_time_and_wrong_ones_are_refused() {
        for (wrong, what) in [
            (&["20MiB/s 08:00-12:00", "5MiB/s 11:00-13:00"][..], "for the same time"),
            (&["20MiB/s", "5MiB/s"], "\"5MiB/s\" and \"20MiB/s\" are for the same time"),
            (&["0B/s"], "is no rate limit"),
            (&["1KiB/s"], "from 16KiB/s"),
            (&["20MB/s"], "is no rate limit"),
            (&["20MiB/s 08:00"], "is no rate limit"),
            (&["20MiB/s  08:00-09:00"], "is no rate limit"),
            (&["08:00-09:00 20MiB/s"], "is no rate limit"),
            (&[""], "is no rate limit"),
        ] {
            let refused = parse(wrong).expect_err("wrong");
            assert!(refused.contains(what), "{wrong:?}: {refused}");
        }
        assert!(parse(&["1MiB/s"; 33]).expect_err("too many").contains("up to 32"));
        assert_eq!(parse(&[]), Ok(MaxRate::default()));
        let words = parse(&["20MiB/s 08:00-23:00", "64KiB/s"]).expect("good").words();
        assert_eq!(words.as_deref(), Some("20 MiB/s from 08:00-23:00, 64 KiB/s otherwise"));
    }
}
