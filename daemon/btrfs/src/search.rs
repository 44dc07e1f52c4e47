//! Searches in the trees of btrfs: the items come in the order of their keys, in batches, in one buffer.

#![expect(unsafe_code, reason = "the ioctl fills a buffer whose length it takes from the argument")]

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};

use crate::error::{Errno, Error, Result};
use crate::ioctl::{BTRFS, Direction, Request, array, ioctl};

/// A key of a tree. Keys are ordered by objectid, then kind, then offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The object of the item: an inode, a subvolume.
    pub objectid: u64,
    /// The kind of the item (`BTRFS_*_KEY`).
    pub kind: u8,
    /// Depends on the kind: a file offset, or another id.
    pub offset: u64,
}

impl Key {
    /// The next key in order; none after the last.
    fn next(self) -> Option<Self> {
        match (self.offset.checked_add(1), self.kind.checked_add(1)) {
            (Some(offset), _) => Some(Self { offset, ..self }),
            (None, Some(kind)) => Some(Self { kind, offset: 0, ..self }),
            (None, None) => Some(Self { objectid: self.objectid.checked_add(1)?, kind: 0, offset: 0 }),
        }
    }
}

/// The range of a search: all items between `min` and `max`, both included, **in the order of keys**. A range over several
/// objectids has items of every kind; the caller selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchKey {
    /// The tree's id; 0 is the subvolume of the descriptor.
    pub tree: u64,
    /// The first key wanted.
    pub min: Key,
    /// The last key wanted.
    pub max: Key,
    /// The most items of one call; 0: as many as fit into the buffer.
    pub max_items: u32,
    /// Only items in metadata blocks of this transaction or a later one; 0: all items.
    pub min_transid: u64,
}

/// A buffer for searches.
#[derive(Debug)]
pub struct TreeSearch {
    buffer: Vec<u8>,
}

impl TreeSearch {
    /// A search with a buffer for `buffer_len` bytes of items (at least one page). It grows, to a little more than 64 KiB, only
    /// if a single item does not fit.
    #[must_use]
    pub fn new(buffer_len: usize) -> Self {
        Self { buffer: vec![0; ARGUMENT_LEN + buffer_len.clamp(4096, 1 << 24)] }
    }

    /// `BTRFS_IOC_TREE_SEARCH_V2` (`CAP_SYS_ADMIN`) — passes each item in the range to `each`, with its key and the
    /// transaction of its metadata block, until the range ends or `each` breaks. It reads the trees as they are in memory; data
    /// that is not written out is not in them.
    ///
    /// # Errors
    /// `ENOENT` if there is no such tree, `EPERM`, `ENOTTY`; `EUCLEAN` if the kernel's answer is invalid.
    pub fn each(
        &mut self,
        fd: impl AsFd,
        key: &SearchKey,
        mut each: impl FnMut(Key, u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let fd = fd.as_fd();
        let mut min = key.min;
        while min <= key.max {
            let items = self.call(fd, key, min)?;
            let mut last = None;
            let mut rest = self.buffer.get(ARGUMENT_LEN..).unwrap_or_default();
            for _ in 0..items {
                let item = Item::parse(rest).ok_or(GARBLED)?;
                if item.key < min || item.key > key.max {
                    return Err(GARBLED);
                }
                if each(item.key, item.transid, item.data).is_break() {
                    return Ok(());
                }
                last = Some(item.key);
                rest = item.rest;
            }
            match last.and_then(Key::next) {
                Some(next) if next > min => min = next,
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// The same for items that `parse` understands. The first item for which it returns none ends the search.
    ///
    /// # Errors
    /// As for [`TreeSearch::each`]; `EUCLEAN` for an item that `parse` does not understand.
    pub(crate) fn parse_each(
        &mut self,
        fd: impl AsFd,
        key: &SearchKey,
        mut parse: impl FnMut(Key, &[u8]) -> Option<()>,
    ) -> Result<()> {
        let mut garbled = false;
        self.each(fd, key, |key, _, bytes| {
            garbled = parse(key, bytes).is_none();
            if garbled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if garbled { Err(GARBLED) } else { Ok(()) }
    }

    /// One call from `min` on; returns the number of items. An item that does not fit makes the buffer grow, once.
    fn call(&mut self, fd: BorrowedFd<'_>, key: &SearchKey, min: Key) -> Result<u32> {
        let mut grown = false;
        loop {
            self.fill(key, min);
            // SAFETY: the kernel reads and writes the argument and at most buf_size bytes after it, which the buffer has.
            let answer = unsafe { ioctl(fd, &TREE_SEARCH, self.buffer.as_mut_ptr()) };
            let needed = self.word(BUF_SIZE_AT).and_then(|needed| usize::try_from(needed).ok());
            match (answer, needed) {
                (Ok(_), _) => return array(&self.buffer, NR_ITEMS_AT).map(u32::from_ne_bytes).ok_or(GARBLED),
                (Err(Error { errno: Errno::EOVERFLOW, .. }), Some(needed)) if !grown && needed <= MAX_ITEM_LEN => {
                    self.buffer.resize((ARGUMENT_LEN + needed).max(self.buffer.len()), 0);
                    grown = true;
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// Writes `struct btrfs_ioctl_search_args_v2` to the buffer's head.
    fn fill(&mut self, key: &SearchKey, min: Key) {
        let buf_size = u64::try_from(self.buffer.len() - ARGUMENT_LEN).unwrap_or(0);
        let max = key.max;
        let items = if key.max_items == 0 { u32::MAX } else { key.max_items };
        let words = [key.tree, min.objectid, max.objectid, min.offset, max.offset, key.min_transid, u64::MAX];
        let halves = [u32::from(min.kind), u32::from(max.kind), items, 0];
        let bytes = words
            .into_iter()
            .flat_map(u64::to_ne_bytes)
            .chain(halves.into_iter().flat_map(u32::to_ne_bytes))
            .chain([0; 32])
            .chain(buf_size.to_ne_bytes());
        for (to, from) in self.buffer.iter_mut().zip(bytes) {
            *to = from;
        }
    }

    fn word(&self, at: usize) -> Option<u64> {
        array(&self.buffer, at).map(u64::from_ne_bytes)
    }
}

/// One item as the kernel lays it out: `struct btrfs_ioctl_search_header`, then its data.
struct Item<'a> {
    key: Key,
    transid: u64,
    data: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Item<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let word = |at| array(bytes, at).map(u64::from_ne_bytes);
        let half = |at| array(bytes, at).map(u32::from_ne_bytes);
        let (_, body) = bytes.split_at_checked(HEADER_LEN)?;
        let (data, rest) = body.split_at_checked(usize::try_from(half(28)?).ok()?)?;
        let kind = u8::try_from(half(24)?).ok()?;
        Some(Self { key: Key { objectid: word(8)?, kind, offset: word(16)? }, transid: word(0)?, data, rest })
    }
}

/// `sizeof(struct btrfs_ioctl_search_args_v2)`: the key, and the length of what follows.
const ARGUMENT_LEN: usize = 112;
const NR_ITEMS_AT: usize = 64;
const BUF_SIZE_AT: usize = 104;
/// `sizeof(struct btrfs_ioctl_search_header)`.
const HEADER_LEN: usize = 32;
/// No item is longer than the largest metadata block, 64 KiB.
const MAX_ITEM_LEN: usize = 65536 + HEADER_LEN;

const GARBLED: Error = Error { call: "BTRFS_IOC_TREE_SEARCH_V2", errno: Errno::EUCLEAN };
const TREE_SEARCH: Request =
    Request::new("BTRFS_IOC_TREE_SEARCH_V2", Direction::ReadWrite, BTRFS, 17, ARGUMENT_LEN, 0xc070_9411);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_carries() {
        let key = |objectid, kind, offset| Key { objectid, kind, offset };
        assert_eq!(key(1, 2, 3).next(), Some(key(1, 2, 4)));
        assert_eq!(key(1, 2, u64::MAX).next(), Some(key(1, 3, 0)));
        assert_eq!(key(1, 255, u64::MAX).next(), Some(key(2, 0, 0)));
        assert_eq!(key(u64::MAX, 255, u64::MAX).next(), None);
    }

    #[test]
    fn an_item_longer_than_the_buffer_is_refused() {
        let mut bytes = vec![0; HEADER_LEN + 4];
        bytes[28..32].copy_from_slice(&4_u32.to_ne_bytes());
        assert_eq!(Item::parse(&bytes).unwrap().data.len(), 4);
        bytes[28..32].copy_from_slice(&5_u32.to_ne_bytes());
        assert!(Item::parse(&bytes).is_none());
        assert!(Item::parse(&bytes[..20]).is_none());
    }
}
