//! `[streams]`: limits for streams that callers pass.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::apply::set;

/// The minimum rate and the time limit of streams that callers pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRules {
    /// The minimum average rate while the worker waits for the stream.
    pub least_rate: ByteRate,
    /// The waiting time over which the average is taken.
    pub rate_window: Duration,
    /// The time limit of a stream of a user other than root, from the start of its job.
    pub time_limit: Duration,
}

/// Bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ByteRate(pub u64);

/// `[streams]`, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Streams {
    least_rate: Option<ByteRate>,
    rate_window: Option<Window>,
    time_limit: Option<Limit>,
}

/// A second to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Window(Duration);

/// A second to ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Limit(Duration);

const DAY: u64 = 24 * 3600;
/// The units of time, the longest first.
const UNITS: [(&str, u64, &str); 5] =
    [("w", 7 * DAY, "weeks"), ("d", DAY, "days"), ("h", 3600, "hours"), ("m", 60, "minutes"), ("s", 1, "seconds")];

impl Default for StreamRules {
    /// A sender that reads a slow disk may pause for minutes, and a slow uplink may need days; a pipe that stalls, or brings only
    /// single bytes, ends after a quarter of an hour.
    fn default() -> Self {
        Self {
            least_rate: ByteRate(1024),
            rate_window: Duration::from_secs(15 * 60),
            time_limit: Duration::from_secs(7 * DAY),
        }
    }
}

impl StreamRules {
    /// The rules in words, for `check-config`.
    pub fn words(&self) -> String {
        let Self { least_rate, rate_window, time_limit } = self;
        let rate = if least_rate.0 == 0 {
            "A stream that is handed in has no minimum rate".to_owned()
        } else {
            let window = duration_words(*rate_window);
            format!("A stream that is handed in must average {least_rate} over {window} of waiting for it")
        };
        format!("{rate}; a stream of a user other than root may take up to {}.", duration_words(*time_limit))
    }
}

impl Streams {
    /// Names every field, so that the compiler requires a new key here.
    pub(super) fn apply(self, rules: &mut StreamRules) {
        let Self { least_rate, rate_window, time_limit } = self;
        set(&mut rules.least_rate, least_rate);
        set(&mut rules.rate_window, rate_window.map(|window| window.0));
        set(&mut rules.time_limit, time_limit.map(|limit| limit.0));
    }
}

/// A duration in words, in the longest unit without a fraction: `15 minutes`.
pub fn duration_words(time: Duration) -> String {
    let seconds = time.as_secs();
    let whole = UNITS.iter().find(|(_, unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    let (number, name) = whole.map_or((seconds, "seconds"), |(_, unit, name)| (seconds / unit, *name));
    let name = if number == 1 { name.trim_end_matches('s') } else { name };
    format!("{number} {name}")
}

impl fmt::Display for ByteRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            rate if rate != 0 && rate.is_multiple_of(1 << 20) => (rate >> 20, "MiB"),
            rate if rate != 0 && rate.is_multiple_of(1 << 10) => (rate >> 10, "KiB"),
            rate => (rate, "B"),
        };
        write!(f, "{number} {unit}/s")
    }
}

impl TryFrom<String> for ByteRate {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str =
            "a rate is a number and B/s, KiB/s or MiB/s: \"1KiB/s\"; up to 1024MiB/s, and 0B/s is no limit";
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let unit: u64 = match text.get(digits.len()..).map(str::trim_start) {
            Some("B/s") => 1,
            Some("KiB/s") => 1 << 10,
            Some("MiB/s") => 1 << 20,
            _ => return Err(WRONG),
        };
        let rate = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        rate.filter(|rate| *rate <= 1 << 30).map(Self).ok_or(WRONG)
    }
}

impl TryFrom<String> for Window {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let window = seconds(&text).filter(|seconds| (1..=DAY).contains(seconds));
        let window = window.map(|seconds| Self(Duration::from_secs(seconds)));
        window.ok_or("this time is a number and s, m, h or d: \"90s\", \"15m\"; from 1s to 1d")
    }
}

impl TryFrom<String> for Limit {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let limit = seconds(&text).filter(|seconds| (1..=3653 * DAY).contains(seconds));
        let limit = limit.map(|seconds| Self(Duration::from_secs(seconds)));
        limit.ok_or("this time is a number and s, m, h, d or w: \"12h\", \"7d\"; from 1s to ten years")
    }
}

fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let (_, unit, _) = UNITS.iter().find(|(letter, ..)| text.get(digits.len()..) == Some(*letter))?;
    digits.parse::<u64>().ok()?.checked_mul(*unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Result<StreamRules, String> {
        let streams: Streams = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let mut rules = StreamRules::default();
        streams.apply(&mut rules);
        Ok(rules)
    }

    #[test]
    fn every_value_has_its_unit() {
        let text = "least_rate = \"3KiB/s\"\nrate_window = \"90s\"\ntime_limit = \"2w\"\n";
        let rules = rules(text).expect("good");
        let [window, limit] = [90, 14 * DAY].map(Duration::from_secs);
        assert_eq!(rules, StreamRules { least_rate: ByteRate(3072), rate_window: window, time_limit: limit });
        assert_eq!(
            rules.words(),
            "A stream that is handed in must average 3 KiB/s over 90 seconds of waiting for it; a stream of a user \
             other than root may take up to 2 weeks."
        );
    }

    #[test]
    fn values_without_a_unit_or_out_of_bounds_are_refused() {
        for (key, values) in [
            ("least_rate", &["1024", "1KB/s", "-1B/s", "2048MiB/s", "KiB/s"][..]),
            ("rate_window", &["15", "0s", "2d", "1w", "m"]),
            ("time_limit", &["7", "0d", "4000d", "1y", ""]),
        ] {
            for value in values {
                assert!(rules(&format!("{key} = \"{value}\"")).is_err(), "{key} = {value:?}");
            }
        }
        assert!(rules("least_rate = \"0B/s\"").expect("good").words().starts_with("A stream that is handed in has no"));
    }

    #[test]
    fn times_and_rates_are_printed_in_whole_units() {
        let words = [1, 60, 61, 900, 3600, 86_400, 604_800].map(|seconds| duration_words(Duration::from_secs(seconds)));
        assert_eq!(words, ["1 second", "1 minute", "61 seconds", "15 minutes", "1 hour", "1 day", "1 week"]);
        let words = [0, 1, 1024, 1500, 3 << 20].map(|rate| ByteRate(rate).to_string());
        assert_eq!(words, ["0 B/s", "1 B/s", "1 KiB/s", "1500 B/s", "3 MiB/s"]);
    }
}
