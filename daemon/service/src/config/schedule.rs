//! The values of `schedule` that only the configuration has: `spread`.

use std::time::Duration;

use serde::Deserialize;

/// How far the same times of several machines are spread: `30m` or `2h`, up to a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Spread(pub(super) Duration);

impl TryFrom<String> for Spread {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "a spread is a number and m or h: \"30m\", \"2h\"; up to 24 hours";
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = match text.get(digits.len()..) {
            Some("m") => 60,
            Some("h") => 3600,
            _ => return Err(WRONG),
        };
        let seconds = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        seconds.filter(|&seconds| seconds <= 24 * 3600).map(|seconds| Self(Duration::from_secs(seconds))).ok_or(WRONG)
    }
}
