//! Whether anything in a subvolume changed lately.

use std::ops::ControlFlow;
use std::os::fd::AsFd;

use crate::error::{Errno, Error, Result};
use crate::raw::{array, le32};
use crate::search::{Key, SearchKey, TreeSearch};

/// `INODE_ITEM` of subvolume `tree` — the newest change time (seconds and nanoseconds since 1970) of its inodes, as far as
/// they lie in a part of its tree that was written after transaction `since`; none when nothing was.
///
/// A file's data that is written out late rewrites its inode without a change time, so this tells changes from stragglers.
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

/// `BTRFS_INODE_ITEM_KEY`.
const INODE_ITEM: u8 = 1;
/// Offset of `ctime` in `struct btrfs_inode_item`.
const CTIME: usize = 124;
const BUFFER: usize = 256 << 10;
