//! The names of snapshots: the name of the backup, and the time in UTC at which the snapshot was made.

use jiff::civil::DateTime;

use super::utc;

/// What precedes the name of a snapshot that was not sent yet. Every list leaves such names out.
const HIDDEN: &[u8] = b".butterdock-";
/// What precedes the name of a snapshot in that of the directory that holds it: as long as the other, so that it fits too.
const CLAIMED: &[u8] = b".butterdock+";
/// `.20261122T201500Z`
const TIME_LEN: usize = 17;
/// The longest name of a backup: with the time, hidden, it is a name for a file.
pub const LONGEST: usize = 255 - TIME_LEN - HIDDEN.len();

/// The name of a snapshot that was made at `seconds` since 1970: `home.20261122T201500Z`.
pub(super) fn make(backup: &[u8], seconds: i64) -> Vec<u8> {
    let time = utc::date_time(seconds).strftime(".%Y%m%dT%H%M%SZ").to_string();
    [backup, time.as_bytes()].concat()
}

/// When a snapshot of this name was made; none when butterdock does not name so for this backup.
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
    date_time.ok().map(utc::seconds)
}

/// The name under which a snapshot is kept until it was sent.
pub(super) fn hide(name: &[u8]) -> Vec<u8> {
    [HIDDEN, name].concat()
}

/// The name that a hidden one will get; none when it is not hidden.
pub(super) fn hidden(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(HIDDEN)
}

/// The name of the directory that holds a name for a snapshot while one is made, sent, or swept.
pub(super) fn claim(name: &[u8]) -> Vec<u8> {
    [CLAIMED, name].concat()
}

/// The name that such a directory holds; none when it is no such one.
pub(super) fn claimed(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(CLAIMED)
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
    fn what_others_name_is_not_taken_for_ours() {
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
    fn the_longest_name_fits_also_while_it_is_hidden() {
        let name = hide(&make(&[b'x'; LONGEST], 0));
        assert_eq!(name.len(), 255);
        assert_eq!(hidden(&name).and_then(|name| parse(&[b'x'; LONGEST], name)), Some(0));
        let held = claim(&make(&[b'x'; LONGEST], 0));
        assert_eq!((held.len(), claimed(&held)), (255, hidden(&name)));
        assert_eq!((claimed(&name), hidden(&held)), (None, None));
    }
}
