//! How much space the snapshots of a backup hold beside its source: what deleting all of them would free.
//!
//! The kernel frees an extent when no file of any subvolume uses a part of it. So first the extents of the source and of its
//! other snapshots are counted, and then those that only the backup's snapshots use. Each tree is read as far as it was written
//! after an earlier snapshot of the source that has been read: it shares the rest with that snapshot. Metadata is not counted.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use butterdock_btrfs::disk_ranges::DiskRanges;
use butterdock_btrfs::{Error as Fault, contents, subvolume};

use super::name::MOST_NESTED;
use super::owner::{Owner, Side, made_by_us};
use super::prune::list_beside_source;
use super::runs::SnapshotRun;
use super::snapshot::Identity;
use super::task::Task;

/// Timeout for reading the trees.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Up to this many other snapshots of the source are read. With more, the result may be too high.
const MOST_OTHERS: usize = 64 + MOST_NESTED;
/// The time is read once for this many extents.
const PART: u32 = 4096;

/// What the snapshots of a backup hold beside its source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// The number of their runs.
    pub snapshots: u64,
    /// What deleting all of them would free, in bytes of data; none if it takes too long to find out.
    pub bytes: Option<u64>,
}

/// A subvolume, and what must be known of it to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tree {
    id: u64,
    /// The transaction that made it.
    otransid: u64,
    /// The source that it is a snapshot of, or is itself.
    source: Identity,
    /// It is a read-only snapshot.
    is_snapshot: bool,
    /// It is a source itself.
    is_source: bool,
}

/// What the snapshots of the task's backup hold, beside the source of its lineage.
pub(super) fn held(task: &Task, folder: BorrowedFd<'_>) -> Result<Held, Fault> {
    let owner = Owner::beside_source(task);
    let listed = list_beside_source(task, folder, &[], &[])?.snapshots;
    let side = Side::Source(&owner);
    let is_ours = |run: &SnapshotRun<'_>| run.top.is_none_or(|top| made_by_us(top, side).is_some());
    let runs: Vec<SnapshotRun<'_>> = SnapshotRun::of(side, &listed).into_iter().filter(is_ours).collect();
    let snapshots = u64::try_from(runs.len()).unwrap_or(u64::MAX);
    if runs.is_empty() {
        return Ok(Held { snapshots, bytes: Some(0) });
    }
    let ours: HashSet<u64> = runs.iter().flat_map(SnapshotRun::all).map(|snapshot| snapshot.id).collect();
    // The subvolumes below the source are sources of their snapshots.
    let mut sources: HashSet<Identity> = owner.sources.iter().copied().collect();
    sources.extend(runs.iter().flat_map(|run| &run.nested).map(|nested| nested.parent_uuid));
    let all = subvolume::all(folder)?;
    let present = all.iter().filter(|one| one.item.refs != 0 && one.place.is_some());
    let trees = present.filter_map(|one| Tree::of(one, &sources));
    let (mut own, mut others): (Vec<Tree>, Vec<Tree>) = trees.partition(|tree| ours.contains(&tree.id));
    own.sort_unstable_by_key(|tree| tree.otransid);
    // The source is the last of them: it shares most of its tree with its newest snapshot.
    others.sort_unstable_by_key(|tree| (!tree.is_snapshot, tree.otransid));
    others.drain(..others.len().saturating_sub(MOST_OTHERS));
    let deadline = Instant::now() + TIMEOUT;
    let mut reading = Reading { folder, deadline, ranges: DiskRanges::default(), read: Vec::new() };
    let mut bytes = Some(0_u64);
    for (tree, counts) in others.iter().map(|tree| (tree, false)).chain(own.iter().map(|tree| (tree, true))) {
        let new = reading.read(tree)?;
        bytes = bytes.zip(new).map(|(sum, new)| if counts { sum.saturating_add(new) } else { sum });
        if bytes.is_none() {
            break;
        }
    }
    Ok(Held { snapshots, bytes })
}

impl Tree {
    /// None of a subvolume that is neither one of the sources nor a snapshot of one.
    fn of(one: &subvolume::Subvolume, sources: &HashSet<Identity>) -> Option<Self> {
        let (uuid, parent) = (Identity(one.item.uuid), Identity(one.item.parent_uuid));
        let is_source = sources.contains(&uuid);
        let source = if is_source { uuid } else { parent };
        let is_snapshot = !is_source && one.item.read_only;
        let tree = Self { id: one.id, otransid: one.item.otransid, source, is_snapshot, is_source };
        sources.contains(&source).then_some(tree)
    }
}

/// The extents of the trees that were read.
struct Reading<'f> {
    folder: BorrowedFd<'f>,
    deadline: Instant,
    ranges: DiskRanges,
    /// The snapshots that were read: of which source, and when they were made.
    read: Vec<(Identity, u64)>,
}

impl Reading<'_> {
    /// The bytes of extents that no tree before had; none after the timeout, or if there are too many extents.
    fn read(&mut self, tree: &Tree) -> Result<Option<u64>, Fault> {
        // An older block of the source, or of a later snapshot of it, is a block of the snapshot too.
        let latest = if tree.is_source { u64::MAX } else { tree.otransid };
        let earlier = self.read.iter().filter(|(source, made)| *source == tree.source && *made <= latest);
        let since = earlier.map(|(_, made)| *made).max();
        let (mut new, mut count, mut is_late) = (0_u64, 0_u32, false);
        let (ranges, deadline) = (&mut self.ranges, self.deadline);
        contents::disk_extents(self.folder, tree.id, since.unwrap_or_default(), |address, len| {
            new = new.saturating_add(ranges.add(address, len));
            count = count.wrapping_add(1);
            is_late = count.is_multiple_of(PART) && Instant::now() >= deadline;
            if is_late { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if tree.is_snapshot {
            self.read.push((tree.source, tree.otransid));
        }
        Ok((!is_late && self.ranges.is_complete()).then_some(new))
    }
}
