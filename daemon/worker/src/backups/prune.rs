//! Prunes one side after a backup, and reports the snapshots that are left.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use butterdock_btrfs::{Error as Fault, best_effort};

use super::first_seen::{MOST as MOST_SEEN, Seen};
use super::folders::{look_up_former_holds, look_up_holds};
use super::freeable_space::{FreeableSpace, freeable_space};
use super::freed_space_wait::DeletedSubvolumes;
use super::owner::{Owner, Side, look_up, made_by_us};
use super::prune_plan::{PrunePlan, is_short};
use super::retention::is_from_future;
use super::shared_record::PairUuids;
use super::snapshot::{FormerFolders, Identity, Listing, Snapshot, list, list_with_former};
use super::task::{BackupEvent, SourcePruning, Task};

/// Prunes the folder for snapshots beside the source, and the former ones. The task has the pins of all drives, including this
/// backup's, and the lineage of the source. Returns a warning after an error.
///
/// `top` is the top of the filesystem, where former folders are found.
pub(crate) fn prune_source(
    task: &Task,
    folder: BorrowedFd<'_>,
    top: Option<BorrowedFd<'_>>,
    report: &(dyn Fn(BackupEvent) + Sync),
) -> Option<String> {
    let owner = Owner::beside_source(task);
    let failed = match task.source_pruning {
        SourcePruning::Rule | SourcePruning::ToNewest => prune(task, Side::Source(&owner), (folder, top), &[], report),
        SourcePruning::Nothing => None,
    };
    if !task.measure {
        return failed;
    }
    match freeable_space(task, folder) {
        Ok(FreeableSpace { snapshots, bytes }) => report(BackupEvent::Freeable { snapshots, bytes }),
        Err(fault) => {
            let text = format!("how much the snapshots beside the source hold cannot be found out: {fault}");
            return failed.or(Some(text));
        }
    }
    failed
}

/// Prunes one side: the open folder there, and on the source's side the former ones, below the top. `needed` are pinned in
/// addition to the task's pins. Returns a warning after an error: the backup has succeeded, and the next one tries again.
pub(super) fn prune(
    task: &Task,
    side: Side<'_>,
    (folder, top): (BorrowedFd<'_>, Option<BorrowedFd<'_>>),
    needed: &[PairUuids],
    report: &(dyn Fn(BackupEvent) + Sync),
) -> Option<String> {
    let listed = match side {
        Side::Source(_) => list_beside_source(task, folder, &[], &[]).map(|listing| listing.snapshots),
        Side::Drive(_) => list(folder, &[]).map(|mut there| {
            look_up(folder, &mut there);
            there
        }),
    };
    let with_holds = |mut there: Vec<Snapshot>| {
        look_up_former_holds(top, &mut there);
        look_up_holds(folder, &mut there).map(|()| there)
    };
    let failed = match listed.and_then(with_holds) {
        Ok(there) => {
            // After the transfer, so that the new snapshot counts as seen too.
            report_seen(side, &there, report);
            let (deleted, failed) =
                PrunePlan::plan(task, side, &there, needed, task.time.now()).perform(folder, top, report);
            if is_short(task, side) {
                // So that the free space is known afterwards. An error has no consequence: it is read again later.
                best_effort(DeletedSubvolumes::these(folder, deleted).wait_for(FREEING));
            }
            failed
        }
        Err(fault) => Some(fault),
    };
    let place = if side.is_drive() { "on the drive" } else { "beside the source" };
    let text = "the next backup tries again";
    failed.map(|fault| format!("the backup is done, but old snapshots {place} could not be deleted: {fault}; {text}"))
}

/// The snapshots on the source's filesystem, with the names of those in the folders of this backup. Before a backup, the
/// `predecessors` of the source may have folders that are not recorded yet.
pub(super) fn list_beside_source(
    task: &Task,
    folder: BorrowedFd<'_>,
    known: &[Identity],
    predecessors: &[Identity],
) -> Result<Listing, Fault> {
    let ours: Vec<Identity> = task.own_pairs().map(|pair| pair.here).collect();
    let recorded = &task.lineage.folders;
    list_with_former(folder, known, FormerFolders { recorded, predecessors, ours: &ours, backup: &task.name })
}

/// Reports the snapshots of the backup on one side; the service records when each was first seen.
pub(super) fn report_seen(side: Side<'_>, there: &[Snapshot], report: &(dyn Fn(BackupEvent) + Sync)) {
    /// The number of snapshots that fit into a report.
    const PIECE: usize = 256;
    let ours = there.iter().filter(|snapshot| made_by_us(snapshot, side).is_some());
    let mut seen: Vec<Seen> = ours.map(|&Snapshot { uuid, otransid, .. }| Seen { uuid, otransid }).collect();
    // The others are younger, and protected.
    seen.sort_by_key(|seen| seen.otransid);
    seen.truncate(MOST_SEEN);
    let drive = side.is_drive();
    let mut pieces = seen.chunks(PIECE).peekable();
    if pieces.peek().is_none() {
        report(BackupEvent::Seen { drive, snapshots: Vec::new(), last: true });
    }
    while let Some(piece) = pieces.next() {
        report(BackupEvent::Seen { drive, snapshots: piece.to_vec(), last: pieces.peek().is_none() });
    }
}

/// Reports the number of snapshots of the backup on one side that are dated in the future, if any.
pub(super) fn report_from_future(
    task: &Task,
    side: Side<'_>,
    there: &[Snapshot],
    report: &(dyn Fn(BackupEvent) + Sync),
) {
    let now = task.time.now();
    let is_from_future =
        |snapshot: &&Snapshot| made_by_us(snapshot, side).is_some_and(|time| is_from_future(time, now));
    let count = there.iter().filter(is_from_future).count();
    if count > 0 {
        report(BackupEvent::FromFuture { drive: side.is_drive(), count });
    }
}

/// The warning about snapshots that are dated in the future.
pub fn from_future(drive: bool, count: usize) -> String {
    let place = if drive { "on the drive" } else { "beside the source" };
    let (noun, verb) = if count == 1 { ("snapshot", "is") } else { ("snapshots", "are") };
    format!(
        "{count} {noun} {place} {verb} dated in the future; they are kept, and the rule does not count them: check the date"
    )
}

/// Timeout for the space of snapshots beside a source that is running full.
const FREEING: Duration = Duration::from_secs(10);
