//! Whether a subvolume changed after a transaction: from its tree, without reading files.

use std::ops::ControlFlow;
use std::os::fd::AsFd;

use crate::error::{Errno, Error, Result};
use crate::ioctl::{array, le32, le64};
use crate::search::{Key, SearchKey, TreeSearch};

/// `INODE_ITEM` of subvolume `tree` — the newest change time (seconds and nanoseconds since 1970) of its inodes, as far as
/// they lie in a part of its tree that was written after transaction `since`; none when nothing was.
///
/// A file's data that is written out late rewrites its inode without a change time, so this separates changes from late writes.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn newest_ctime(fd: impl AsFd, tree: u64, since: u64) -> Result<Option<(i64, u32)>> {
    let key = SearchKey {
        tree,
        min: Key { objectid: 0, kind: INODE_ITEM, offset: 0 },
        max: Key { objectid: u64::MAX, kind: INODE_ITEM, offset: u64::MAX },
        max_items: 0,
        min_transid: since.saturating_add(1),
    };
    let mut newest = None;
    let mut garbled = false;
    TreeSearch::new(BUFFER).each(fd, &key, |key, _, bytes| {
        if key.kind == INODE_ITEM {
            match (array(bytes, CTIME).map(i64::from_le_bytes), le32(bytes, CTIME + 8)) {
                (Some(seconds), Some(nanoseconds)) => {
                    newest = newest.max(Some((seconds, nanoseconds)));
                }
                _ => {
                    garbled = true;
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    if garbled { Err(Error { call: "BTRFS_IOC_TREE_SEARCH_V2", errno: Errno::EUCLEAN }) } else { Ok(newest) }
}

/// `EXTENT_DATA` of subvolume `tree` — how many bytes on disk the extents take that files got after transaction `since`: as
/// they are stored, compressed where they are, and each as often as a file has it.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn stored_since(fd: impl AsFd, tree: u64, since: u64) -> Result<u64> {
    let key = SearchKey {
        tree,
        min: Key { objectid: 0, kind: EXTENT_DATA, offset: 0 },
        max: Key { objectid: u64::MAX, kind: EXTENT_DATA, offset: u64::MAX },
        max_items: 0,
        min_transid: since.saturating_add(1),
    };
    let mut stored = 0_u64;
    TreeSearch::new(BUFFER).each(fd, &key, |key, _, bytes| {
        if key.kind == EXTENT_DATA && le64(bytes, 0).is_some_and(|generation| generation > since) {
            stored = stored.saturating_add(stored_of(bytes).unwrap_or_default());
        }
        ControlFlow::Continue(())
    })?;
    Ok(stored)
}

/// Of `struct btrfs_file_extent_item`: what is inline takes its own length, and of an extent that is compressed or shared
/// in part, the part.
fn stored_of(bytes: &[u8]) -> Option<u64> {
    const INLINE: u8 = 0;
    const REGULAR: u8 = 1;
    match *bytes.get(20)? {
        INLINE => u64::try_from(bytes.len().checked_sub(21)?).ok(),
        REGULAR => {
            let (decoded, on_disk, used) = (le64(bytes, 8)?, le64(bytes, 29)?, le64(bytes, 45)?);
            let part = u128::from(on_disk) * u128::from(used.min(decoded)) / u128::from(decoded.max(1));
            // A hole has no place on disk.
            if le64(bytes, 21)? == 0 { Some(0) } else { u64::try_from(part).ok() }
        }
        // Reserved, and never written.
        _ => Some(0),
    }
}

/// `BTRFS_INODE_ITEM_KEY`.
const INODE_ITEM: u8 = 1;
/// `BTRFS_EXTENT_DATA_KEY`.
const EXTENT_DATA: u8 = 108;
/// Offset of `ctime` in `struct btrfs_inode_item`.
const CTIME: usize = 124;
const BUFFER: usize = 256 << 10;
