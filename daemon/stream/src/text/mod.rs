//! The text form of commands, as `btrfs receive --dump` of btrfs-progs 6.2 prints it, one line for each command.
//!
//! What it escapes was found by trying. In paths, and in the other name of symlinks, links and renames, blanks, backslashes
//! and everything unprintable are escaped. Names and values of xattrs and the source of a clone are printed as they are, up
//! to their first NUL. Ours differs in one thing: control characters are escaped in those fields too, so that one line is
//! always one command and no xattr can forge a line or control a terminal.

use crate::{Command, Compression, Extent, Time};

mod time;

/// Where what is said about a path begins, unless the path is longer.
const COLUMN: usize = 32;

/// Prints commands line by line and knows the subvolume that they are about.
#[derive(Debug, Clone)]
pub struct Dump<Z> {
    /// `./name`, empty before the first SUBVOL or SNAPSHOT.
    subvolume: Vec<u8>,
    zone: Z,
}

impl<Z: Fn(i64) -> i32> Dump<Z> {
    /// `zone` gives how many seconds local time is ahead of UTC at a point in time (seconds since 1970).
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

    /// A path as the tool prints it: behind the subvolume's.
    fn full(&self, path: &[u8]) -> Vec<u8> {
        join(&self.subvolume, path)
    }

    /// What stands behind the path.
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
            // The tool writes 0x before decimal digits; scripts that read it have got used to that.
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
            let local = time::Local::new(time.seconds, (self.zone)(time.seconds));
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

/// Two parts of a path with one slash between them, each without a slash at its own end.
fn join(first: &[u8], second: &[u8]) -> Vec<u8> {
    let first = first.strip_suffix(b"/").unwrap_or(first);
    let second = second.strip_suffix(b"/").unwrap_or(second);
    [first, second].join(&b'/')
}

fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.extend_from_slice(text.to_string().as_bytes());
}

/// A path: spaces, backslashes and whatever is not printable ASCII are escaped, the latter as three octal digits
/// unless C has a letter for it.
fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        match letter(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None if byte.is_ascii_graphic() => out.push(byte),
            None => out.extend_from_slice(&[b'\\', digit(byte, 6), digit(byte, 3), digit(byte, 0)]),
        }
    }
}

/// Anything else: as it is, up to the first NUL, with those control characters escaped as in a path that move a terminal
/// or change its state. The lower ones do nothing there, and ACLs begin with them.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_path_has_its_form() {
        let mut out = Vec::new();
        escaped(&mut out, b"a b\\c\n\t\r\x07\x08\x1b\x0c\x0b\x01\x7f\xff~");
        assert_eq!(out.escape_ascii().to_string(), r"a\\ b\\\\c\\n\\t\\r\\a\\b\\e\\f\\v\\001\\177\\377~");
    }

    #[test]
    fn a_value_cannot_forge_a_line_or_steer_a_terminal() {
        let mut out = Vec::new();
        plain(&mut out, b"x len=1\nmkfile \x1b[2J\x7f\xff\0unseen");
        assert_eq!(out, b"x len=1\\nmkfile \\e[2J\\177\xff");
    }
}
