//! The blocks that input is read into: few, made once, used again.
//!
//! A holder drops its [`Shared`](crate::Shared) without telling anybody; the pool asks `Arc::get_mut` when it needs a
//! block. It asks the one it lent last first, because that one is still warm in the cache.

use std::sync::{Arc, Weak};

use crate::block::Block;

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

    /// A block of at least `size` bytes that nobody else holds.
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
