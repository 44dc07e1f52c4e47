//! The text form of commands, as `btrfs receive --dump` of btrfs-progs 6.2 prints it, one line for each command.
//!
//! Experiments with that tool gave the rules for escapes. It escapes spaces, backslashes and everything unprintable in
//! paths, and in the second name of symlinks, links and renames. It prints names and values of xattrs and the source of a
//! clone as they are, up to their first NUL. This module differs in one rule: it escapes control characters in those fields
//! too, so that one line is always one command and no xattr can forge a line or control a terminal.
//!
//! The calendar is computed here, because a stream may have any 64-bit number of seconds, and the tool prints years that
//! calendar libraries do not have.

use std::fmt;

use crate::{Command, Compression, Extent, Time};

/// The column of the details after a path, unless the path is longer.
const COLUMN: usize = 32;

/// Prints commands line by line, with the subvolume's name before each path.
#[derive(Debug, Clone)]
pub struct Dump<Z> {
    /// `./name`, empty before the first SUBVOL or SNAPSHOT.
    subvolume: Vec<u8>,
    zone: Z,
}

impl<Z: Fn(i64) -> i32> Dump<Z> {
    /// `zone` returns how many seconds local time is ahead of UTC at a point in time (seconds since 1970).
    pub fn new(zone: Z) -> Self {
        Self { subvolume: Vec::new(), zone }
    }

    /// Adds the line of one command, with its newline. END has no line.
    pub fn line(&mut self, out: &mut Vec<u8>, command: &Command<'_>) {
        if let Command::Subvol { path, .. } | Command::Snapshot { path, .. } = command {
            self.subvolume = join(b".", path);
        } else if matches!(command, Command::End) {
            return;
        }
        let title = command.name().to_ascii_lowercase();
        print(out, format_args!("{title:<16}"));
        let start = out.len();
        if let Command::Subvol { .. } | Command::Snapshot { .. } = command {
            escaped(out, &self.subvolume);
        } else {
            escaped(out, &self.full(command.path()));
        }
        let details = out.len();
        self.details(out, command);
        if out.len() > details {
            let length = details.saturating_sub(start);
            let gap = COLUMN.saturating_sub(length).max(1);
            out.splice(details..details, std::iter::repeat_n(b' ', gap));
        }
        out.push(b'\n');
    }

    /// A path as the tool prints it: after the subvolume's.
    fn full(&self, path: &[u8]) -> Vec<u8> {
        join(&self.subvolume, path)
    }

    /// Adds the text after the path.
    fn details(&self, out: &mut Vec<u8>, command: &Command<'_>) {
        match *command {
            Command::Subvol { uuid, ctransid, .. } => print(out, format_args!("uuid={uuid} transid={ctransid}")),
            Command::Snapshot { uuid, ctransid, parent, .. } => print(
                out,
                format_args!(
                    "uuid={uuid} transid={ctransid} parent_uuid={} parent_transid={}",
                    parent.uuid, parent.ctransid
                ),
            ),
            Command::Mknod { rdev, mode, .. } => print(out, format_args!("mode={mode:o} dev={rdev:#x}")),
            Command::Symlink { target: other, .. } | Command::Link { existing: other, .. } => {
                out.extend_from_slice(b"dest=");
                escaped(out, other);
            }
            Command::Rename { to, .. } => {
                out.extend_from_slice(b"dest=");
                escaped(out, &self.full(to));
            }
            Command::SetXattr { name, data, .. } => {
                out.extend_from_slice(b"name=");
                plain(out, name);
                out.extend_from_slice(b" data=");
                plain(out, data);
                print(out, format_args!(" len={}", data.len()));
            }
            Command::RemoveXattr { name, .. } => {
                out.extend_from_slice(b"name=");
                plain(out, name);
            }
            Command::Write { offset, data, .. } => print(out, format_args!("offset={offset} len={}", data.len())),
            Command::Clone { offset, len, source_path, source_offset, .. } => {
                print(out, format_args!("offset={offset} len={len} from="));
                plain(out, &self.full(source_path));
                print(out, format_args!(" clone_offset={source_offset}"));
            }
            Command::Truncate { size, .. } => print(out, format_args!("size={size}")),
            Command::Chmod { mode, .. } => print(out, format_args!("mode={mode:o}")),
            Command::Chown { uid, gid, .. } => print(out, format_args!("gid={gid} uid={uid}")),
            Command::Utimes { atime, mtime, ctime, .. } => self.times(out, atime, mtime, ctime),
            Command::UpdateExtent { offset, len, .. } => print(out, format_args!("offset={offset} len={len}")),
            Command::Fallocate { mode, offset, len, .. } => {
                let mode = i32::from_ne_bytes(mode.to_ne_bytes());
                print(out, format_args!("mode={mode} offset={offset} len={len}"));
            }
            // The tool writes 0x before decimal digits, and scripts may rely on that.
            Command::Fileattr { attr, .. } => print(out, format_args!("fileattr=0x{attr}")),
            Command::EncodedWrite { extent, data, .. } => encoded(out, &extent, data.len()),
            Command::EnableVerity { algorithm, block_size, salt, signature, .. } => print(
                out,
                format_args!(
                    "algorithm={algorithm} block_size={block_size} salt_len={} sig_len={}",
                    salt.len(),
                    signature.len()
                ),
            ),
            Command::Mkfile { .. }
            | Command::Mkdir { .. }
            | Command::Mkfifo { .. }
            | Command::Mksock { .. }
            | Command::Unlink { .. }
            | Command::Rmdir { .. }
            | Command::End => {}
        }
    }

    fn times(&self, out: &mut Vec<u8>, atime: Time, mtime: Time, ctime: Time) {
        for (title, time) in [("atime=", atime), (" mtime=", mtime), (" ctime=", ctime)] {
            let local = LocalTime::new(time.seconds, (self.zone)(time.seconds));
            print(out, format_args!("{title}{local}"));
        }
    }
}

fn encoded(out: &mut Vec<u8>, extent: &Extent, len: usize) {
    let compression = match extent.compression {
        Compression::None => 0,
        Compression::Zlib => 1,
        Compression::Zstd => 2,
        Compression::Lzo { sector_size } => sector_size.trailing_zeros().saturating_sub(9),
    };
    let Extent { file_offset, file_len, decoded_len, decoded_offset, encryption, .. } = extent;
    print(
        out,
        format_args!(
            "offset={file_offset} len={len}, unencoded_file_len={file_len}, unencoded_len={decoded_len}, \
             unencoded_offset={decoded_offset}, compression={compression}, encryption={encryption}"
        ),
    );
}

/// Two parts of a path with one slash between them; a slash at the end of a part is left out.
fn join(first: &[u8], second: &[u8]) -> Vec<u8> {
    let first = first.strip_suffix(b"/").unwrap_or(first);
    let second = second.strip_suffix(b"/").unwrap_or(second);
    [first, second].join(&b'/')
}

fn print(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    out.extend_from_slice(text.to_string().as_bytes());
}

/// Adds a path. Spaces and backslashes get a backslash; a byte that is not printable ASCII becomes the letter that C has for
/// it, or three octal digits.
fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match letter(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None if byte.is_ascii_graphic() => out.push(byte),
            None => out.extend_from_slice(&[b'\\', digit(byte, 6), digit(byte, 3), digit(byte, 0)]),
        }
    }
}

/// Adds any other field as it is, up to the first NUL. Control characters that move a terminal's cursor or change its state
/// are escaped as in a path. The lower ones have no effect there, and ACLs begin with them.
fn plain(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes.iter().take_while(|byte| **byte != 0) {
        if matches!(byte, 0x07 | 0x08 | 0x0a..=0x1f | 0x7f) {
            escaped(out, std::slice::from_ref(byte));
        } else {
            out.push(*byte);
        }
    }
}

fn letter(byte: u8) -> Option<u8> {
    match byte {
        0x07 => Some(b'a'),
        0x08 => Some(b'b'),
        0x1b => Some(b'e'),
        0x0c => Some(b'f'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        b'\t' => Some(b't'),
        0x0b => Some(b'v'),
        b' ' | b'\\' => Some(byte),
        _ => None,
    }
}

fn digit(byte: u8, shift: u32) -> u8 {
    byte.wrapping_shr(shift) & 7 | b'0'
}

const DAY: i64 = 86_400;

/// A local date and time, and its offset from UTC.
#[derive(Debug)]
struct LocalTime {
    days: i64,
    second: i64,
    offset: i32,
}

impl LocalTime {
    /// `seconds` since 1970 in UTC, shown `offset` seconds ahead of UTC.
    fn new(seconds: i64, offset: i32) -> Self {
        let local = seconds.saturating_add(i64::from(offset));
        Self { days: local.div_euclid(DAY), second: local.rem_euclid(DAY), offset }
    }
}

impl fmt::Display for LocalTime {
    /// As strftime's `%FT%T%z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.days);
        let (hour, minute, second) = (self.second / 3600, self.second / 60 % 60, self.second % 60);
        let sign = if self.offset < 0 { '-' } else { '+' };
        let ahead = self.offset.unsigned_abs() / 60;
        write!(f, "{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        write!(f, "{sign}{:02}{:02}", ahead / 60, ahead % 60)
    }
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// A year begins in March here, so that the leap day is its last day; 400 years have 146 097 days. The sums cannot
/// overflow, because `days` was computed from seconds.
fn civil(days: i64) -> (i64, i64, i64) {
    let since_march_of_0 = days.saturating_add(719_468);
    let (era, day) = (since_march_of_0.div_euclid(146_097), since_march_of_0.rem_euclid(146_097));
    // The division below expects years of 365 days: leave the leap days out.
    let even = day.saturating_sub(day / 1460).saturating_add(day / 36_524).saturating_sub(day / 146_096);
    let year = even / 365;
    let before = year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100);
    let in_year = day.saturating_sub(before);
    let from_march = in_year.saturating_mul(5).saturating_add(2) / 153;
    let day = in_year.saturating_sub(from_march.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let month = if from_march < 10 { from_march.saturating_add(3) } else { from_march.saturating_sub(9) };
    let year = era.saturating_mul(400).saturating_add(year);
    (if month <= 2 { year.saturating_add(1) } else { year }, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_path_is_escaped_as_by_the_tool() {
        let mut out = Vec::new();
        escaped(&mut out, b"a b\\c\n\t\r\x07\x08\x1b\x0c\x0b\x01\x7f\xff~");
        assert_eq!(out.escape_ascii().to_string(), r"a\\ b\\\\c\\n\\t\\r\\a\\b\\e\\f\\v\\001\\177\\377~");
    }

    #[test]
    fn a_value_cannot_forge_a_line_or_control_a_terminal() {
        let mut out = Vec::new();
        plain(&mut out, b"x len=1\nmkfile \x1b[2J\x7f\xff\0unseen");
        assert_eq!(out, b"x len=1\\nmkfile \\e[2J\\177\xff");
    }

    #[test]
    fn known_moments_are_shown_right() {
        for (seconds, offset, text) in [
            (0, 0, "1970-01-01T00:00:00+0000"),
            (-1, 0, "1969-12-31T23:59:59+0000"),
            (951_782_400, 0, "2000-02-29T00:00:00+0000"),
            (1_709_251_199, 3600, "2024-03-01T00:59:59+0100"),
            (4_107_542_400, 0, "2100-03-01T00:00:00+0000"),
            (1_700_000_000, -12_600, "2023-11-14T18:43:20-0330"),
            (253_402_300_800, 0, "10000-01-01T00:00:00+0000"),
        ] {
            assert_eq!(LocalTime::new(seconds, offset).to_string(), text);
        }
    }

    #[test]
    fn the_ends_of_the_range_do_not_panic() {
        assert!(!LocalTime::new(i64::MAX, i32::MAX).to_string().is_empty());
        assert!(!LocalTime::new(i64::MIN, i32::MIN).to_string().is_empty());
    }
}
