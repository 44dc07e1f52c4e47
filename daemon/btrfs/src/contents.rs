//! Sums over a whole subvolume, and what changed in it since a transaction: from its tree alone, without reading files. Reading
//! the tree takes about 0.1 seconds for 100 000 files.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use crate::disk_ranges::DiskRanges;
use crate::error::Result;
use crate::extents::{EXTENT_DATA, ExtentItem, ExtentKind};
use crate::ioctl::{array, le16, le32, le64};
use crate::search::{Key, SearchKey, TreeSearch};
use crate::subvolume::ROOT_INODE;

/// Sums over a subvolume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Files, directories, links and so on.
    pub inodes: u64,
    /// Names; a file with hard links has several names.
    pub names: u64,
    /// Bytes of the paths of all names, from the root of the subvolume.
    pub path_bytes: u64,
    /// Extended attributes,
    pub xattrs: u64,
    /// and the bytes of their names and values.
    pub xattr_bytes: u64,
    /// Extents of files, without holes; an extent in several files counts once for each.
    pub extents: u64,
    /// How many of them are compressed.
    pub compressed: u64,
    /// Bytes of the extents, decompressed; those that several files share count once.
    pub data: u64,
    /// Bytes of the extents as they are stored: compressed ones compressed, others up to the end of the file; those that
    /// several files share count once.
    pub stored: u64,
    /// There are so many extents that shared ones may count more than once.
    pub is_upper_bound: bool,
}

/// Bytes of new extents on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoredBytes {
    /// Their number; those that several files share count once.
    pub bytes: u64,
    /// There are so many extents that shared ones may count more than once.
    pub is_upper_bound: bool,
}

/// Reads all items of subvolume `tree`. Stops and returns none when `proceed` returns false.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn contents(fd: impl AsFd, tree: u64, proceed: impl Fn() -> bool) -> Result<Option<Contents>> {
    let key = SearchKey {
        tree,
        min: Key { objectid: ROOT_INODE, kind: 0, offset: 0 },
        max: Key { objectid: LAST_FREE, kind: u8::MAX, offset: u64::MAX },
        max_items: 0,
        min_transid: 0,
    };
    let mut count = Count::default();
    let mut stopped = false;
    TreeSearch::new(BUFFER).each(fd, &key, |key, _, bytes| {
        stopped = !proceed();
        // An item that cannot be parsed counts nothing: reading the file reports the error.
        let _: Option<()> = count.take(key, bytes);
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok((!stopped).then(|| count.sum()))
}

/// `INODE_ITEM` of subvolume `tree` — the newest change time (seconds and nanoseconds since 1970) of its inodes, as far as
/// they lie in a part of its tree that was written after transaction `since`; none when no part was.
///
/// A late write-out of a file's data rewrites its inode and leaves its change time alone, so this tells changes from late
/// writes.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn newest_ctime(fd: impl AsFd, tree: u64, since: u64) -> Result<Option<(i64, u32)>> {
    let mut newest = None;
    TreeSearch::new(BUFFER).parse_each(fd, &written_since(tree, INODE_ITEM, since), |key, bytes| {
        if key.kind == INODE_ITEM {
            let ctime = (array(bytes, CTIME).map(i64::from_le_bytes)?, le32(bytes, CTIME + 8)?);
            newest = newest.max(Some(ctime));
        }
        Some(())
    })?;
    Ok(newest)
}

/// `EXTENT_DATA` of subvolume `tree` — how many bytes on disk the extents take that files got after transaction `since`:
/// compressed extents as they are stored, and an extent in several files once.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn stored_since(fd: impl AsFd, tree: u64, since: u64) -> Result<StoredBytes> {
    let (mut bytes_stored, mut counted) = (0_u64, CountedExtents::default());
    TreeSearch::new(BUFFER).parse_each(fd, &written_since(tree, EXTENT_DATA, since), |key, bytes| {
        if key.kind == EXTENT_DATA {
            // An item that cannot be parsed counts nothing, as in `contents`.
            let item = ExtentItem::parse(bytes).filter(|item| item.generation > since);
            let stored = item.map_or(0, |item| counted.new_part(&item, item.stored_len()));
            bytes_stored = bytes_stored.saturating_add(stored);
        }
        Some(())
    })?;
    Ok(StoredBytes { bytes: bytes_stored, is_upper_bound: !counted.ranges.is_complete() })
}

/// `EXTENT_DATA` of subvolume `tree` — passes the address and the length on disk of each whole extent of its files, as far as
/// they lie in a part of its tree that was written after transaction `since`. An extent is passed once for each use.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn disk_extents(
    fd: impl AsFd,
    tree: u64,
    since: u64,
    mut each: impl FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<()> {
    TreeSearch::new(BUFFER).each(fd, &written_since(tree, EXTENT_DATA, since), |key, _, bytes| {
        let whole = if key.kind == EXTENT_DATA { ExtentItem::parse(bytes).and_then(|item| item.whole()) } else { None };
        whole.map_or(ControlFlow::Continue(()), |(address, len)| each(address, len))
    })
}

/// The extents that were counted, so that each counts once, as it takes space once where it is received: a sender writes it for
/// the first file, and clones it for the others.
#[derive(Default)]
struct CountedExtents {
    ranges: DiskRanges,
    /// By address, how often an extent was found again.
    repeats: HashMap<u64, u32>,
}

impl CountedExtents {
    /// How many of the `bytes` of a file's part of an extent are new.
    fn new_part(&mut self, item: &ExtentItem, bytes: u64) -> u64 {
        let (start, len) = item.part();
        if len == 0 {
            return bytes;
        }
        let new = self.ranges.add(start, len);
        if new == 0 && self.is_written_again(start) {
            return bytes;
        }
        let part = u128::from(bytes) * u128::from(new) / u128::from(len);
        u64::try_from(part).unwrap_or(bytes)
    }

    /// Whether the sender writes a repeated extent, because it has too many references to look for one to clone from.
    fn is_written_again(&mut self, start: u64) -> bool {
        if self.repeats.len() >= MOST_REPEATED && !self.repeats.contains_key(&start) {
            return false;
        }
        let repeats = self.repeats.entry(start).or_default();
        *repeats = repeats.saturating_add(1);
        *repeats > SEND_MAX_EXTENT_REFS
    }
}

/// `INODE_ITEM` of subvolume `tree` — how many inodes that were made after transaction `since` have any of these `BTRFS_INODE_*`
/// flags.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn flagged_since(fd: impl AsFd, tree: u64, since: u64, flags: u64) -> Result<u64> {
    let mut count = 0_u64;
    TreeSearch::new(BUFFER).parse_each(fd, &written_since(tree, INODE_ITEM, since), |key, bytes| {
        let is_one = key.kind == INODE_ITEM && le64(bytes, 0)? > since && le64(bytes, 64)? & flags != 0;
        count = count.saturating_add(u64::from(is_one));
        Some(())
    })?;
    Ok(count)
}

/// All items of this kind in metadata blocks that were written after transaction `since`.
fn written_since(tree: u64, kind: u8, since: u64) -> SearchKey {
    SearchKey {
        tree,
        min: Key { objectid: 0, kind, offset: 0 },
        max: Key { objectid: u64::MAX, kind, offset: u64::MAX },
        max_items: 0,
        min_transid: since.saturating_add(1),
    }
}

#[derive(Default)]
struct Count {
    sums: Contents,
    counted: CountedExtents,
    /// The size of the inode that the items belong to.
    size: u64,
    /// Of each directory: its parent directory, and the length of its name,
    parents: HashMap<u64, (u64, u64)>,
    /// and the number and bytes of the names in it.
    entries: HashMap<u64, (u64, u64)>,
    /// Whether the inode that the items belong to is a directory.
    is_directory: bool,
}

impl Count {
    /// None where the item is too short.
    fn take(&mut self, key: Key, bytes: &[u8]) -> Option<()> {
        let sums = &mut self.sums;
        match key.kind {
            INODE_ITEM => {
                sums.inodes += 1;
                self.size = le64(bytes, 16)?;
                self.is_directory = le32(bytes, 52)? & 0o170_000 == 0o040_000;
            }
            INODE_REF => {
                let mut rest = bytes;
                while let Some(len) = le16(rest, 8).filter(|_| key.objectid != ROOT_INODE) {
                    self.name(key.objectid, key.offset, len);
                    rest = rest.get(10 + usize::from(len)..)?;
                }
            }
            INODE_EXTREF => self.name(key.objectid, le64(bytes, 0)?, le16(bytes, 16)?),
            XATTR_ITEM => {
                sums.xattrs += 1;
                sums.xattr_bytes += u64::try_from(bytes.len()).ok()?;
            }
            EXTENT_DATA => {
                let item = ExtentItem::parse(bytes)?;
                let (data, stored) = lengths(&item, self.size.saturating_sub(key.offset));
                if stored > 0 {
                    sums.extents += 1;
                    sums.compressed += u64::from(item.compression != 0);
                    let new = self.counted.new_part(&item, stored);
                    let new_data = u128::from(data) * u128::from(new) / u128::from(stored);
                    sums.data = sums.data.saturating_add(u64::try_from(new_data).unwrap_or(data));
                    sums.stored = sums.stored.saturating_add(new);
                }
            }
            _ => {}
        }
        Some(())
    }

    fn name(&mut self, inode: u64, parent: u64, len: u16) {
        let len = u64::from(len);
        self.sums.names += 1;
        if self.is_directory && self.parents.len() < MOST_DIRECTORIES {
            self.parents.insert(inode, (parent, len));
        }
        let parent = if self.entries.len() < MOST_DIRECTORIES { parent } else { ROOT_INODE };
        let (names, bytes) = self.entries.entry(parent).or_default();
        *names += 1;
        *bytes = bytes.saturating_add(len);
    }

    fn sum(self) -> Contents {
        let Self { mut sums, counted, parents, entries, .. } = self;
        sums.is_upper_bound = !counted.ranges.is_complete();
        for (directory, (names, bytes)) in entries {
            let each = names.saturating_mul(path_len(&parents, directory));
            sums.path_bytes = sums.path_bytes.saturating_add(each).saturating_add(bytes);
        }
        sums
    }
}

/// The length of a directory's path with the slash after it.
fn path_len(parents: &HashMap<u64, (u64, u64)>, mut directory: u64) -> u64 {
    let mut length = 0;
    // Bounded: a damaged tree may have a cycle.
    for _ in 0..DEEPEST {
        let Some(&(parent, name)) = parents.get(&directory) else { break };
        length += name + 1;
        directory = parent;
    }
    length
}

/// The bytes of an extent as the file has them, up to `left`, and as they are stored.
fn lengths(item: &ExtentItem, left: u64) -> (u64, u64) {
    match item.kind {
        ExtentKind::Inline => (item.decoded_len.min(left), item.stored_len()),
        ExtentKind::Regular => {
            let data = item.len.min(left);
            (data, if item.compression == 0 { data } else { item.stored_len() })
        }
        ExtentKind::Prealloc | ExtentKind::Hole => (0, 0),
    }
}

/// `BTRFS_LAST_FREE_OBJECTID`.
pub(crate) const LAST_FREE: u64 = u64::MAX - 255;
/// `BTRFS_INODE_ITEM_KEY` and its like.
pub(crate) const INODE_ITEM: u8 = 1;
pub(crate) const INODE_REF: u8 = 12;
pub(crate) const INODE_EXTREF: u8 = 13;
const XATTR_ITEM: u8 = 24;
/// Offset of `ctime` in `struct btrfs_inode_item`.
const CTIME: usize = 124;
pub(crate) const BUFFER: usize = 256 << 10;
/// `SEND_MAX_EXTENT_REFS` (fs/btrfs/send.c).
const SEND_MAX_EXTENT_REFS: u32 = 1024;
/// The repeats of up to this many extents are counted.
const MOST_REPEATED: usize = 1 << 16;
/// Up to this many directories are kept; the names in others count without the path to them.
pub(crate) const MOST_DIRECTORIES: usize = 1 << 20;
/// A path of `PATH_MAX` has no more directories.
const DEEPEST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_of_directories_ends() {
        let parents = HashMap::from([(300, (301, 1)), (301, (300, 1))]);
        assert_eq!(path_len(&parents, 300), 2 * DEEPEST as u64);
    }

    #[test]
    fn an_item_cut_short_counts_nothing() {
        let mut count = Count::default();
        for kind in [INODE_ITEM, INODE_EXTREF, EXTENT_DATA] {
            assert_eq!(count.take(Key { objectid: 257, kind, offset: 256 }, &[0; 7]), None);
        }
        let mut reference = [0_u8; 12];
        reference[8] = 200;
        assert_eq!(count.take(Key { objectid: 257, kind: INODE_REF, offset: 256 }, &reference), None);
    }
}
