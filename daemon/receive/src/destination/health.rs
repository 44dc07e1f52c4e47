//! Checks, before a subvolume is published, that the filesystem lost no data: the device error counters did not change, and
//! the extents that were written encoded exist ([`Written`] says why).

use std::os::fd::{AsFd, BorrowedFd};

use butterdock_btrfs::extents::{ExtentKind, FileExtent, file_extents};
use butterdock_btrfs::filesystem::{self, DeviceErrors};
use butterdock_btrfs::roots;
use butterdock_btrfs::search::TreeSearch;

use crate::apply::{Ranges, Written};
use crate::error::{Cause, Error};

/// The error counters of each device at one time.
#[derive(Debug)]
pub(crate) struct Health {
    devices: Vec<(u64, DeviceErrors)>,
}

impl Health {
    /// Reads the counters.
    pub(crate) fn read(fd: impl AsFd) -> Result<Self, Error> {
        let devices = filesystem::all_device_errors(fd);
        Ok(Self { devices: devices.map_err(|fault| Error::call("read the device error counters", fault))? })
    }

    /// Compares the counters with those of now: a write or flush that failed since may be one of this run.
    pub(crate) fn check(&self, fd: impl AsFd) -> Result<(), Error> {
        let now = Self::read(&fd)?;
        for (id, after) in &now.devices {
            let before = self.devices.iter().find(|(known, _)| known == id);
            let writes = after.write.saturating_sub(before.map_or(0, |(_, before)| before.write));
            let flushes = after.flush.saturating_sub(before.map_or(0, |(_, before)| before.flush));
            if writes != 0 || flushes != 0 {
                let path = filesystem::device_info(&fd, *id).ok().flatten().map(|device| device.path);
                let device = path.map_or_else(|| format!("{id}"), |path| path.escape_ascii().to_string());
                return Err(Error::new(Cause::Device { device, writes, flushes }));
            }
        }
        Ok(())
    }
}

/// One search covers gaps of up to this many inode numbers: reading their items is cheaper than a new search.
const GAP: u64 = 32;
const BUFFER: usize = 256 << 10;

/// Checks after a sync that everything in `written` exists. Deleted files are left out.
pub(crate) fn check_extents(root: BorrowedFd<'_>, written: Written) -> Result<(), Error> {
    let ask = |fault| Error::call("read back what was written", fault);
    let mut files = written.into_sorted();
    let mut search = TreeSearch::new(BUFFER);
    for run in files.chunk_by_mut(|(one, _), (next, _)| next.saturating_sub(*one) <= GAP) {
        let (Some(&(first, _)), Some(&(last, _))) = (run.first(), run.last()) else { continue };
        let mut rest = &mut *run;
        file_extents(&mut search, root, first, last, |extent| remove_found(&mut rest, &extent)).map_err(ask)?;
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

/// Removes an extent that was found from the expected ranges. Both are in the order of inode numbers.
fn remove_found(rest: &mut &mut [(u64, Ranges)], extent: &FileExtent) {
    if !matches!(extent.kind, ExtentKind::Inline | ExtentKind::Regular) {
        return;
    }
    let before = rest.iter().take_while(|(ino, _)| *ino < extent.ino).count();
    *rest = std::mem::take(rest).split_at_mut(before).1;
    if let Some((_, ranges)) = rest.first_mut().filter(|(ino, _)| *ino == extent.ino) {
        ranges.remove(extent.offset, extent.offset.saturating_add(extent.len));
    }
}
