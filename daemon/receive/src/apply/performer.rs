//! Performs the changes of one inode: on a writer thread for files, on the calling thread for all others.
//!
//! A clone needs about a hundred bytes of stream, and any amount of metadata. The total of clones cannot be limited, because
//! images that share extents can be far larger than their volume. So a run stops when the filesystem's room for metadata is
//! down to the reserve that it must keep ([`Space::metadata_is_scarce`]). The kernel cannot interrupt a clone, so a range is
//! cloned in pieces, and a run can be cancelled between them.
//!
//! The kernel refuses a clone between two files that are stored differently with `EINVAL`: only one has checksums (NOCOW, or a
//! volume that was mounted with nodatasum for some time), or the range is not aligned to this volume's sectors. That says nothing
//! about the data, and the sender would send the same clone again and again. Such a piece is copied.
//!
//! [`Space::metadata_is_scarce`]: butterdock_btrfs::space::Space::metadata_is_scarce

use std::sync::atomic::{AtomicU64, Ordering};

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_stream::{Compression, Extent, Position};

use super::attributes;
use super::written::Written;
use super::{RunContext, Task};
use crate::control::RunCounters;
use crate::error::{Cause, Error, doing};
use crate::payload::{self, Decoder};
use crate::plan::Change;
use crate::volume::{Inode, InodeState, borrow};

/// A performer: its decoder and its log of encoded writes.
pub(crate) struct Performer<'r> {
    context: &'r RunContext,
    decoder: Decoder,
    pub(crate) written: Written,
}

impl<'r> Performer<'r> {
    pub(crate) fn new(context: &'r RunContext) -> Self {
        Self { context, decoder: Decoder::new(), written: Written::default() }
    }

    /// Performs a task, change by change. Errors are reported to the run.
    pub(crate) fn perform<I: Inode>(&mut self, task: Task<I>) {
        let Task { inode, path, mut known, changes, sources } = task;
        let mut sources = sources.into_iter();
        for (place, change) in changes {
            if self.context.errors.ends_before(place) {
                return;
            }
            if let Err(error) = self.change(&inode, place, change, &mut known, &mut sources) {
                self.context.errors.report(error.at(place).on(path.as_bytes()));
            }
        }
    }

    fn change<I: Inode>(
        &mut self,
        inode: &I,
        place: Position,
        change: Change,
        known: &mut Option<InodeState>,
        sources: &mut impl Iterator<Item = I>,
    ) -> Result<(), Error> {
        match change {
            Change::Write { offset, parts } => self.write(inode, offset, &borrow(&parts)).map_err(doing("write"))?,
            Change::Encoded { extent, payload } => self.encoded(inode, place, &extent, &payload)?,
            Change::Clone { offset, len, source_offset, .. } => {
                if let Some(source) = sources.next().filter(|_| len != 0) {
                    self.clone_range(inode, &source, Range { offset, source_offset, len }, place)?;
                }
            }
            Change::Truncate { size } => {
                self.may_be_hole(inode, size, u64::MAX, place);
                inode.truncate(size).map_err(doing("set the size"))?;
            }
            Change::Punch { offset, len } => {
                self.may_be_hole(inode, offset, offset.saturating_add(len), place);
                inode.punch(offset, len).map_err(doing("punch a hole"))?;
            }
            Change::Chmod { mode } => {
                inode.set_mode(mode).map_err(doing("set the mode"))?;
                if let Some(state) = known {
                    state.mode = mode;
                }
            }
            Change::Chown { uid, gid } => {
                attributes::set_owner(inode, uid, gid, *known).map_err(doing("set the owner"))?;
                if let Some(state) = known {
                    (state.uid, state.gid) = (uid, gid);
                }
            }
            Change::Utimes { atime, mtime } => inode.set_times(atime, mtime).map_err(doing("set the times"))?,
            Change::SetXattr { name, data } => {
                // An ACL changes the mode, and chown removes a capability: the known state is no longer valid.
                if !name.starts_with(b"user.") {
                    *known = None;
                }
                attributes::set_xattr(inode, &name, &data, &self.context.ineffective)?;
            }
            Change::RemoveXattr { name } => {
                *known = None;
                attributes::remove_xattr(inode, &name).map_err(doing("remove an extended attribute"))?;
            }
            Change::Fileattr { attr } => {
                attributes::set_flags(inode, attr, &self.context.ineffective)
                    .map_err(doing("set the inode's flags"))?;
            }
            // The applier defers it.
            Change::Verity(_) => {}
        }
        Ok(())
    }

    /// Clones a range in pieces; stops between two pieces if the run ends.
    fn clone_range<I: Inode>(&mut self, inode: &I, source: &I, range: Range, place: Position) -> Result<(), Error> {
        if range.len > PIECE {
            // The kernel would not notice it from piece to piece.
            range.refuse_overlap(inode, source)?;
        }
        let mut copied = false;
        for piece in range.pieces() {
            let Range { offset, source_offset, len } = piece;
            if self.context.errors.ends_before(place) {
                return Ok(());
            }
            self.context.cloned.check_metadata_room(inode, len)?;
            self.may_be_hole(inode, offset, offset.saturating_add(len), place);
            match inode.clone_range(offset, source, source_offset, len) {
                Ok(()) => {}
                Err(fault) if fault.errno == Errno::EINVAL => {
                    copied = true;
                    piece.refuse_overlap(inode, source)?;
                    copy_range(inode, source, piece, fault)?;
                }
                Err(fault) => return Err(doing("clone a range")(fault)),
            }
            self.count(|tally| &tally.bytes_written, len);
        }
        self.count(|tally| if copied { &tally.fallback_writes } else { &tally.clones }, 1);
        Ok(())
    }

    fn write(&self, inode: &impl Inode, offset: u64, parts: &[&[u8]]) -> Result<(), Fault> {
        inode.write(offset, parts)?;
        let len = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.len() as u64));
        self.count(|tally| &tally.plain_writes, 1);
        self.count(|tally| &tally.bytes_written, len);
        Ok(())
    }

    /// The range may be a hole from here on. Without encoded writes there is nothing to log.
    fn may_be_hole(&mut self, inode: &impl Inode, start: u64, end: u64, place: Position) {
        if self.context.control.tally().encoded_writes.load(Ordering::Relaxed) != 0 {
            self.written.remove(inode.number(), start, end, place);
        }
    }

    /// Writes a payload as it is; decodes it first if the kernel refuses that.
    fn encoded(&mut self, inode: &impl Inode, place: Position, extent: &Extent, payload: &[u8]) -> Result<(), Error> {
        payload::check_structure(extent, payload).map_err(damaged)?;
        if self.context.options.force_decompress || extent.compression == Compression::None {
            return self.decoded(inode, extent, payload);
        }
        if self.context.options.verify {
            self.decoder.decode(extent, payload).map_err(damaged)?;
        }
        match write_encoded(inode, extent, payload) {
            Ok(()) => {
                self.written.insert(inode.number(), extent.file_offset, extent.file_len, place);
                self.count(|tally| &tally.encoded_writes, 1);
                self.count(|tally| &tally.bytes_written, extent.file_len);
                Ok(())
            }
            Err(fault) if matches!(fault.errno, Errno::ENOTTY | Errno::EINVAL | Errno::EOPNOTSUPP) => {
                self.decoded(inode, extent, payload)
            }
            Err(fault) => Err(Error::call("write an encoded extent", fault)),
        }
    }

    /// Decodes a payload and writes the data.
    fn decoded(&mut self, inode: &impl Inode, extent: &Extent, payload: &[u8]) -> Result<(), Error> {
        write_decoded(inode, extent, self.decoder.decode(extent, payload).map_err(damaged)?)?;
        self.count(|tally| &tally.fallback_writes, 1);
        self.count(|tally| &tally.bytes_written, extent.file_len);
        Ok(())
    }

    fn count(&self, counter: impl Fn(&RunCounters) -> &AtomicU64, n: u64) {
        RunCounters::add(counter(self.context.control.tally()), n);
    }
}

/// Copies a range that cannot be cloned. `refusal` is the error if the range is not within the source.
fn copy_range<I: Inode>(inode: &I, source: &I, range: Range, refusal: Fault) -> Result<(), Error> {
    let Range { mut offset, mut source_offset, len } = range;
    let mut buffer = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(COPIED_AT_ONCE)];
    let mut left = len;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(COPIED_AT_ONCE);
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        if source.read(source_offset, part).map_err(doing("read the source of a clone"))? < wanted {
            return Err(doing("clone a range")(refusal));
        }
        left = left.saturating_sub(wanted as u64);
        // The last part is written in any case: it sets the size.
        if left > 0 && part.iter().all(|byte| *byte == 0) {
            inode.punch(offset, wanted as u64).map_err(doing("punch a hole"))?;
        } else {
            inode.write(offset, &[part]).map_err(doing("copy a range that cannot be cloned"))?;
        }
        offset = offset.saturating_add(wanted as u64);
        source_offset = source_offset.saturating_add(wanted as u64);
    }
    Ok(())
}

/// Writes the part of the decoded bytes that belongs to the file.
fn write_decoded(inode: &impl Inode, extent: &Extent, decoded: &[u8]) -> Result<(), Error> {
    let start = usize::try_from(extent.decoded_offset).ok();
    let end = start.and_then(|start| start.checked_add(usize::try_from(extent.file_len).ok()?));
    let range = start.zip(end).and_then(|(start, end)| decoded.get(start..end));
    let Some(range) = range else {
        return Err(Error::new(Cause::Value("an encoded write covers more than its payload decodes to")));
    };
    inode.write(extent.file_offset, &[range]).map_err(doing("write a decoded extent"))
}

fn damaged(problem: payload::Problem) -> Error {
    Error::new(Cause::Payload(problem))
}

/// Writes an encoded extent; after `ENOSPC` once more. The space of deleted files may be free only after a sync.
fn write_encoded(inode: &impl Inode, extent: &Extent, payload: &[u8]) -> Result<(), Fault> {
    match inode.write_encoded(extent, payload) {
        Err(fault) if fault.errno == Errno::ENOSPC => {
            inode.sync_filesystem()?;
            inode.write_encoded(extent, payload)
        }
        other => other,
    }
}

/// The largest piece of a clone: up to 1024 extents of a sector each. The kernel clones them in a tenth of a second, on a busy
/// machine in half a second.
pub(crate) const PIECE: u64 = 4 << 20;

/// A range that cannot be cloned is copied in parts of this many bytes.
const COPIED_AT_ONCE: usize = 128 << 10;

/// The range that a clone reads, and where it writes it, in bytes.
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
    /// The pieces of the range, in order.
    pub(crate) fn pieces(self) -> impl Iterator<Item = Self> {
        let Self { offset, source_offset, len } = self;
        let starts = (0..len.div_ceil(PIECE)).map(|number| number.saturating_mul(PIECE));
        starts.map(move |start| Self {
            offset: offset.saturating_add(start),
            source_offset: source_offset.saturating_add(start),
            len: len.saturating_sub(start).min(PIECE),
        })
    }

    /// Refuses a range that overlaps itself, as the kernel does.
    fn refuse_overlap<I: Inode>(&self, inode: &I, source: &I) -> Result<(), Error> {
        let overlaps = self.offset.abs_diff(self.source_offset) < self.len;
        if overlaps && inode.is_same(source).map_err(doing("clone a range"))? {
            return Err(doing("clone a range")(Fault { call: "FICLONERANGE", errno: Errno::EINVAL }));
        }
        Ok(())
    }
}

impl Cloned {
    /// Checks the room for metadata each time that another [`PIECE`] was cloned: many clones have the length of a sector.
    pub(crate) fn check_metadata_room(&self, inode: &impl Inode, len: u64) -> Result<(), Error> {
        let before = self.bytes.fetch_add(len, Ordering::Relaxed);
        let piece = |bytes: u64| bytes.checked_div(PIECE);
        if piece(before) == piece(before.saturating_add(len)) {
            return Ok(());
        }
        match inode.metadata_is_scarce() {
            Ok(false) => Ok(()),
            Ok(true) => Err(Error::new(Cause::MetadataFull)),
            Err(fault) => Err(Error::call("read the free space", fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_range_cover_it() {
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
