//! Clones a range in pieces, and stops when metadata space is scarce.
//!
//! A clone costs the sender about a hundred bytes of stream, whatever it costs here. The total cannot be limited, because
//! images that share extents can be far larger than their volume. Metadata grows by one or two items per extent. So a run
//! stops when the filesystem has as little room for metadata as it must keep ([`Space::metadata_is_scarce`]). The kernel
//! cannot interrupt a clone, so a range is cloned in pieces, and a run can be cancelled between them.
//!
//! [`Space::metadata_is_scarce`]: butterdock_btrfs::space::Space::metadata_is_scarce

use std::sync::atomic::{AtomicU64, Ordering};

use butterdock_btrfs::{Errno, Error as Fault};

use crate::error::{Cause, Error};
use crate::volume::Inode;

/// The largest piece: at worst 1024 extents of a sector each, which the kernel clones in a tenth of a second, and in half a
/// second on a machine with much else to do.
pub(crate) const PIECE: u64 = 4 << 20;

/// What a clone reads and where it puts it, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) offset: u64,
    pub(crate) source_offset: u64,
    pub(crate) len: u64,
}

/// The bytes that all threads of a run have cloned.
#[derive(Debug, Default)]
pub(crate) struct Cloned {
    bytes: AtomicU64,
}

impl Range {
    /// The range in pieces, in order.
    pub(crate) fn pieces(self) -> impl Iterator<Item = Self> {
        let Self { offset, source_offset, len } = self;
        let starts = (0..len.div_ceil(PIECE)).map(|number| number.saturating_mul(PIECE));
        starts.map(move |start| Self {
            offset: offset.saturating_add(start),
            source_offset: source_offset.saturating_add(start),
            len: len.saturating_sub(start).min(PIECE),
        })
    }

    /// The kernel refuses a range that overlaps itself; it does not see that two pieces do.
    pub(crate) fn check<I: Inode>(&self, inode: &I, source: &I) -> Result<(), Fault> {
        let overlaps = self.len > PIECE && self.offset.abs_diff(self.source_offset) < self.len;
        if overlaps && inode.is_same(source)? {
            return Err(Fault { call: "FICLONERANGE", errno: Errno::EINVAL });
        }
        Ok(())
    }
}

impl Cloned {
    /// Looks at the room each time that another [`PIECE`] was cloned: many clones are of a sector.
    pub(crate) fn make_sure_of_room(&self, inode: &impl Inode, len: u64) -> Result<(), Error> {
        let before = self.bytes.fetch_add(len, Ordering::Relaxed);
        let piece = |bytes: u64| bytes.checked_div(PIECE);
        if piece(before) == piece(before.saturating_add(len)) {
            return Ok(());
        }
        match inode.metadata_is_scarce() {
            Ok(false) => Ok(()),
            Ok(true) => Err(Error::new(Cause::MetadataFull)),
            Err(fault) => Err(Error::call("look at the space", fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_range_are_all_of_it() {
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 10 * PIECE + 4096] {
            let pieces: Vec<Range> = Range { offset: 4096, source_offset: 8192, len }.pieces().collect();
            assert_eq!(pieces.iter().map(|piece| piece.len).sum::<u64>(), len);
            let mut at = 4096;
            for piece in pieces {
                assert_eq!((piece.offset, piece.source_offset), (at, at + 4096));
                assert!(piece.len <= PIECE && piece.len > 0);
                at += piece.len;
            }
        }
    }
}
