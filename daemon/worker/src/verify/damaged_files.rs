//! Finds the files with damaged data, after a scrub found in which chunks the damage is.
//!
//! The kernel names damaged files only in its log. So the data in those chunks is read once more, through the files: each extent
//! once, however many snapshots share it.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::os::fd::BorrowedFd;

use butterdock_btrfs::extents::{DiskExtent, disk_extents};
use butterdock_btrfs::subvolume::{self, TOP_LEVEL_ID};
use butterdock_btrfs::{Error as Fault, chunks};
use butterdock_receive::Control;

use super::VerifyEvent;
use crate::backups::Identity;
use crate::file_parts::FileParts;

/// More damaged chunks are not searched: then the drive is to be replaced, and each costs up to a gigabyte of reads.
const MOST_CHUNKS: usize = 32;
/// The results for this many extents are kept; others are read again.
const MOST_RESULTS: usize = 1 << 20;
/// This many files are named.
const MOST_NAMED: u64 = 50;

/// The search for damaged files.
pub(super) struct DamagedFiles<'d> {
    /// The top of the drive's filesystem.
    pub root: BorrowedFd<'d>,
    pub control: &'d Control,
    pub report: &'d dyn Fn(VerifyEvent),
}

/// The result of the search.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Searched {
    /// The number of damaged files, in all subvolumes.
    pub files: u64,
    /// There is or may be damage that no file shows: in trees, or where the search did not get.
    pub elsewhere: bool,
}

impl DamagedFiles<'_> {
    /// Reports the damaged files and the subvolumes that they are in.
    pub(super) fn find(&self, damaged: &HashSet<u64>) -> Searched {
        let mut searched = Searched { elsewhere: damaged.len() > MOST_CHUNKS, ..Searched::default() };
        let mut ranges = Vec::new();
        for &start in damaged.iter().take(MOST_CHUNKS) {
            match chunks::chunk(self.root, start) {
                Ok(Some(chunk)) => {
                    searched.elsewhere |= chunk.has_trees;
                    ranges.push(chunk.addresses);
                }
                // It was emptied or moved: its data is elsewhere.
                Ok(None) | Err(_) => searched.elsewhere = true,
            }
        }
        if self.search(&ranges, &mut searched).is_err() || self.control.is_cancelled() {
            searched.elsewhere = true;
        }
        searched
    }

    fn search(&self, ranges: &[Range<u64>], searched: &mut Searched) -> Result<(), Fault> {
        let mut parts = FileParts::new(self.root);
        let mut results: HashMap<Part, bool> = HashMap::new();
        let subvolumes = subvolume::all(self.root)?.into_iter().filter(|one| one.item.refs != 0 && one.place.is_some());
        let subvolumes = subvolumes.map(|one| (one.id, Identity(one.item.uuid)));
        for (tree, uuid) in [(TOP_LEVEL_ID, Identity::NONE)].into_iter().chain(subvolumes) {
            let (mut last, mut is_reported) = (None, false);
            disk_extents(self.root, tree, |extent| {
                if self.control.is_cancelled() {
                    return ControlFlow::Break(());
                }
                if last == Some(extent.ino) || !ranges.iter().any(|range| range.contains(&extent.address)) {
                    return ControlFlow::Continue(());
                }
                let part = Part::of(&extent);
                let is_good = results.get(&part).copied();
                // The path is that of the file that was read last.
                let is_good = match is_good {
                    Some(true) => true,
                    Some(false) | None => parts.can_read(tree, &extent).unwrap_or_else(|_gone| {
                        searched.elsewhere = true;
                        true
                    }),
                };
                if results.len() < MOST_RESULTS {
                    results.insert(part, is_good);
                }
                if !is_good {
                    last = Some(extent.ino);
                    searched.files = searched.files.saturating_add(1);
                    if searched.files <= MOST_NAMED {
                        (self.report)(VerifyEvent::DamagedFile { path: parts.path() });
                    }
                    if !std::mem::replace(&mut is_reported, true) && uuid.known().is_some() {
                        (self.report)(VerifyEvent::DamagedSubvolume { uuid });
                    }
                }
                ControlFlow::Continue(())
            })?;
        }
        Ok(())
    }
}

/// A part of an extent on disk, which several files may show.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Part {
    address: u64,
    start: u64,
    len: u64,
}

impl Part {
    fn of(extent: &DiskExtent) -> Self {
        let DiskExtent { address, start, len, .. } = *extent;
        Self { address, start, len }
    }
}
