//! Makes a command from its number and its attributes.

use crate::attribute::Attributes;
use crate::layout::layout;
use crate::{Command, Compression, ErrorKind, Extent, Version};

/// The only command with a number in it that may be unknown.
const ENCODED_WRITE: u16 = 25;

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
    if number == ENCODED_WRITE && attributes.u32(5) > 7 {
        return Err(ErrorKind::UnknownCompression(attributes.u32(5)));
    }
    Ok(())
}

/// Reads a command's attributes, which [`check`] has found in order.
///
/// It cannot fail, so that a command is written once, to where the caller wants it. The slot numbers are those of the
/// table in `layout.rs`.
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
