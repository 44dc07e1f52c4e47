//! Chunks: the ranges of addresses that a filesystem maps to its devices.

use std::ops::Range;
use std::os::fd::AsFd;

use crate::error::Result;
use crate::ioctl::le64;
use crate::search::{Key, SearchKey, TreeSearch};

/// A range of a device that a chunk is stored in. In bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceExtent {
    /// The range on the device.
    pub device: Range<u64>,
    /// The address at which the chunk begins.
    pub chunk: u64,
}

/// A chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Its addresses, in bytes.
    pub addresses: Range<u64>,
    /// Whether it has trees; a mixed chunk has trees and data.
    pub has_trees: bool,
}

/// `DEV_EXTENT` of tree 4 — the ranges of device `devid` that are in use, in the order of the device.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn device_extents(fd: impl AsFd, devid: u64) -> Result<Vec<DeviceExtent>> {
    let min = Key { objectid: devid, kind: DEV_EXTENT, offset: 0 };
    let max = Key { offset: u64::MAX, ..min };
    let mut extents = Vec::new();
    TreeSearch::new(BUFFER).parse_each(fd, &whole(DEV_TREE, min, max), |key, bytes| {
        let (chunk, len) = (le64(bytes, 16)?, le64(bytes, 24)?);
        extents.push(DeviceExtent { device: key.offset..key.offset.checked_add(len)?, chunk });
        Some(())
    })?;
    Ok(extents)
}

/// `CHUNK_ITEM` of tree 3 — the chunk that begins at address `start`; none if there is none.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn chunk(fd: impl AsFd, start: u64) -> Result<Option<Chunk>> {
    let at = Key { objectid: FIRST_CHUNK_TREE, kind: CHUNK_ITEM, offset: start };
    let mut found = None;
    TreeSearch::new(BUFFER).parse_each(fd, &whole(CHUNK_TREE, at, at), |_, bytes| {
        let (len, kinds) = (le64(bytes, 0)?, le64(bytes, 24)?);
        found = Some(Chunk { addresses: start..start.checked_add(len)?, has_trees: kinds & (SYSTEM | METADATA) != 0 });
        Some(())
    })?;
    Ok(found)
}

fn whole(tree: u64, min: Key, max: Key) -> SearchKey {
    SearchKey { tree, min, max, max_items: 0, min_transid: 0 }
}

/// `BTRFS_CHUNK_TREE_OBJECTID`.
const CHUNK_TREE: u64 = 3;
/// `BTRFS_DEV_TREE_OBJECTID`.
const DEV_TREE: u64 = 4;
/// `BTRFS_FIRST_CHUNK_TREE_OBJECTID`.
const FIRST_CHUNK_TREE: u64 = 256;
/// `BTRFS_DEV_EXTENT_KEY`.
const DEV_EXTENT: u8 = 204;
/// `BTRFS_CHUNK_ITEM_KEY`.
const CHUNK_ITEM: u8 = 228;
/// `BTRFS_BLOCK_GROUP_SYSTEM` and `BTRFS_BLOCK_GROUP_METADATA`.
const SYSTEM: u64 = 1 << 1;
const METADATA: u64 = 1 << 2;
const BUFFER: usize = 64 << 10;
