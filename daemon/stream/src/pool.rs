//! The blocks into which the caller reads its input: few, allocated once, reused.
//!
//! [`Shared`] keeps a part of a block beyond the call that decoded it. Dropping one sends no message to the pool: when the
//! pool needs a block, `Arc::get_mut` shows which is free. It tries the block that it got back last first, because that one
//! is most likely still in the cache.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

use crate::frame::HEADER;

/// The size of a decoder's blocks and how many there may be.
///
/// The blocks take up to `block_size * blocks` bytes. A command larger than a block gets a block of its own size; the large
/// blocks together have the same bound, but one of them is always allowed (its length is within [`Limits`](crate::Limits)).
///
/// The decoder does not fill a block further while a [`Shared`] holds a part of it, because safe Rust cannot write beside
/// what others read. So a caller that reads little at a time and holds a part of each read uses one block for each read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Bytes in a block.
    pub block_size: usize,
    /// The largest number of blocks, with the one being filled.
    pub blocks: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self { block_size: 256 << 10, blocks: 64 }
    }
}

/// [`Shared`]s hold all blocks: drop some and call again.
///
/// Also the error of a caller that asks for space before it has taken the commands of a full block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all blocks of the stream's pool are held")]
pub struct PoolEmpty;

/// The blocks themselves.
#[derive(Debug)]
pub(crate) struct Blocks {
    size: usize,
    limit: usize,
    /// How many blocks of the usual size exist, with the lent ones.
    made: usize,
    /// Blocks that the decoder gave back and others may still hold, the last one at the end.
    retired: Vec<Block>,
    /// Larger blocks that others may still hold. They are not reused, so a weak reference suffices.
    large: Vec<Weak<Box<[u8]>>>,
}

impl Blocks {
    pub(crate) fn new(pool: Pool) -> Self {
        // A stream header must fit into a block, and the decoder needs at least the block that it fills.
        let size = pool.block_size.max(HEADER);
        Self { size, limit: pool.blocks.max(1), made: 0, retired: Vec::new(), large: Vec::new() }
    }

    /// The usual size of a block.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How many blocks of the usual size others still hold.
    pub(crate) fn held(&self) -> usize {
        self.retired.iter().filter(|block| Arc::strong_count(block) > 1).count()
    }

    /// A block of at least `size` bytes that nothing else holds.
    pub(crate) fn take(&mut self, size: usize) -> Result<Block, PoolEmpty> {
        if size > self.size {
            return self.take_large(size);
        }
        if let Some(place) = self.retired.iter_mut().rposition(|block| Arc::get_mut(block).is_some()) {
            return Ok(self.retired.remove(place));
        }
        if self.made >= self.limit {
            return Err(PoolEmpty);
        }
        self.made = self.made.saturating_add(1);
        Ok(zeroed(self.size))
    }

    /// Takes a block back; others may still hold it.
    pub(crate) fn give(&mut self, block: Block) {
        if block.len() == self.size {
            self.retired.push(block);
        } else if !block.is_empty() {
            self.large.push(Arc::downgrade(&block));
        }
    }

    fn take_large(&mut self, size: usize) -> Result<Block, PoolEmpty> {
        self.large.retain(|block| block.strong_count() > 0);
        let lent = self.large.iter().filter_map(Weak::upgrade);
        let bytes = lent.fold(size, |sum, block| sum.saturating_add(block.len()));
        if bytes > self.size.saturating_mul(self.limit) && !self.large.is_empty() {
            return Err(PoolEmpty);
        }
        Ok(zeroed(size))
    }
}

fn zeroed(size: usize) -> Block {
    Arc::new(vec![0; size].into_boxed_slice())
}

/// A block of input. The pool reuses it when nothing else holds it.
pub(crate) type Block = Arc<Box<[u8]>>;

/// A part of a block. Cloning copies no bytes.
///
/// Each keeps the whole block from being reused: hold few, and drop them soon.
#[derive(Clone)]
pub struct Shared {
    block: Block,
    start: usize,
    end: usize,
}

impl Shared {
    /// `part` without a copy if it lies in `block`, else a copy of it.
    pub(crate) fn of(block: &Block, part: &[u8]) -> Self {
        let start = part.as_ptr().addr().wrapping_sub(block.as_ptr().addr());
        match start.checked_add(part.len()) {
            Some(end) if end <= block.len() => Self { block: Arc::clone(block), start, end },
            Some(_) | None => Self::from(part.to_vec()),
        }
    }
}

impl Deref for Shared {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.block.get(self.start..self.end).unwrap_or_default()
    }
}

impl From<Vec<u8>> for Shared {
    fn from(bytes: Vec<u8>) -> Self {
        let end = bytes.len();
        Self { block: Arc::new(bytes.into_boxed_slice()), start: 0, end }
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Shared {}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_parts_of_the_block_are_shared_without_a_copy() {
        let block: Block = Arc::new(Box::from(*b"0123456789"));
        let inside = Shared::of(&block, &block[3..6]);
        assert_eq!(&*inside, b"345");
        assert_eq!(inside.as_ptr(), block[3..].as_ptr());
        assert_eq!(Arc::strong_count(&block), 2);

        let outside = Shared::of(&block, b"345");
        assert_eq!(inside, outside);
        assert_eq!(Arc::strong_count(&block), 2);
        assert_eq!(format!("{outside:?}"), "\"345\"");
    }
}
