//! Which attributes each command has: one table. The decoder checks a command's attributes against it and makes a command
//! of them.

use Attribute as A;

use crate::attribute::Attributes;
use crate::{Attribute, Command, Compression, ErrorKind, Extent, Version};

/// The most attributes that a command has (`ENCODED_WRITE`).
pub(crate) const SLOTS: usize = 8;

/// One command's row.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The kernel's name, without `BTRFS_SEND_C_`.
    pub(crate) name: &'static str,
    /// The first version that has it.
    pub(crate) since: Version,
    /// Its attributes; the index of each is its slot.
    pub(crate) attributes: &'static [Attribute],
    /// One bit for each slot that must be filled.
    pub(crate) required: u8,
    /// The rule for each attribute number.
    pub(crate) rules: [Rule; 36],
}

/// Whether an attribute belongs to a command, and how its value is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    /// The slot's bit, 0 if the attribute does not belong to the command.
    pub(crate) bit: u8,
    /// The slot.
    pub(crate) slot: u8,
    /// Its only length, or [`Rule::ANY`].
    pub(crate) length: u8,
    /// Whether a NUL is refused.
    pub(crate) name: bool,
}

impl Rule {
    /// Any length is allowed.
    pub(crate) const ANY: u8 = u8::MAX;
}

/// The row of a command number.
pub(crate) fn layout(number: u16) -> Option<&'static Layout> {
    LAYOUTS.get(usize::from(number.checked_sub(1)?))
}

/// The only command with a number that may be unknown: its compression.
const ENCODED_WRITE_NUMBER: u16 = 25;

/// Finds and checks the attributes of a command whose length and checksum have been checked.
#[inline]
pub(crate) fn check<'a>(
    attributes: &mut Attributes<'a>,
    version: Version,
    number: u16,
    payload: &'a [u8],
) -> Result<(), ErrorKind> {
    let layout = layout(number).ok_or(ErrorKind::UnknownCommand(number))?;
    if layout.since > version {
        return Err(ErrorKind::CommandOfLaterVersion { command: layout.name, version });
    }
    attributes.collect(layout, version, payload)?;
    if number == ENCODED_WRITE_NUMBER && attributes.u32(5) > 7 {
        return Err(ErrorKind::UnknownCompression(attributes.u32(5)));
    }
    Ok(())
}

/// Makes a command of attributes that [`check`] has accepted. The slot numbers are those of the table.
///
/// It cannot fail, so the compiler builds the command in the caller's place and copies it nowhere.
#[inline]
pub(crate) fn assemble<'a>(number: u16, a: &Attributes<'a>) -> Command<'a> {
    let path = a.bytes(0);
    match number {
        1 => Command::Subvol { path, uuid: a.uuid(1), ctransid: a.u64(2) },
        2 => Command::Snapshot { path, uuid: a.uuid(1), ctransid: a.u64(2), parent: a.identity(3) },
        3 => Command::Mkfile { path, ino: optional(a, 1) },
        4 => Command::Mkdir { path, ino: optional(a, 1) },
        5 => Command::Mknod { path, ino: optional(a, 3), rdev: a.u64(1), mode: a.u64(2) },
        6 => Command::Mkfifo { path, ino: optional(a, 3), rdev: a.u64(1), mode: a.u64(2) },
        7 => Command::Mksock { path, ino: optional(a, 3), rdev: a.u64(1), mode: a.u64(2) },
        8 => Command::Symlink { path, ino: optional(a, 2), target: a.bytes(1) },
        9 => Command::Rename { path, to: a.bytes(1) },
        10 => Command::Link { path, existing: a.bytes(1) },
        11 => Command::Unlink { path },
        12 => Command::Rmdir { path },
        13 => Command::SetXattr { path, name: a.bytes(1), data: a.bytes(2) },
        14 => Command::RemoveXattr { path, name: a.bytes(1) },
        15 => Command::Write { path, offset: a.u64(1), data: a.bytes(2) },
        16 => clone(path, a),
        17 => Command::Truncate { path, size: a.u64(1) },
        18 => Command::Chmod { path, mode: a.u64(1) },
        19 => Command::Chown { path, uid: a.u64(1), gid: a.u64(2) },
        20 => utimes(path, a),
        22 => Command::UpdateExtent { path, offset: a.u64(1), len: a.u64(2) },
        23 => Command::Fallocate { path, mode: a.u32(1), offset: a.u64(2), len: a.u64(3) },
        24 => Command::Fileattr { path, attr: a.u64(1) },
        25 => Command::EncodedWrite { path, extent: extent(a), data: a.bytes(6) },
        26 => verity(path, a),
        // END; `check` has refused every other number.
        _ => Command::End,
    }
}

#[inline]
fn optional(a: &Attributes<'_>, slot: usize) -> Option<u64> {
    a.has(slot).then(|| a.u64(slot))
}

fn clone<'a>(path: &'a [u8], a: &Attributes<'a>) -> Command<'a> {
    Command::Clone {
        path,
        offset: a.u64(1),
        len: a.u64(2),
        source: a.identity(3),
        source_path: a.bytes(5),
        source_offset: a.u64(6),
    }
}

#[inline]
fn utimes<'a>(path: &'a [u8], a: &Attributes<'a>) -> Command<'a> {
    let otime = a.has(4).then(|| a.time(4));
    Command::Utimes { path, atime: a.time(1), mtime: a.time(2), ctime: a.time(3), otime }
}

fn verity<'a>(path: &'a [u8], a: &Attributes<'a>) -> Command<'a> {
    Command::EnableVerity { path, algorithm: a.u8(1), block_size: a.u32(2), salt: a.bytes(3), signature: a.bytes(4) }
}

#[inline]
fn extent(a: &Attributes<'_>) -> Extent {
    Extent {
        file_offset: a.u64(1),
        file_len: a.u64(2),
        decoded_len: a.u64(3),
        decoded_offset: a.u64(4),
        compression: compression(a.u32(5)),
        encryption: a.u32(7),
    }
}

#[inline]
fn compression(number: u32) -> Compression {
    match number {
        0 => Compression::None,
        1 => Compression::Zlib,
        2 => Compression::Zstd,
        _ => Compression::Lzo { sector_size: 512u32.wrapping_shl(number) },
    }
}

/// INO is optional because streams of other programs lack it, ENCRYPTION and OTIME because some versions lack them. Every
/// kernel sends MODE and RDEV of a fifo and a socket, although a receiver does not need them.
static LAYOUTS: [Layout; 26] = [
    row("SUBVOL", Version::V1, &[A::Path, A::Uuid, A::Ctransid], 0),
    row("SNAPSHOT", Version::V1, &[A::Path, A::Uuid, A::Ctransid, A::CloneUuid, A::CloneCtransid], 0),
    row("MKFILE", Version::V1, &[A::Path, A::Ino], 1),
    row("MKDIR", Version::V1, &[A::Path, A::Ino], 1),
    row("MKNOD", Version::V1, &[A::Path, A::Rdev, A::Mode, A::Ino], 1),
    row("MKFIFO", Version::V1, &[A::Path, A::Rdev, A::Mode, A::Ino], 1),
    row("MKSOCK", Version::V1, &[A::Path, A::Rdev, A::Mode, A::Ino], 1),
    row("SYMLINK", Version::V1, &[A::Path, A::PathLink, A::Ino], 1),
    row("RENAME", Version::V1, &[A::Path, A::PathTo], 0),
    row("LINK", Version::V1, &[A::Path, A::PathLink], 0),
    row("UNLINK", Version::V1, &[A::Path], 0),
    row("RMDIR", Version::V1, &[A::Path], 0),
    row("SET_XATTR", Version::V1, &[A::Path, A::XattrName, A::XattrData], 0),
    row("REMOVE_XATTR", Version::V1, &[A::Path, A::XattrName], 0),
    row("WRITE", Version::V1, &[A::Path, A::FileOffset, A::Data], 0),
    row("CLONE", Version::V1, CLONE, 0),
    row("TRUNCATE", Version::V1, &[A::Path, A::Size], 0),
    row("CHMOD", Version::V1, &[A::Path, A::Mode], 0),
    row("CHOWN", Version::V1, &[A::Path, A::Uid, A::Gid], 0),
    row("UTIMES", Version::V1, &[A::Path, A::Atime, A::Mtime, A::Ctime, A::Otime], 1),
    row("END", Version::V1, &[], 0),
    row("UPDATE_EXTENT", Version::V1, &[A::Path, A::FileOffset, A::Size], 0),
    row("FALLOCATE", Version::V2, &[A::Path, A::FallocateMode, A::FileOffset, A::Size], 0),
    row("FILEATTR", Version::V2, &[A::Path, A::Fileattr], 0),
    row("ENCODED_WRITE", Version::V2, ENCODED_WRITE, 1),
    row("ENABLE_VERITY", Version::V3, ENABLE_VERITY, 0),
];

const CLONE: &[A] =
    &[A::Path, A::FileOffset, A::CloneLen, A::CloneUuid, A::CloneCtransid, A::ClonePath, A::CloneOffset];

const ENCODED_WRITE: &[A] = &[
    A::Path,
    A::FileOffset,
    A::UnencodedFileLen,
    A::UnencodedLen,
    A::UnencodedOffset,
    A::Compression,
    A::Data,
    A::Encryption,
];

const ENABLE_VERITY: &[A] = &[A::Path, A::VerityAlgorithm, A::VerityBlockSize, A::VeritySaltData, A::VeritySigData];

/// A row whose last `optional` attributes may be absent.
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "runs in the compiler, which would stop")]
const fn row(name: &'static str, since: Version, attributes: &'static [A], optional: usize) -> Layout {
    let mut rules = [Rule { bit: 0, slot: 0, length: Rule::ANY, name: false }; 36];
    let mut required = 0;
    let mut bit = 1;
    let mut i = 0;
    let mut slot = 0;
    while i < attributes.len() {
        let attribute = attributes[i];
        let length = match attribute.length() {
            Some(length) => length,
            None => Rule::ANY,
        };
        rules[attribute as usize] = Rule { bit, slot, length, name: attribute.is_name() };
        if i < attributes.len() - optional {
            required |= bit;
        }
        bit = bit.wrapping_shl(1);
        i += 1;
        slot += 1;
    }
    Layout { name, since, attributes, required, rules }
}
