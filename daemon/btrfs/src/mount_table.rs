//! The mounts of a process, as `/proc/PID/mountinfo` has them.

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::error::{Result, retry};

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mount {
    /// Its number, which another one gets when it is gone.
    pub id: u64,
    /// The filesystem, as `major:minor`: one for all mounts of it, and not the device of its files.
    pub filesystem: Vec<u8>,
    /// The directory that is its root, as a path from the top of the filesystem.
    pub root: Vec<u8>,
    /// Where it is mounted, as a path from the root directory of the process.
    pub mount_point: Vec<u8>,
}

/// The lines of a `mountinfo` file, in their order: a later one may cover an earlier one. Lines of another form are left out.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

/// `statx(2)`, `STATX_MNT_ID` (Linux 5.8) — the number of the mount through which it was opened, as [`Mount::id`] has it; none
/// where the kernel does not tell.
///
/// # Errors
/// `EBADF`.
pub fn id_of(descriptor: impl AsFd) -> Result<Option<u64>> {
    let facts = retry("statx", || statx(&descriptor, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID))?;
    Ok((facts.stx_mask & StatxFlags::MNT_ID.bits() != 0).then_some(facts.stx_mnt_id))
}

/// `openat(2)` with `O_PATH` — the directory that holds this one; from the root of a mount, the one that holds its mount point.
/// From the root directory of the process it is that itself.
///
/// # Errors
/// `EACCES`, `ENOTDIR`.
pub fn above(directory: impl AsFd) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    retry("openat", || openat(&directory, c"..", flags, Mode::empty()))
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let filesystem = fields.nth(1)?.to_vec();
    let (root, mount_point) = (unescape(fields.next()?), unescape(fields.next()?));
    Some(Mount { id, filesystem, root, mount_point })
}

/// Blanks and their like are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        text.push(match (byte, behind) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                rest = after;
                (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')
            }
            (other, _) => other,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_line_is_parsed_also_with_blanks_in_names() {
        let text = b"36 35 0:33 /@/a\\040b /mnt/\\134040\\011x rw,noatime master:1 - btrfs /dev/sda rw\nnonsense\n";
        let filesystem = b"0:33".to_vec();
        let expected = Mount { id: 36, filesystem, root: b"/@/a b".to_vec(), mount_point: b"/mnt/\\040\tx".to_vec() };
        assert_eq!(parse(text), [expected]);
    }

    #[test]
    fn the_mount_of_a_directory_is_in_the_table() {
        let table = parse(&std::fs::read("/proc/thread-self/mountinfo").unwrap());
        let proc = id_of(File::open("/proc").unwrap()).unwrap().unwrap();
        let found = table.iter().find(|mount| mount.id == proc).unwrap();
        assert_eq!((&found.root[..], &found.mount_point[..]), (&b"/"[..], &b"/proc"[..]));
    }

    #[test]
    fn above_a_mount_is_what_holds_its_mount_point() {
        let above = File::from(above(File::open("/proc").unwrap()).unwrap()).metadata().unwrap();
        let root = std::fs::metadata("/").unwrap();
        assert_eq!((above.dev(), above.ino()), (root.dev(), root.ino()));
    }
}
