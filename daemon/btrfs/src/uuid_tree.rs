//! The UUID tree: which subvolumes bear a uuid, as their own or as the one they were received under.

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Errno, Result};
use crate::search::{Key, SearchKey, TreeSearch};

/// The ids of the subvolumes whose own uuid this is, of the filesystem that `fd` is on. Empty when there is none, and when
/// the filesystem has no UUID tree. The uuid is in the order of its 16 bytes.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`.
pub fn subvolumes_by_uuid(fd: impl AsFd, uuid: [u8; 16]) -> Result<Vec<u64>> {
    ids(fd.as_fd(), uuid, BY_UUID)
}

/// The ids of the subvolumes that were received under this uuid, **all** of them: a snapshot of a received subvolume
/// inherits its mark. Empty as above.
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
