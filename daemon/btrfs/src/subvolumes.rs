//! All subvolumes of a filesystem, in one walk over the tree of roots.

use std::ops::ControlFlow;
use std::os::fd::AsFd;

use crate::error::{Errno, Error, Result};
use crate::roots::{ROOT_BACKREF, ROOT_ITEM, ROOT_TREE, RootItem, RootRef, parse_backref, parse_root_item};
use crate::search::{Key, SearchKey, TreeSearch};

/// A subvolume, as the tree of roots has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    /// Its id.
    pub id: u64,
    /// What is recorded of it.
    pub item: RootItem,
    /// Where it is; none for one that is deleted and only waits for its space to be given back.
    pub place: Option<RootRef>,
}

/// `ROOT_ITEM` and `ROOT_BACKREF` of tree 1 (`CAP_SYS_ADMIN`) — all subvolumes but the top-level one, by their ids, wherever
/// they are, also outside of what is mounted.
///
/// # Errors
/// As for [`TreeSearch::each`]: `EPERM`, `ENOTTY`, `EUCLEAN`.
pub fn all(fd: impl AsFd) -> Result<Vec<Subvolume>> {
    let key = SearchKey {
        tree: ROOT_TREE,
        min: Key { objectid: FIRST, kind: ROOT_ITEM, offset: 0 },
        max: Key { objectid: LAST, kind: ROOT_BACKREF, offset: u64::MAX },
        max_items: 0,
        min_transid: 0,
    };
    let mut found: Vec<Subvolume> = Vec::new();
    let mut garbled = false;
    TreeSearch::new(BUFFER).each(fd, &key, |key, _, bytes| {
        match key.kind {
            ROOT_ITEM => match parse_root_item(bytes) {
                Some(item) => found.push(Subvolume { id: key.objectid, item, place: None }),
                None => garbled = true,
            },
            ROOT_BACKREF => match (parse_backref(key, bytes), found.last_mut()) {
                (Some(place), Some(last)) if last.id == key.objectid => last.place = Some(place),
                _ => garbled = true,
            },
            _ => {}
        }
        if garbled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if garbled { Err(Error { call: "BTRFS_IOC_TREE_SEARCH_V2", errno: Errno::EUCLEAN }) } else { Ok(found) }
}

/// `BTRFS_FIRST_FREE_OBJECTID`.
const FIRST: u64 = 256;
/// `BTRFS_LAST_FREE_OBJECTID`.
const LAST: u64 = u64::MAX - 255;
const BUFFER: usize = 256 << 10;
