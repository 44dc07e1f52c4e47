//! Asks the filesystem for the extents that were written encoded. See `apply/encoded.rs` for why.

use std::os::fd::BorrowedFd;

use butterdock_btrfs::extents::{ExtentKind, FileExtent, file_extents};
use butterdock_btrfs::roots;
use butterdock_btrfs::search::TreeSearch;

use crate::apply::Written;
use crate::error::{Cause, Error};
use crate::volume::Ranges;

/// One search goes over a gap of so many inode numbers: reading on is cheaper than beginning anew.
const GAP: u64 = 32;
const BUFFER: usize = 256 << 10;

/// Checks after a sync that everything in `written` is there. Files that are gone by now are left out.
pub(crate) fn check(root: BorrowedFd<'_>, written: Written) -> Result<(), Error> {
    let ask = |fault| Error::call("read back what was written", fault);
    let mut files = written.into_sorted();
    let mut search = TreeSearch::new(BUFFER);
    for run in files.chunk_by_mut(|(one, _), (next, _)| next.saturating_sub(*one) <= GAP) {
        let (Some(&(first, _)), Some(&(last, _))) = (run.first(), run.last()) else { continue };
        let mut rest = &mut *run;
        file_extents(&mut search, root, first, last, |extent| take_off(&mut rest, &extent)).map_err(ask)?;
    }
    for (ino, ranges) in files {
        if let Some((start, end)) = ranges.first() {
            if roots::path_within(root, 0, ino).map_err(ask)?.is_some() {
                return Err(Error::new(Cause::Lost { ino, offset: start, bytes: end.saturating_sub(start) }));
            }
        }
    }
    Ok(())
}

/// Takes a found extent off what is expected. Both come in the order of inode numbers.
fn take_off(rest: &mut &mut [(u64, Ranges)], extent: &FileExtent) {
    if !matches!(extent.kind, ExtentKind::Inline | ExtentKind::Regular) {
        return;
    }
    let before = rest.iter().take_while(|(ino, _)| *ino < extent.ino).count();
    *rest = std::mem::take(rest).split_at_mut(before).1;
    if let Some((_, ranges)) = rest.first_mut().filter(|(ino, _)| *ino == extent.ino) {
        ranges.remove(extent.offset, extent.offset.saturating_add(extent.len));
    }
}
