//! The blocks that input is read into: few, allocated once, reused.
//!
//! [`Shared`] keeps a part of a block beyond the call that decoded it. A holder drops it without a message to the pool,
//! which asks `Arc::get_mut` when it needs a block. It asks the block that it lent last first, because that one is still in
//! the cache.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Weak};

/// The size of a decoder's blocks and how many there may be.
///
/// Memory is bounded by `block_size * blocks`. A command larger than a block gets a block of its own size; those
/// together stay below the same bound, but one of them is always allowed (its length is under [`Limits`](crate::Limits)).
///
/// A block of which a part is held is not filled further, because safe Rust cannot write beside what others read. So
/// whoever reads little at a time and holds a part of each read uses up a block for each; dropping frees them at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Bytes in a block.
    pub block_size: usize,
    /// The largest number of blocks, the one being filled included.
    pub blocks: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self { block_size: 256 << 10, blocks: 64 }
    }
}

/// All blocks are held: drop some [`Shared`](crate::Shared) and ask again.
///
/// Also the answer to whoever asks for space while a full block of commands waits to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all blocks of the stream's pool are held")]
pub struct PoolEmpty;

/// The blocks themselves.
#[derive(Debug)]
pub(crate) struct Blocks {
    size: usize,
    limit: usize,
    /// How many blocks of the usual size exist, lent ones included.
    made: usize,
    /// Given back by the decoder, perhaps still held by others; the last one given back is last.
    retired: Vec<Block>,
    /// Larger blocks that others perhaps still hold. They are not used again, so nothing keeps them here.
    large: Vec<Weak<Box<[u8]>>>,
}

impl Blocks {
    pub(crate) fn new(pool: Pool) -> Self {
        // A block must hold a stream header, and work needs the block being filled.
        let size = pool.block_size.max(crate::HEADER);
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

    /// A block of at least `size` bytes without other holders.
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

    /// Takes back a block that came from here; others may still hold it.
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

/// A block of input. The pool reuses it when it has no other holder.
pub(crate) type Block = Arc<Box<[u8]>>;

/// A part of a block, kept alive with it. Cloning copies no bytes.
///
/// Each keeps a whole block from reuse, so hold few and drop them soon.
#[derive(Clone)]
pub struct Shared {
    block: Block,
    start: usize,
    end: usize,
}

impl Shared {
    /// `part` without copying it if it lies in `block`, else a copy of it.
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
