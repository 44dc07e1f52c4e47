//! What a whole subvolume holds, counted from its tree alone: about 0.1 seconds for 100 000 files.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use crate::error::Result;
use crate::ioctl::{le16, le32, le64};
use crate::search::{Key, SearchKey, TreeSearch};

/// Sums over a subvolume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Files, directories, links and so on.
    pub inodes: u64,
    /// Names; a file with hard links has several.
    pub names: u64,
    /// Bytes of the paths of all names, from the root of the subvolume.
    pub path_bytes: u64,
    /// Extended attributes,
    pub xattrs: u64,
    /// and the bytes of their names and values.
    pub xattr_bytes: u64,
    /// Extents of files, each as often as a file has it; no holes.
    pub extents: u64,
    /// How many of them are compressed.
    pub compressed: u64,
    /// Bytes of them as readers of the files see them.
    pub data: u64,
    /// Bytes of them as they are stored: compressed where they are, and of others no more than the file is long.
    pub stored: u64,
}

/// All items of subvolume `tree`, read until `go_on` says no; then the answer is none.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn contents(fd: impl AsFd, tree: u64, go_on: impl Fn() -> bool) -> Result<Option<Contents>> {
    let key = SearchKey {
        tree,
        min: Key { objectid: ROOT, kind: 0, offset: 0 },
        max: Key { objectid: LAST_FREE, kind: u8::MAX, offset: u64::MAX },
        max_items: 0,
        min_transid: 0,
    };
    let mut count = Count::default();
    let mut stopped = false;
    TreeSearch::new(BUFFER).each(fd, &key, |key, _, bytes| {
        stopped = !go_on();
        // An item that makes no sense counts nothing: this is a sum, and reading the file reports the error.
        let _: Option<()> = count.take(key, bytes);
        if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok((!stopped).then(|| count.sum()))
}

#[derive(Default)]
struct Count {
    sums: Contents,
    /// The size of the inode that the items belong to.
    size: u64,
    /// Of each directory: the one that it is in, and its name's length,
    at: HashMap<u64, (u64, u64)>,
    /// and how many names it has, and their bytes.
    in_it: HashMap<u64, (u64, u64)>,
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
                while let Some(len) = le16(rest, 8).filter(|_| key.objectid != ROOT) {
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
                let (data, stored) = extent(bytes, self.size.saturating_sub(key.offset))?;
                if stored > 0 {
                    sums.extents += 1;
                    sums.compressed += u64::from(is_compressed(bytes)?);
                    sums.data = sums.data.saturating_add(data);
                    sums.stored = sums.stored.saturating_add(stored);
                }
            }
            _ => {}
        }
        Some(())
    }

    fn name(&mut self, inode: u64, parent: u64, len: u16) {
        let len = u64::from(len);
        self.sums.names += 1;
        if self.is_directory && self.at.len() < MOST_DIRECTORIES {
            self.at.insert(inode, (parent, len));
        }
        let parent = if self.in_it.len() < MOST_DIRECTORIES { parent } else { ROOT };
        let (names, bytes) = self.in_it.entry(parent).or_default();
        *names += 1;
        *bytes = bytes.saturating_add(len);
    }

    fn sum(self) -> Contents {
        let Self { mut sums, at, in_it, .. } = self;
        for (directory, (names, bytes)) in in_it {
            let each = names.saturating_mul(path(&at, directory));
            sums.path_bytes = sums.path_bytes.saturating_add(each).saturating_add(bytes);
        }
        sums
    }
}

/// The length of a directory's path with the slash after it.
fn path(at: &HashMap<u64, (u64, u64)>, mut directory: u64) -> u64 {
    let mut length = 0;
    // Bounded: a tree that makes no sense may have circles.
    for _ in 0..DEEPEST {
        let Some(&(parent, name)) = at.get(&directory) else { break };
        length += name + 1;
        directory = parent;
    }
    length
}

/// `struct btrfs_file_extent_item`: its bytes as the file has them, `left` of them at most, and as they are stored.
fn extent(bytes: &[u8], left: u64) -> Option<(u64, u64)> {
    const INLINE: u8 = 0;
    const REGULAR: u8 = 1;
    let (decoded, is_compressed) = (le64(bytes, 8)?, is_compressed(bytes)?);
    match *bytes.get(20)? {
        INLINE => Some((decoded.min(left), u64::try_from(bytes.len().checked_sub(21)?).ok()?)),
        // A hole has no place on disk.
        REGULAR if le64(bytes, 21)? == 0 => Some((0, 0)),
        REGULAR => {
            let (on_disk, used) = (le64(bytes, 29)?, le64(bytes, 45)?);
            let data = used.min(left);
            let part = u128::from(on_disk) * u128::from(used.min(decoded)) / u128::from(decoded.max(1));
            Some((data, if is_compressed { u64::try_from(part).ok()? } else { data }))
        }
        // Reserved, and never written.
        _ => Some((0, 0)),
    }
}

fn is_compressed(bytes: &[u8]) -> Option<bool> {
    bytes.get(16).map(|how| *how != 0)
}

/// `BTRFS_FIRST_FREE_OBJECTID`: a subvolume's root directory.
const ROOT: u64 = 256;
/// `BTRFS_LAST_FREE_OBJECTID`.
const LAST_FREE: u64 = u64::MAX - 255;
const INODE_ITEM: u8 = 1;
const INODE_REF: u8 = 12;
const INODE_EXTREF: u8 = 13;
const XATTR_ITEM: u8 = 24;
const EXTENT_DATA: u8 = 108;
const BUFFER: usize = 256 << 10;
/// Up to this many directories are remembered; in others names count without the path to them.
const MOST_DIRECTORIES: usize = 1 << 20;
/// A path of `PATH_MAX` has no more directories.
const DEEPEST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_directories_ends() {
        let at = HashMap::from([(300, (301, 1)), (301, (300, 1))]);
        assert_eq!(path(&at, 300), 2 * DEEPEST as u64);
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
