//! How much space deleting snapshots would free.
//!
//! The kernel frees an extent when no file of any subvolume uses a part of it. So first the extents of the other subvolumes of the
//! same descent are counted, and then those that only the given snapshots use. Each tree is read as far as it was written after
//! it was separated from one that has been read: it shares the rest with that one. Metadata is not counted. Subvolumes of another
//! descent are not read, although files may have been cloned between them (`cp --reflink`): so the result is an upper bound.

use std::collections::{HashMap, HashSet};
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
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);
/// Up to this many other subvolumes are read. With more, the result may be too high.
const MOST_OTHERS: usize = 64 + MOST_NESTED;
/// The time is read once for this many extents.
const PART: u32 = 4096;

/// The snapshots of a backup beside its source, and what deleting them frees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct FreeableSpace {
    /// The number of their runs.
    pub snapshots: u64,
    /// What deleting all of them would free, in bytes of data; none if it takes too long to find out.
    pub bytes: Option<u64>,
}

/// That of the snapshots of the task's backup, beside the source of its lineage.
pub(super) fn freeable_space(task: &Task, folder: BorrowedFd<'_>) -> Result<FreeableSpace, Fault> {
    let owner = Owner::beside_source(task);
    let listed = list_beside_source(task, folder, &[], &[])?.snapshots;
    let side = Side::Source(&owner);
    let is_ours = |run: &SnapshotRun<'_>| run.top.is_none_or(|top| made_by_us(top, side).is_some());
    let runs: Vec<SnapshotRun<'_>> = SnapshotRun::of(side, &listed).into_iter().filter(is_ours).collect();
    let snapshots = u64::try_from(runs.len()).unwrap_or(u64::MAX);
    if runs.is_empty() {
        return Ok(FreeableSpace { snapshots, bytes: Some(0) });
    }
    let ours: HashSet<u64> = runs.iter().flat_map(SnapshotRun::all).map(|snapshot| snapshot.id).collect();
    let freed = freed(folder, &ours, TIMEOUT)?;
    Ok(FreeableSpace {
        snapshots,
        bytes: freed.map(|all| all.iter().fold(0, |sum, (_, bytes)| bytes.saturating_add(sum))),
    })
}

/// What is freed if these subvolumes are deleted in the returned order (the oldest first): for each its id and bytes of data.
/// None if it takes too long to find out.
pub(super) fn freed(
    folder: BorrowedFd<'_>,
    deleted: &HashSet<u64>,
    timeout: Duration,
) -> Result<Option<Vec<(u64, u64)>>, Fault> {
    let all = subvolume::all(folder)?;
    let present = all.iter().filter(|one| one.item.refs != 0 && one.place.is_some());
    let trees = Tree::related(present.map(Tree::of).collect(), deleted);
    let (mut own, mut others): (Vec<Tree>, Vec<Tree>) = trees.into_iter().partition(|tree| deleted.contains(&tree.id));
    own.sort_unstable_by_key(|tree| tree.otransid);
    // A writable one is read after its snapshots: it shares most of its tree with the newest of them.
    others.sort_unstable_by_key(|tree| (!tree.read_only, tree.otransid));
    others.drain(..others.len().saturating_sub(MOST_OTHERS));
    let deadline = Instant::now() + timeout;
    let mut reading = Reading { folder, deadline, ranges: DiskRanges::default(), read: Vec::new() };
    for tree in others {
        if reading.read(tree)?.is_none() {
            return Ok(None);
        }
    }
    let mut freed = Vec::new();
    for tree in own {
        let Some(bytes) = reading.read(tree)? else { return Ok(None) };
        freed.push((tree.id, bytes));
    }
    Ok(Some(freed))
}

/// A subvolume, and what must be known of it to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tree {
    id: u64,
    uuid: Identity,
    /// The subvolume that it is a snapshot of.
    parent: Identity,
    /// The transaction that made it.
    otransid: u64,
    /// The transaction of its last change.
    ctransid: u64,
    read_only: bool,
}

impl Tree {
    fn of(one: &subvolume::Subvolume) -> Self {
        Self {
            id: one.id,
            uuid: Identity(one.item.uuid),
            parent: Identity(one.item.parent_uuid),
            otransid: one.item.otransid,
            ctransid: one.item.ctransid,
            read_only: one.item.read_only,
        }
    }

    /// Those of the same descent as one of the `deleted`: a snapshot and its source, also if they are so by way of others.
    fn related(trees: Vec<Self>, deleted: &HashSet<u64>) -> Vec<Self> {
        let mut kin: HashMap<Identity, Vec<Identity>> = HashMap::new();
        for tree in &trees {
            kin.entry(tree.uuid).or_default();
            if let Some(parent) = tree.parent.known() {
                kin.entry(tree.uuid).or_default().push(parent);
                kin.entry(parent).or_default().push(tree.uuid);
            }
        }
        let mut open: Vec<Identity> =
            trees.iter().filter(|tree| deleted.contains(&tree.id)).map(|tree| tree.uuid).collect();
        let mut found: HashSet<Identity> = open.iter().copied().collect();
        while let Some(uuid) = open.pop() {
            for &next in kin.get(&uuid).into_iter().flatten() {
                if found.insert(next) {
                    open.push(next);
                }
            }
        }
        trees.into_iter().filter(|tree| found.contains(&tree.uuid)).collect()
    }

    /// The transaction up to which it shares all blocks of its tree with `read`, which has been read; None if that is not known.
    fn shared_with(&self, read: &Self) -> Option<u64> {
        let unchanged_since = |transid: u64| read.ctransid <= transid;
        let is_snapshot_of_it = read.parent == self.uuid;
        let of_the_same =
            self.parent.known().is_some_and(|parent| read.parent == parent) && read.otransid <= self.otransid;
        if (is_snapshot_of_it || of_the_same) && unchanged_since(read.otransid) {
            return Some(read.otransid);
        }
        (self.parent == read.uuid && unchanged_since(self.otransid)).then_some(self.otransid)
    }
}

/// The extents of the trees that were read.
struct Reading<'f> {
    folder: BorrowedFd<'f>,
    deadline: Instant,
    ranges: DiskRanges,
    read: Vec<Tree>,
}

impl Reading<'_> {
    /// The bytes of extents that no tree before had; none after the timeout, or if there are too many extents.
    fn read(&mut self, tree: Tree) -> Result<Option<u64>, Fault> {
        let since = self.read.iter().filter_map(|read| tree.shared_with(read)).max().unwrap_or_default();
        let (mut new, mut count, mut is_late) = (0_u64, 0_u32, false);
        let (ranges, deadline) = (&mut self.ranges, self.deadline);
        contents::disk_extents(self.folder, tree.id, since, |address, len| {
            new = new.saturating_add(ranges.add(address, len));
            count = count.wrapping_add(1);
            is_late = count.is_multiple_of(PART) && Instant::now() >= deadline;
            if is_late { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        self.read.push(tree);
        Ok((!is_late && self.ranges.is_complete()).then_some(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(id: u8, parent: u8, otransid: u64) -> Tree {
        let parent = if parent == 0 { Identity::NONE } else { Identity([parent; 16]) };
        Tree { id: id.into(), uuid: Identity([id; 16]), parent, otransid, ctransid: otransid, read_only: true }
    }

    #[test]
    fn only_subvolumes_of_the_same_descent_are_read() {
        // A chain of received ones, of which the first was deleted; and another source.
        let trees = vec![tree(2, 1, 20), tree(3, 2, 30), tree(4, 3, 40), tree(8, 0, 5), tree(9, 8, 50)];
        let of = |deleted: &[u64]| {
            let related = Tree::related(trees.clone(), &deleted.iter().copied().collect());
            related.iter().map(|tree| tree.id).collect::<Vec<_>>()
        };
        assert_eq!(of(&[3]), [2, 3, 4]);
        assert_eq!(of(&[9]), [8, 9]);
        assert_eq!(of(&[2, 9]), [2, 3, 4, 8, 9]);
    }

    #[test]
    fn a_tree_is_read_from_where_it_left_another() {
        let source = Tree { read_only: false, ctransid: 90, ..tree(1, 0, 5) };
        let (first, second) = (tree(2, 1, 20), tree(3, 1, 30));
        assert_eq!(source.shared_with(&first), Some(20), "the source, after its snapshot");
        assert_eq!(second.shared_with(&first), Some(20), "a later snapshot");
        assert_eq!(first.shared_with(&second), None, "an earlier one may have what is deleted since");
        assert_eq!(first.shared_with(&source), None, "the source has changed since");
        // Received: each begins as a snapshot of the one before, and is changed.
        let received = |id, parent, otransid, ctransid| Tree { ctransid, ..tree(id, parent, otransid) };
        let (base, next) = (received(5, 4, 20, 22), received(6, 5, 30, 33));
        assert_eq!(next.shared_with(&base), Some(30));
        assert_eq!(base.shared_with(&next), None, "the next one has replaced some of it");
        assert_eq!(received(7, 5, 40, 44).shared_with(&next), None, "a second one of the same base");
        assert_eq!(received(6, 5, 21, 33).shared_with(&base), None, "the base was changed later");
    }
}
