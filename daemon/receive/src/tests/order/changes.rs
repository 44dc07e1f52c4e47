//! The generator's changes of one inode.

use crate::tests::order::command::payload;
use crate::tests::order::command::{Bytes, Owned, What};
use crate::tests::order::sequence::Draw;
use crate::tests::order::world::InodeState;

/// Sizes and offsets: on sectors and off them.
const PLACES: [u64; 10] = [0, 1, 100, 4096, 5000, 8192, 12_288, 16_384, 20_000, 1 << 33];
const MODES: [u32; 8] = [0o644, 0o600, 0o755, 0o4755, 0o2755, 0o6711, 0o1777, 0o2644];
const IDS: [u32; 4] = [0, 1000, 65_534, 4_000_000_000];
/// `BTRFS_INODE_*`
const NODATACOW: u64 = 0x2;
const COMPRESSION_BITS: u64 = 0x808;
const REFUSING: u64 = 0xc0;
/// `VFS_CAP_REVISION_2`, effective, `CAP_NET_BIND_SERVICE`.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const CAPABILITY_NAME: &str = "security.capability";
pub(crate) const ACCESS: &str = "system.posix_acl_access";
pub(crate) const DEFAULT: &str = "system.posix_acl_default";
const COMPRESSION: &str = "btrfs.compression";

/// A change of some file's data.
pub(crate) fn data(draw: &mut Draw) {
    let path = draw.any(|what| what == What::File);
    if !path.is_empty() {
        one_data(draw, &path);
    }
}

/// A change of anything's attributes.
pub(crate) fn attribute(draw: &mut Draw) {
    let path = draw.any(|_| true);
    one_attribute(draw, &path);
}

/// A change of this file's data.
pub(crate) fn one_data(draw: &mut Draw, path: &str) {
    let offset = PLACES[usize::from(draw.roll() % 10)];
    let known = *draw.world.known(path);
    let end = match draw.roll() % 10 {
        0..=3 => writes(draw, path, offset),
        4..=5 => payloads(draw, path, offset),
        6..=7 => clone(draw, path, &known),
        8 => {
            let size = if draw.roll() % 3 == 0 { known.size } else { offset };
            draw.add(Owned::Truncate { path: path.into(), size });
            draw.world.known(path).size = size;
            return;
        }
        _ => {
            let len = 1 + u64::from(draw.roll()) % 9000;
            draw.add(Owned::Punch { path: path.into(), offset, len });
            // If there is a hole already, the kernel's cached extents decide whether the file counts as changed.
            draw.add(Owned::RemoveXattr { path: path.into(), name: CAPABILITY_NAME });
            utimes(draw, path);
            0
        }
    };
    let known = draw.world.known(path);
    known.size = known.size.max(end);
}

/// Several writes, most of which begin where the previous one ended.
fn writes(draw: &mut Draw, path: &str, mut offset: u64) -> u64 {
    let mut end = 0;
    // Sometimes more than fit into a window.
    let count = if draw.roll() % 64 == 0 { 70 } else { draw.roll() % 4 };
    // And sometimes so large that the applier performs them itself.
    let longest = if draw.roll() % 24 == 0 { 48 << 10 } else { 6000 };
    for _ in 0..=count {
        let (len, fill) = (usize::from(draw.roll() % longest), draw.roll().to_le_bytes());
        let data = fill.into_iter().cycle().take(len).collect();
        draw.add(Owned::Write { path: path.into(), offset, data: Bytes(data) });
        if len != 0 {
            end = end.max(offset + len as u64);
        }
        offset += len as u64 + if draw.roll() % 5 == 0 { 300 } else { 0 };
    }
    end
}

/// One compressed extent, or sometimes enough in a row to be spread over the writer threads.
fn payloads(draw: &mut Draw, path: &str, mut offset: u64) -> u64 {
    let mut end = offset;
    let count = if draw.roll() % 16 == 0 { 5 } else { 1 };
    for _ in 0..count {
        let (extent, data) = payload(usize::from(draw.roll()), offset);
        draw.add(Owned::Encoded { path: path.into(), extent, data });
        end = offset + extent.file_len;
        offset = end.next_multiple_of(4096);
    }
    end
}

fn clone(draw: &mut Draw, path: &str, known: &InodeState) -> u64 {
    let dice = draw.roll();
    let Some(source) = draw.world.pick(dice, |other| {
        other.what == What::File && other.nocow == known.nocow && other.size > 0 && other.size < 1 << 20
    }) else {
        return 0;
    };
    let size = draw.world.known(&source).size;
    let source_offset = u64::from(draw.roll()) % size.div_ceil(4096) * 4096;
    let whole = (size - source_offset) / 4096 * 4096;
    let tail = known.size.next_multiple_of(4096);
    let (offset, len) = match draw.roll() % 3 {
        0 if whole > 0 => (u64::from(draw.roll() % 4) * 4096, 4096),
        1 if whole > 0 => (tail, whole),
        _ => (tail, size - source_offset),
    };
    let itself = draw.world.same(path, &source);
    if itself && offset.abs_diff(source_offset) < len {
        return 0;
    }
    draw.add(Owned::Clone { path: path.into(), offset, len, source, source_offset });
    offset + len
}

/// The last commands that the kernel sends for an inode.
pub(crate) fn ending(draw: &mut Draw, path: &str) {
    chown(draw, path);
    if draw.world.known(path).what != What::Symlink {
        chmod(draw, path);
    }
    utimes(draw, path);
}

/// A change of this inode's attributes.
pub(crate) fn one_attribute(draw: &mut Draw, path: &str) {
    let known = *draw.world.known(path);
    match (draw.roll() % 16, known.what) {
        (0..=2, _) => chown(draw, path),
        (3..=5, what) if what != What::Symlink => chmod(draw, path),
        (6..=8, _) => utimes(draw, path),
        (9, What::File) => set(draw, path, CAPABILITY_NAME, CAPABILITY.to_vec()),
        (10, what) if what != What::Symlink => access_acl(draw, path),
        (11, What::Directory) => default_acl(draw, path),
        (12, What::File | What::Directory) if !known.nocow && !known.refusing => compression(draw, path),
        (13..=14, _) => fileattr(draw, path, &known),
        _ => plain_xattr(draw, path, known.what),
    }
}

fn chown(draw: &mut Draw, path: &str) {
    let (uid, gid) = (IDS[usize::from(draw.roll() % 4)], IDS[usize::from(draw.roll() % 4)]);
    draw.add(Owned::Chown { path: path.into(), uid, gid });
}

fn chmod(draw: &mut Draw, path: &str) {
    let mode = MODES[usize::from(draw.roll() % 8)];
    draw.add(Owned::Chmod { path: path.into(), mode });
}

fn utimes(draw: &mut Draw, path: &str) {
    let (atime, mtime) = (draw.time(), draw.time());
    draw.add(Owned::Utimes { path: path.into(), atime, mtime });
}

fn set(draw: &mut Draw, path: &str, name: &'static str, data: Vec<u8>) {
    draw.add(Owned::SetXattr { path: path.into(), name, data });
}

fn plain_xattr(draw: &mut Draw, path: &str, what: What) {
    let openable = matches!(what, What::File | What::Directory);
    let name = ["trusted.a", "user.a", "user.b"][usize::from(draw.roll()) % if openable { 3 } else { 1 }];
    if draw.roll() % 4 == 0 {
        draw.add(Owned::RemoveXattr { path: path.into(), name });
    } else {
        let len = usize::from(draw.roll() % 40);
        set(draw, path, name, vec![b'v'; len]);
    }
}

fn access_acl(draw: &mut Draw, path: &str) {
    let (acl, dice) = (acl(draw), draw.roll());
    if dice % 4 == 0 {
        draw.add(Owned::RemoveXattr { path: path.into(), name: ACCESS });
    } else {
        set(draw, path, ACCESS, acl);
    }
}

fn default_acl(draw: &mut Draw, path: &str) {
    let (acl, dice) = (acl(draw), draw.roll());
    if dice % 3 == 0 {
        draw.add(Owned::RemoveXattr { path: path.into(), name: DEFAULT });
    } else {
        set(draw, path, DEFAULT, acl);
    }
}

/// An ACL as the kernel stores it: the three classes, with or without a user, a group and a mask.
fn acl(draw: &mut Draw) -> Vec<u8> {
    let bits = draw.roll();
    let mut acl = vec![2, 0, 0, 0];
    let named = draw.roll() % 3 != 0;
    let (me, none) = (u32::from(draw.roll()), u32::MAX);
    for (tag, shift, id) in [(1_u16, 0, none), (2, 3, me), (4, 6, none), (8, 9, me), (16, 12, none), (32, 1, none)] {
        if named || matches!(tag, 1 | 4 | 32) {
            acl.extend(tag.to_le_bytes());
            acl.extend((bits.rotate_right(shift) & 7).to_le_bytes());
            acl.extend(id.to_le_bytes());
        }
    }
    acl
}

fn compression(draw: &mut Draw, path: &str) {
    let value = ["zstd", "zlib", "lzo", "zstd:9", "no", "none", ""][usize::from(draw.roll() % 7)];
    if value.is_empty() && draw.roll() % 2 == 0 {
        draw.add(Owned::RemoveXattr { path: path.into(), name: COMPRESSION });
    } else {
        draw.world.known(path).compression = !value.is_empty();
        set(draw, path, COMPRESSION, value.into());
    }
}

fn fileattr(draw: &mut Draw, path: &str, known: &InodeState) {
    let mut attr = u64::from(draw.roll()) & 0xbee;
    // FS_IOC_SETFLAGS sets every property to "zlib", which cannot be corrected once a flag refuses changes.
    if draw.roll() % 2 == 0 || known.compression {
        attr &= !REFUSING;
    }
    if attr & COMPRESSION_BITS == COMPRESSION_BITS || attr & NODATACOW != 0 || known.nocow {
        attr &= !COMPRESSION_BITS;
    }
    if known.compression {
        attr &= !NODATACOW;
    }
    draw.add(Owned::Fileattr { path: path.into(), attr });
    let known = draw.world.known(path);
    known.compression |= attr & COMPRESSION_BITS != 0;
    known.refusing = attr & REFUSING != 0;
    if known.what == What::Directory || (known.what == What::File && known.size == 0) {
        known.nocow = attr & NODATACOW != 0;
    }
}
