//! Deletes the snapshots that the retention rule does not keep, on one side; and waits for the space of deleted subvolumes,
//! which the kernel frees in the background.

use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use butterdock_btrfs::{Errno, Error as Fault, best_effort, roots, space, subvolume};
use butterdock_receive::Control;

use super::first_seen::{MOST as MOST_SEEN, Seen};
use super::held::{Held, held};
use super::owner::{Owner, Side, look_up, made_by_us};
use super::retention::{Candidate, Reason, RetentionRule, Rule, is_from_future, reasons};
use super::shared_record::PairUuids;
use super::snapshot::{FormerFolders, Identity, Listing, Snapshot, list, list_with_former};
use super::task::{BackupEvent, SourcePruning, Task};

/// Prunes the folder for snapshots beside the source, and the former ones. The task has the pins of all drives, including this
/// backup's, and the lineage of the source. Returns a warning after an error.
pub(crate) fn prune_source(
    task: &Task,
    folder: BorrowedFd<'_>,
    report: &(dyn Fn(BackupEvent) + Sync),
) -> Option<String> {
    let owner = Owner::beside_source(task);
    let failed = match task.source_pruning {
        SourcePruning::Rule | SourcePruning::ToNewest => prune(task, Side::Source(&owner), folder, &[], report),
        SourcePruning::Nothing => None,
    };
    if !task.measure {
        return failed;
    }
    match held(task, folder) {
        Ok(Held { snapshots, bytes }) => report(BackupEvent::Held { snapshots, bytes }),
        Err(fault) => {
            let text = format!("how much the snapshots beside the source hold cannot be found out: {fault}");
            return failed.or(Some(text));
        }
    }
    failed
}

/// Prunes one side. `needed` are pinned in addition to the task's pins. Returns a warning after an error: the backup has succeeded,
/// and the next one tries again.
pub(super) fn prune(
    task: &Task,
    side: Side<'_>,
    folder: BorrowedFd<'_>,
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
    let failed = match listed {
        Ok(there) => {
            // After the transfer, so that the new snapshot counts as seen too.
            report_seen(side, &there, report);
            let (deleted, failed) =
                PrunePlan::plan(task, side, &there, needed, task.time.now()).perform(folder, report);
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

/// Reports the snapshots of the backup on one side; the daemon records when each was first seen.
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

/// The snapshots on one side, each with the reason to keep it; a snapshot without a reason is deleted.
#[derive(Debug)]
pub(super) struct PrunePlan<'s> {
    drive: bool,
    decisions: Vec<(&'s Snapshot, Option<Reason>)>,
}

impl<'s> PrunePlan<'s> {
    /// Plans for the snapshots in a folder. `needed` are pinned in addition to the task's pins.
    pub(super) fn plan(task: &Task, side: Side<'_>, snapshots: &'s [Snapshot], needed: &[PairUuids], now: i64) -> Self {
        let here: Vec<&Snapshot> = snapshots.iter().filter(|snapshot| snapshot.name.is_some()).collect();
        let is_pinned = |snapshot: &Snapshot| {
            let mut pins = task.pins.iter().chain(needed);
            pins.any(|pin| pin.pins(snapshot))
        };
        let settled = if side.is_drive() { task.time.settled_drive } else { task.time.settled_source };
        let candidate = |snapshot: &&Snapshot| {
            let made = made_by_us(snapshot, side);
            Candidate {
                id: snapshot.uuid,
                time: made.unwrap_or(snapshot.made),
                pinned: is_pinned(snapshot),
                ours: made.is_some(),
                settled: snapshot.otransid <= settled,
                given_up: !side.is_drive() && task.given_up.contains(&snapshot.uuid),
                damaged: side.is_drive() && task.damaged.contains(&snapshot.uuid),
            }
        };
        let candidates: Vec<Candidate> = here.iter().map(candidate).collect();
        let (keep, protect) = if is_short(task, side) { (RetentionRule::NEWEST, 0) } else { (task.keep, task.protect) };
        let rule = Rule { keep, protect, now, stopped: task.time.stopped };
        let reasons = reasons(&rule, &candidates);
        Self { drive: side.is_drive(), decisions: here.into_iter().zip(reasons).collect() }
    }

    /// Reports the plan, for a dry run.
    pub(super) fn explain(&self, report: impl Fn(BackupEvent)) {
        let drive = self.drive;
        for (snapshot, reason) in &self.decisions {
            let name = snapshot.name.clone().unwrap_or_default();
            match *reason {
                Some(reason) => report(BackupEvent::Kept { drive, name, reason }),
                None => report(BackupEvent::Pruned { drive, name }),
            }
        }
    }

    /// Deletes and reports. Returns the ids of the deleted snapshots, and the last error.
    pub(super) fn perform(&self, folder: BorrowedFd<'_>, report: impl Fn(BackupEvent)) -> (Vec<u64>, Option<Fault>) {
        let (mut deleted, mut failed) = (Vec::new(), None);
        for (snapshot, _) in self.decisions.iter().filter(|(_, reason)| reason.is_none()) {
            match subvolume::destroy_by_id(folder, snapshot.id) {
                Ok(()) => {
                    deleted.push(snapshot.id);
                    report(BackupEvent::Pruned { drive: self.drive, name: snapshot.name.clone().unwrap_or_default() });
                }
                // Another process deleted it or is sending it: the next backup tries again.
                Err(Fault { errno: Errno::ENOENT | Errno::EPERM | Errno::EBUSY, .. }) => {}
                Err(fault) => failed = Some(fault),
            }
        }
        (deleted, failed)
    }
}

/// Whether only the newest and the pinned snapshots of this side stay.
fn is_short(task: &Task, side: Side<'_>) -> bool {
    !side.is_drive() && task.source_pruning == SourcePruning::ToNewest
}

/// Timeout for the space of snapshots beside a source that is running full.
const FREEING: Duration = Duration::from_secs(10);

/// Deleted subvolumes whose space the kernel has not freed yet.
#[derive(Debug)]
pub(super) struct DeletedSubvolumes<'f> {
    folder: BorrowedFd<'f>,
    ids: Vec<u64>,
    deadline: Instant,
}

/// The timeout for the space of deleted subvolumes.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The time between two checks.
const PAUSE: Duration = Duration::from_millis(100);

impl<'f> DeletedSubvolumes<'f> {
    /// All deleted subvolumes of the filesystem that `folder` is on.
    pub(super) fn all(folder: BorrowedFd<'f>) -> Result<Self, Fault> {
        // A deleted subvolume has no place at once; its reference count is only written with the next commit.
        let all = subvolume::all(folder)?.into_iter();
        Ok(Self::these(
            folder,
            all.filter(|subvolume| subvolume.place.is_none()).map(|subvolume| subvolume.id).collect(),
        ))
    }

    /// These subvolumes of it.
    pub(super) fn these(folder: BorrowedFd<'f>, ids: Vec<u64>) -> Self {
        Self { folder, ids, deadline: Instant::now() + TIMEOUT }
    }

    /// Whether the space of all is free.
    pub(super) fn is_free(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether the timeout has passed.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Waits until the space of all is free, up to the timeout, or until the job is cancelled.
    pub(super) fn wait(&mut self, control: &Control) -> Result<(), Fault> {
        while !self.is_free() && !self.is_late() && !control.is_cancelled() {
            self.check_after_pause()?;
        }
        Ok(())
    }

    /// Waits until the space of all is free, up to `limit`.
    fn wait_for(self, limit: Duration) -> Result<(), Fault> {
        let mut this = Self { deadline: Instant::now() + limit, ..self };
        while !this.is_free() && !this.is_late() {
            this.check_after_pause()?;
        }
        Ok(())
    }

    /// Waits for a short time, and then checks which are left.
    pub(super) fn check_after_pause(&mut self) -> Result<(), Fault> {
        space::wake_cleaner(self.folder)?;
        sleep(PAUSE);
        let mut left = Vec::new();
        for &id in &self.ids {
            if roots::root_item(self.folder, id)?.is_some() {
                left.push(id);
            }
        }
        self.ids = left;
        if self.is_free() {
            // The freed space can be used after a commit.
            space::wake_cleaner(self.folder)?;
        }
        Ok(())
    }
}
