//! Paths in a subvolume that are too long, from its tree alone.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use crate::contents::{BUFFER, INODE_EXTREF, INODE_ITEM, INODE_REF, LAST_FREE, MOST_DIRECTORIES};
use crate::error::Result;
use crate::ioctl::{le16, le32, le64};
use crate::search::{Key, SearchKey, TreeSearch};
use crate::subvolume::ROOT_INODE;

/// `INODE_REF` of subvolume `tree` — a path of more than `most` bytes, from the subvolume's root; none if there is none, and if it
/// is in one of too many directories.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn path_longer_than(fd: impl AsFd, tree: u64, most: usize) -> Result<Option<Vec<u8>>> {
    let mut paths = Paths::default();
    let key = SearchKey {
        tree,
        min: Key { objectid: ROOT_INODE, kind: 0, offset: 0 },
        max: Key { objectid: LAST_FREE, kind: u8::MAX, offset: u64::MAX },
        max_items: 0,
        min_transid: 0,
    };
    TreeSearch::new(BUFFER).each(fd, &key, |key, _, bytes| {
        // An item that cannot be parsed has no path.
        let _: Option<()> = paths.take(key, bytes);
        ControlFlow::Continue(())
    })?;
    Ok(paths.longer_than(most))
}

/// The directories of a subvolume, and the longest name in each.
#[derive(Default)]
struct Paths {
    is_directory: bool,
    /// Of each directory: its parent directory, and its name.
    parents: HashMap<u64, (u64, Vec<u8>)>,
    longest: HashMap<u64, Vec<u8>>,
}

impl Paths {
    /// None where the item is too short.
    fn take(&mut self, key: Key, bytes: &[u8]) -> Option<()> {
        match key.kind {
            INODE_ITEM => self.is_directory = le32(bytes, 52)? & 0o170_000 == 0o040_000,
            INODE_REF if key.objectid != ROOT_INODE => {
                let mut rest = bytes;
                while let Some(len) = le16(rest, 8) {
                    let end = 10 + usize::from(len);
                    self.name(key.objectid, key.offset, rest.get(10..end)?);
                    rest = rest.get(end..)?;
                }
            }
            INODE_EXTREF => self.name(key.objectid, le64(bytes, 0)?, bytes.get(18..)?),
            _ => {}
        }
        Some(())
    }

    fn name(&mut self, inode: u64, parent: u64, name: &[u8]) {
        if self.is_directory && self.parents.len() < MOST_DIRECTORIES {
            self.parents.insert(inode, (parent, name.to_vec()));
        }
        if self.longest.len() < MOST_DIRECTORIES || self.longest.contains_key(&parent) {
            let longest = self.longest.entry(parent).or_default();
            if name.len() > longest.len() {
                *longest = name.to_vec();
            }
        }
    }

    fn longer_than(&self, most: usize) -> Option<Vec<u8>> {
        self.longest.iter().find_map(|(&directory, name)| {
            let (mut parts, mut at) = (vec![name.as_slice()], directory);
            let mut length = name.len();
            // Bounded: a damaged tree may have a cycle.
            while let Some((parent, name)) = self.parents.get(&at).filter(|_| length <= 2 * most) {
                parts.push(name);
                length += name.len() + 1;
                at = *parent;
            }
            parts.reverse();
            (length > most).then(|| parts.join(&b'/'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_over_the_limit_is_found_and_a_cycle_ends() {
        let mut paths = Paths { is_directory: true, ..Paths::default() };
        paths.name(257, ROOT_INODE, b"one");
        paths.name(258, 257, b"two");
        paths.is_directory = false;
        paths.name(259, 258, b"leaf");
        assert_eq!(paths.longer_than(11).as_deref(), Some(&b"one/two/leaf"[..]));
        assert_eq!(paths.longer_than(12), None);
        paths.parents.insert(257, (258, b"one".to_vec()));
        assert!(paths.longer_than(100).is_some_and(|path| path.len() > 100));
    }
}
