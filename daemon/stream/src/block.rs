//! Bytes of the input that outlive the call that decoded them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// A block of input. The pool takes it back when nobody else holds it.
pub(crate) type Block = Arc<Box<[u8]>>;

/// A part of a block, kept alive with it. Cloning copies no bytes.
///
/// Whoever holds one keeps a whole block from being used again, so hold few and drop them soon.
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
    fn a_part_of_the_block_is_not_copied_and_anything_else_is() {
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
