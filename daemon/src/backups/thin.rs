//! Deletes what the rule keeps no longer, on one side.

use std::os::fd::BorrowedFd;

use butterdock_btrfs::{Errno, Error as Fault, subvolume};

use super::keep::{Candidate, Reason, reasons};
use super::pins::Mark;
use super::run::now;
use super::snapshot::{Side, Snapshot, list, made_by_us};
use super::task::{Task, Told};

/// Thins beside the source, whose folder for snapshots this is. The task says what all drives need, this backup's with them;
/// its source is known. Answers a warning where something went wrong.
pub(crate) fn thin_beside(task: &Task, folder: BorrowedFd<'_>, tell: &(dyn Fn(Told) + Sync)) -> Option<String> {
    thin(task, Side::Source { uuid: task.source? }, folder, &[], tell)
}

/// One side, by the rule; `needed` are pinned beside those of the task. The backup is done: what cannot be deleted now is the
/// next one's to delete, and there is a warning.
pub(super) fn thin(
    task: &Task,
    side: Side,
    folder: BorrowedFd<'_>,
    needed: &[Mark],
    tell: &(dyn Fn(Told) + Sync),
) -> Option<String> {
    let failed = match list(folder) {
        Ok(there) => Thinning::plan(task, side, &there, needed, now()).perform(folder, tell).1,
        Err(fault) => Some(fault),
    };
    let place = if side == Side::Drive { "on the drive" } else { "beside the source" };
    let text = "the next backup tries again";
    failed.map(|fault| format!("the backup is done, but old snapshots {place} could not be deleted: {fault}; {text}"))
}

/// What the rule says of one side.
#[derive(Debug)]
pub(crate) struct Thinning<'s> {
    drive: bool,
    verdicts: Vec<(&'s Snapshot, Option<Reason>)>,
}

impl<'s> Thinning<'s> {
    /// Looks at the snapshots in a folder; those elsewhere are nobody's business here. `needed` are pinned beside those of
    /// the task.
    pub(crate) fn plan(task: &Task, side: Side, snapshots: &'s [Snapshot], needed: &[Mark], now: i64) -> Self {
        let here: Vec<&Snapshot> = snapshots.iter().filter(|snapshot| snapshot.name.is_some()).collect();
        let is_pinned = |snapshot: &Snapshot| {
            let mut pins = task.pins.iter().chain(needed);
            pins.any(|pin| snapshot.bears(pin))
        };
        let candidate = |snapshot: &&Snapshot| {
            let made = made_by_us(snapshot, &task.name, side);
            Candidate {
                id: snapshot.uuid,
                time: made.unwrap_or(snapshot.made),
                pinned: is_pinned(snapshot),
                ours: made.is_some(),
            }
        };
        let candidates: Vec<Candidate> = here.iter().map(candidate).collect();
        let reasons = reasons(&task.keep, task.protect, now, &candidates);
        Self { drive: side == Side::Drive, verdicts: here.into_iter().zip(reasons).collect() }
    }

    /// Tells what would be done.
    pub(crate) fn explain(&self, tell: impl Fn(Told)) {
        let drive = self.drive;
        for (snapshot, reason) in &self.verdicts {
            let name = snapshot.name.clone().unwrap_or_default();
            match *reason {
                Some(reason) => tell(Told::Kept { drive, name, reason }),
                None => tell(Told::Thinned { drive, name }),
            }
        }
    }

    /// Does it, and tells each. Answers the ids of what was deleted, and what could not be.
    pub(crate) fn perform(&self, folder: BorrowedFd<'_>, tell: impl Fn(Told)) -> (Vec<u64>, Option<Fault>) {
        let (mut deleted, mut failed) = (Vec::new(), None);
        for (snapshot, _) in self.verdicts.iter().filter(|(_, reason)| reason.is_none()) {
            match subvolume::destroy_by_id(folder, snapshot.id) {
                Ok(()) => {
                    deleted.push(snapshot.id);
                    tell(Told::Thinned { drive: self.drive, name: snapshot.name.clone().unwrap_or_default() });
                }
                // Somebody else deleted it, or is sending it: the next time.
                Err(Fault { errno: Errno::ENOENT | Errno::EPERM | Errno::EBUSY, .. }) => {}
                Err(fault) => failed = Some(fault),
            }
        }
        (deleted, failed)
    }
}
