//! The names of snapshots: the name of the backup, and the time in UTC at which the snapshot was made; and the calendar of UTC,
//! for these names and for the periods of retention.

use jiff::SignedDuration;
use jiff::civil::DateTime;

/// The prefix of snapshots that were not sent yet. All lists omit these names.
const HIDDEN: &[u8] = b".butterdock-";
/// The prefix of the directory that locks the name of a snapshot. It has the length of the other prefix, so that the longest
/// name fits.
const CLAIMED: &[u8] = b".butterdock+";
/// `.20261122T201500Z`
const TIME_LEN: usize = 17;
/// The largest number of subvolumes below the source in a run.
pub(super) const MOST_NESTED: usize = 100;
/// `.100`
const NUMBER_LEN: usize = 4;
/// The longest file name.
const LONGEST_FILE: usize = 255;
/// The longest name of a backup: with the prefix, the time and a number it has 255 bytes.
pub const LONGEST: usize = LONGEST_FILE - TIME_LEN - NUMBER_LEN - HIDDEN.len();
/// A longer path of a subvolume is cut in the name of its snapshot.
const LONGEST_LABEL: usize = 60;

/// The name of a snapshot that was made at `seconds` since 1970: `home.20261122T201500Z`.
pub(super) fn make(backup: &[u8], seconds: i64) -> Vec<u8> {
    let time = date_time(seconds).strftime(".%Y%m%dT%H%M%SZ").to_string();
    [backup, time.as_bytes()].concat()
}

/// The time in the name of a snapshot; `None` if it is not the name of a snapshot of this backup.
pub(super) fn parse(backup: &[u8], name: &[u8]) -> Option<i64> {
    let time = name.strip_prefix(backup)?;
    let [b'.', digits @ .., b'Z'] = time else { return None };
    let (date, clock) = (digits.get(..8)?, digits.get(9..)?);
    if time.len() != TIME_LEN || digits.get(8) != Some(&b'T') {
        return None;
    }
    let number = |digits: &[u8], from: usize, len: usize| {
        digits
            .get(from..from.saturating_add(len))?
            .iter()
            .try_fold(0_i16, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0')))
    };
    let two = |digits: &[u8], from| i8::try_from(number(digits, from, 2)?).ok();
    let (year, month, day) = (number(date, 0, 4)?, two(date, 4)?, two(date, 6)?);
    let date_time = DateTime::new(year, month, day, two(clock, 0)?, two(clock, 2)?, two(clock, 4)?, 0);
    date_time.ok().map(seconds)
}

/// The name of the snapshot of a subvolume below the source: the name of the run, a number up to [`MOST_NESTED`], and, for
/// people, as much of the path as fits: `home.20261122T201500Z.2-alice`.
pub(super) fn make_nested(run: &[u8], number: usize, path: &[u8]) -> Vec<u8> {
    let mut name = [run, format!(".{number}").as_bytes()].concat();
    let room = LONGEST_FILE.saturating_sub(HIDDEN.len() + 1).saturating_sub(name.len()).min(LONGEST_LABEL);
    let label: Vec<u8> = path
        .iter()
        .take(room)
        .map(|&byte| match byte {
            b'/' => b'-',
            b'.' | b'-' | b'_' => byte,
            _ if byte.is_ascii_alphanumeric() => byte,
            _ => b'_',
        })
        .collect();
    if !label.is_empty() {
        name.push(b'-');
        name.extend(label);
    }
    name
}

/// The name of the run that a snapshot of a subvolume below the source belongs to; `None` for other names.
pub(super) fn run_of_nested<'n>(backup: &[u8], name: &'n [u8]) -> Option<&'n [u8]> {
    let (run, rest) = name.split_at_checked(backup.len().checked_add(TIME_LEN)?)?;
    let number = rest.strip_prefix(b".")?.split(|&byte| byte == b'-').next()?;
    let is_number = matches!(number.len(), 1..NUMBER_LEN) && number.iter().all(u8::is_ascii_digit);
    (is_number && parse(backup, run).is_some()).then_some(run)
}

/// Whether it is the name of a snapshot of this backup.
pub fn is_snapshot_name(backup: &[u8], name: &[u8]) -> bool {
    parse(backup, name).is_some()
}

/// The hidden name of a snapshot, until the drive has it.
pub(super) fn hide(name: &[u8]) -> Vec<u8> {
    [HIDDEN, name].concat()
}

/// The final name of a hidden snapshot; `None` if the name is not hidden.
pub(super) fn hidden(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(HIDDEN)
}

/// The name of the directory that locks the name of a snapshot while a worker makes, sends or sweeps it.
pub(super) fn claim(name: &[u8]) -> Vec<u8> {
    [CLAIMED, name].concat()
}

/// The name that such a directory locks; `None` for other names.
pub(super) fn claimed(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(CLAIMED)
}

pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The date and time of seconds since 1970. Later times than the year 9999 become its end.
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
    fn a_snapshot_name_round_trips() {
        assert_eq!(make(b"home", 1_795_378_500), b"home.20261122T201500Z");
        for seconds in [0, 951_782_400, 1_795_378_500, 253_402_300_799] {
            for backup in [&b"home"[..], b"", b"a.20261122T201500Z", b"\xff"] {
                assert_eq!(parse(backup, &make(backup, seconds)), Some(seconds));
            }
        }
    }

    #[test]
    fn names_of_other_programs_are_not_ours() {
        for name in [
            "home",
            "home.20261122T2015",
            "home.20261122T201500+0000",
            "home.20261122T201500Z_1",
            "home.20261322T201500Z",
            "home.20260229T201500Z",
            "home.20261122T201560Z",
            "home.2026112xT201500Z",
            "home2.20261122T201500Z",
            "home-20261122T201500Z",
            "home.20261122 201500Z",
            ".butterdock-home.20261122T201500Z",
            ".butterdock+home.20261122T201500Z",
            "home.Z",
            "home.",
        ] {
            assert_eq!(parse(b"home", name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_nested_snapshot_is_named_by_its_run_and_path() {
        let run = make(b"home", 1_795_378_500);
        let name = make_nested(&run, 2, b"alice/my \xff\n..");
        assert_eq!(name, b"home.20261122T201500Z.2-alice-my___..");
        assert_eq!(run_of_nested(b"home", &name), Some(&run[..]));
        assert_eq!(parse(b"home", &name), None, "it is no snapshot of the source");
        for backup in [&b"home"[..], &[b'x'; LONGEST]] {
            let run = make(backup, 0);
            let name = make_nested(&run, MOST_NESTED, &[b'p'; 5000]);
            assert!(hide(&name).len() <= 255, "{}", name.len());
            assert_eq!(run_of_nested(backup, &name), Some(&run[..]));
        }
        for other in
            ["home.20261122T201500Z", "home.20261122T201500Z.", "home.20261122T201500Z.1000", "etc.20261122T201500Z.1"]
        {
            assert_eq!(run_of_nested(b"home", other.as_bytes()), None, "{other}");
        }
        for other in ["home.20261122T201500Z.x", "home.20261122T201500Z.-a", "home.20261322T201500Z.1", "home.1", ""] {
            assert_eq!(run_of_nested(b"home", other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_longest_name_fits_with_both_prefixes() {
        let name = hide(&make(&[b'x'; LONGEST], 0));
        assert_eq!(name.len(), 255 - NUMBER_LEN);
        assert_eq!(hidden(&name).and_then(|name| parse(&[b'x'; LONGEST], name)), Some(0));
        let lock = claim(&make(&[b'x'; LONGEST], 0));
        assert_eq!((lock.len(), claimed(&lock)), (255 - NUMBER_LEN, hidden(&name)));
        assert_eq!((claimed(&name), hidden(&lock)), (None, None));
    }

    #[test]
    fn known_times_have_the_right_dates() {
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
    fn every_day_of_a_thousand_years_round_trips() {
        for day in 0..365_250 {
            let time = day * DAY + 12_345;
            assert_eq!(seconds(date_time(time)), time);
        }
    }
}
