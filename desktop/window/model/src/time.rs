//! Times in words. All are microseconds since 1970.

use butterdock_desktop::words::Words;

const MINUTE: u64 = 60_000_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// How long ago something was.
#[must_use]
pub fn ago(words: &Words, then: u64, now: u64) -> String {
    let past = now.saturating_sub(then);
    let (unit, number) = match past {
        0..MINUTE => return words.say("just now", &[]),
        MINUTE..HOUR => (MINUTE, past / MINUTE),
        HOUR..DAY => (HOUR, past / HOUR),
        DAY.. => (DAY, past / DAY),
    };
    let text = number.to_string();
    let values = [("n", &*text)];
    match (unit, number) {
        (MINUTE, 1) => words.say("a minute ago", &[]),
        (MINUTE, _) => words.say("{n} minutes ago", &values),
        (HOUR, 1) => words.say("an hour ago", &[]),
        (HOUR, _) => words.say("{n} hours ago", &values),
        (_, 1) => words.say("yesterday", &[]),
        (_, _) => words.say("{n} days ago", &values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_largest_unit() {
        let (english, german) = (Words::of_locale("C"), Words::of_locale("de"));
        let said = |past: u64| ago(&english, 1_000 * DAY - past, 1_000 * DAY);
        assert_eq!((&*said(0), &*said(MINUTE), &*said(59 * MINUTE)), ("just now", "a minute ago", "59 minutes ago"));
        assert_eq!((&*said(HOUR), &*said(23 * HOUR)), ("an hour ago", "23 hours ago"));
        assert_eq!((&*said(DAY), &*said(400 * DAY)), ("yesterday", "400 days ago"));
        assert_eq!(ago(&german, 0, 3 * HOUR), "vor 3 Stunden");
        assert_eq!(ago(&english, 2, 1), "just now", "a clock that was set back");
    }
}
