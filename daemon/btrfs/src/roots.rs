//! The tree of roots: the item of a subvolume, its parent directory, its path from the top; and the tree of uuids.
#![expect(unsafe_code, reason = "BTRFS_IOC_INO_LOOKUP takes a pointer to its argument")]

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Errno, Error, Result};
use crate::ioctl::{BTRFS, Direction, Request, array, ioctl, le16, le32, le64, until_nul};
use crate::search::{Key, SearchKey, TreeSearch};
use crate::subvolume::TOP_LEVEL_ID;

/// The item of a subvolume in the tree of roots. Uuids and transaction ids are zero if they were never set, and in the short
/// items of filesystems from before Linux 3.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootItem {
    /// Whether it is read-only.
    pub read_only: bool,
    /// Its own uuid.
    pub uuid: [u8; 16],
    /// The uuid of the subvolume that it is a snapshot of.
    pub parent_uuid: [u8; 16],
    /// The uuid of the subvolume that was sent.
    pub received_uuid: [u8; 16],
    /// The transaction in which an inode last changed.
    pub ctransid: u64,
    /// The sender's ctransid.
    pub stransid: u64,
    /// The transaction in which it was created.
    pub otransid: u64,
    /// The transaction in which it was marked as received.
    pub rtransid: u64,
    /// The time at which it was marked as received: seconds and nanoseconds since 1970.
    pub rtime: (i64, u32),
    /// The time at which it was created: seconds since 1970.
    pub otime: i64,
    /// The nanoseconds of that time.
    pub otime_nanoseconds: u32,
    /// The transaction that last changed it.
    pub generation: u64,
    /// 0 if it is deleted and its space is not free yet.
    pub refs: u32,
}

/// The place of a subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootRef {
    /// The id of the subvolume that it is in.
    pub parent_id: u64,
    /// The inode of its parent directory in that subvolume.
    pub dir_id: u64,
    /// Its name there.
    pub name: Vec<u8>,
}

/// `ROOT_ITEM` of tree 1 — the item of subvolume `id`; none if it does not exist.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn root_item(fd: impl AsFd, id: u64) -> Result<Option<RootItem>> {
    last_item(fd.as_fd(), id, ROOT_ITEM, |_, bytes| parse_root_item(bytes))
}

/// `ROOT_BACKREF` of tree 1 — the place of subvolume `id`; none for the top-level subvolume and a deleted one.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn root_backref(fd: impl AsFd, id: u64) -> Result<Option<RootRef>> {
    last_item(fd.as_fd(), id, ROOT_BACKREF, parse_backref)
}

/// `ROOT_REF` of tree 1 — the ids and the places of the subvolumes that are directly in subvolume `id`.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn nested_in(fd: impl AsFd, id: u64) -> Result<Vec<(u64, RootRef)>> {
    let min = Key { objectid: id, kind: ROOT_REF, offset: 0 };
    let key = SearchKey { tree: ROOT_TREE, min, max: Key { offset: u64::MAX, ..min }, max_items: 0, min_transid: 0 };
    let mut found = Vec::new();
    TreeSearch::new(4096).parse_each(fd, &key, |key, bytes| {
        let place = parse_backref(Key { offset: id, ..key }, bytes)?;
        found.push((key.offset, place));
        Some(())
    })?;
    Ok(found)
}

/// The path of subvolume `id` from the top-level subvolume, without a leading slash; empty for the top itself, none for a
/// deleted one. Other processes may rename directories meanwhile: open the path and check the id of the opened subvolume.
///
/// # Errors
/// As for [`TreeSearch::each`]; `ELOOP` above 256 nested subvolumes; `ENAMETOOLONG` if a directory's path inside one
/// subvolume is longer than 4079 bytes.
pub fn path_of(fd: impl AsFd, id: u64) -> Result<Option<Vec<u8>>> {
    let fd = fd.as_fd();
    let mut parts = Vec::new();
    let mut at = id;
    while at != TOP_LEVEL_ID {
        if parts.len() >= MAX_NESTING {
            return Err(Error { call: "BTRFS_IOC_TREE_SEARCH_V2", errno: Errno::ELOOP });
        }
        let Some(backref) = root_backref(fd, at)? else { return Ok(None) };
        let Some(mut part) = path_within(fd, backref.parent_id, backref.dir_id)? else { return Ok(None) };
        part.extend_from_slice(&backref.name);
        parts.push(part);
        at = backref.parent_id;
    }
    parts.reverse();
    Ok(Some(parts.join(&b'/')))
}

/// `BTRFS_IOC_INO_LOOKUP` — a path of inode `ino` inside subvolume `tree` (0: the one of `fd`), with a slash at its end,
/// empty for its root; none if the inode does not exist.
///
/// # Errors
/// `EPERM`, `ENAMETOOLONG` for a path longer than 4079 bytes.
pub fn path_within(fd: impl AsFd, tree: u64, ino: u64) -> Result<Option<Vec<u8>>> {
    let mut argument = RawLookup { tree, objectid: ino, name: [0; 4080] };
    // SAFETY: the kernel reads and writes one RawLookup and keeps no pointer.
    match unsafe { ioctl(fd.as_fd(), &INO_LOOKUP, &raw mut argument) } {
        Ok(_) => Ok(Some(until_nul(&argument.name).to_vec())),
        Err(error) if error.errno == Errno::ENOENT => Ok(None),
        Err(error) => Err(error),
    }
}

/// The last item of this kind under `id`, parsed.
fn last_item<T>(
    fd: BorrowedFd<'_>,
    id: u64,
    kind: u8,
    mut parse: impl FnMut(Key, &[u8]) -> Option<T>,
) -> Result<Option<T>> {
    let min = Key { objectid: id, kind, offset: 0 };
    let key = SearchKey { tree: ROOT_TREE, min, max: Key { offset: u64::MAX, ..min }, max_items: 0, min_transid: 0 };
    let mut found = None;
    TreeSearch::new(4096).parse_each(fd, &key, |key, bytes| {
        found = Some(parse(key, bytes)?);
        Some(())
    })?;
    Ok(found)
}

/// `struct btrfs_root_ref`, under a key whose offset is the parent subvolume.
pub(crate) fn parse_backref(key: Key, bytes: &[u8]) -> Option<RootRef> {
    let name_len = usize::from(le16(bytes, 16)?);
    let name = bytes.get(ROOT_REF_LEN..)?.get(..name_len)?.to_vec();
    Some(RootRef { parent_id: key.offset, dir_id: le64(bytes, 0)?, name })
}

/// `struct btrfs_root_item`. The fields after `generation_v2` are valid only if that equals `generation`: a kernel without
/// those fields updates only `generation`.
pub(crate) fn parse_root_item(bytes: &[u8]) -> Option<RootItem> {
    let generation = le64(bytes, 160)?;
    let late = if le64(bytes, 239) == Some(generation) { bytes } else { &[] };
    let uuid = |at| array(late, at).unwrap_or_default();
    let transid = |at| le64(late, at).unwrap_or_default();
    Some(RootItem {
        read_only: le64(bytes, 208)? & 1 != 0,
        refs: le32(bytes, 216)?,
        generation,
        uuid: uuid(247),
        parent_uuid: uuid(263),
        received_uuid: uuid(279),
        ctransid: transid(295),
        otransid: transid(303),
        stransid: transid(311),
        rtransid: transid(319),
        otime: array(late, 339).map_or(0, i64::from_le_bytes),
        otime_nanoseconds: le32(late, 347).unwrap_or_default(),
        rtime: (array(late, 363).map_or(0, i64::from_le_bytes), le32(late, 371).unwrap_or_default()),
    })
}

/// `struct btrfs_ioctl_ino_lookup_args`.
#[repr(C)]
struct RawLookup {
    tree: u64,
    objectid: u64,
    name: [u8; 4080],
}

const _: () = assert!(size_of::<RawLookup>() == 4096);

const INO_LOOKUP: Request =
    Request::new("BTRFS_IOC_INO_LOOKUP", Direction::ReadWrite, BTRFS, 18, size_of::<RawLookup>(), 0xd000_9412);
/// `BTRFS_ROOT_TREE_OBJECTID`.
pub(crate) const ROOT_TREE: u64 = 1;
/// `BTRFS_ROOT_ITEM_KEY`.
pub(crate) const ROOT_ITEM: u8 = 132;
/// `BTRFS_ROOT_BACKREF_KEY`.
pub(crate) const ROOT_BACKREF: u8 = 144;
/// `BTRFS_ROOT_REF_KEY`. Its items have the form of a backref, under a key whose offset is the subvolume in it.
const ROOT_REF: u8 = 156;
/// `sizeof(struct btrfs_root_ref)`; the name follows.
const ROOT_REF_LEN: usize = 18;
const MAX_NESTING: usize = 256;

/// The ids of the subvolumes with this uuid of their own, on the filesystem of `fd`. Empty if there is none, and if the
/// filesystem has no UUID tree.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`.
pub fn subvolumes_by_uuid(fd: impl AsFd, uuid: [u8; 16]) -> Result<Vec<u64>> {
    ids(fd.as_fd(), uuid, BY_UUID)
}

/// The ids of **all** subvolumes with this `received_uuid`: a read-only snapshot of a received subvolume inherits it. Empty as
/// above.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`.
pub fn subvolumes_by_received_uuid(fd: impl AsFd, uuid: [u8; 16]) -> Result<Vec<u64>> {
    ids(fd.as_fd(), uuid, BY_RECEIVED_UUID)
}

/// `BTRFS_UUID_TREE_OBJECTID`.
const UUID_TREE: u64 = 9;
/// `BTRFS_UUID_KEY_SUBVOL`.
const BY_UUID: u8 = 251;
/// `BTRFS_UUID_KEY_RECEIVED_SUBVOL`.
const BY_RECEIVED_UUID: u8 = 252;

/// The item under a uuid is an array of ids, 8 little-endian bytes each.
fn ids(fd: BorrowedFd<'_>, uuid: [u8; 16], kind: u8) -> Result<Vec<u64>> {
    let (head, tail) = uuid.split_at(8);
    let key = Key { objectid: word(head), kind, offset: word(tail) };
    let mut found = Vec::new();
    let answer = TreeSearch::new(4096).each(
        fd,
        &SearchKey { tree: UUID_TREE, min: key, max: key, max_items: 0, min_transid: 0 },
        |_, _, item| {
            found.extend(item.chunks_exact(8).map(word));
            ControlFlow::Continue(())
        },
    );
    match answer {
        Err(error) if error.errno == Errno::ENOENT => Ok(Vec::new()),
        other => other.map(|()| found),
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_root_item_has_no_uuid() {
        let mut bytes = vec![0xff; 239];
        bytes[160..168].copy_from_slice(&7_u64.to_le_bytes());
        bytes[208..220].copy_from_slice(&[0; 12]);
        let item = parse_root_item(&bytes).unwrap();
        assert_eq!((item.generation, item.uuid, item.ctransid, item.read_only), (7, [0; 16], 0, false));
        assert!(parse_root_item(&bytes[..219]).is_none());
    }

    #[test]
    fn late_fields_of_another_generation_do_not_count() {
        let mut bytes = vec![0; 439];
        bytes[160..168].copy_from_slice(&7_u64.to_le_bytes());
        bytes[239..247].copy_from_slice(&6_u64.to_le_bytes());
        bytes[247..263].copy_from_slice(&[9; 16]);
        assert_eq!(parse_root_item(&bytes).unwrap().uuid, [0; 16]);
        bytes[239..247].copy_from_slice(&7_u64.to_le_bytes());
        assert_eq!(parse_root_item(&bytes).unwrap().uuid, [9; 16]);
    }
}
