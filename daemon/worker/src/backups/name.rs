//! The names of snapshots: that of the backup, and the time in UTC at which the snapshot was made.

use super::utc::Utc;

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
    let Utc { year, month, day, hour, minute, second } = Utc::from_seconds(seconds);
    let time = format!(".{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z");
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
            .try_fold(0_i64, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
    };
    let utc = Utc {
        year: number(date, 0, 4)?,
        month: number(date, 4, 2)?,
        day: number(date, 6, 2)?,
        hour: number(clock, 0, 2)?,
        minute: number(clock, 2, 2)?,
        second: number(clock, 4, 2)?,
    };
    utc.seconds()
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
    fn a_name_is_the_backups_and_the_time_and_is_read_again() {
        assert_eq!(make(b"home", 1_795_378_500), b"home.20261122T201500Z");
        for seconds in [0, 1_795_378_500, 253_402_300_799] {
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
