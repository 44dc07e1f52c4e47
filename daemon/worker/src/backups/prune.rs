//! Deletes the snapshots that the rule does not keep, on one side; and waits for the space of deleted ones, which the
//! kernel frees in the background.

use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use butterdock_btrfs::{Errno, Error as Fault, roots, space, subvolume};
use butterdock_receive::Control;

use super::owner::look_up;
use super::retention::{Candidate, Reason, Rule, is_from_future, reasons};
use super::seen::{MOST as MOST_SEEN, Seen};
use super::shared::Mark;
use super::snapshot::{Side, Snapshot, list, made_by_us};
use super::task::{BackupEvent, Task};

/// Prunes beside the source, whose folder for snapshots this is. The task says what all drives need, this backup's with them;
/// its source is known. Answers a warning where something went wrong.
pub(crate) fn prune_source(task: &Task, folder: BorrowedFd<'_>, tell: &(dyn Fn(BackupEvent) + Sync)) -> Option<String> {
    prune(task, Side::Source { uuid: task.source? }, folder, &[], tell)
}

/// One side, by the rule; `needed` are pinned beside those of the task. The backup is done: what cannot be deleted now is the
/// next one's to delete, and there is a warning.
pub(super) fn prune(
    task: &Task,
    side: Side<'_>,
    folder: BorrowedFd<'_>,
    needed: &[Mark],
    tell: &(dyn Fn(BackupEvent) + Sync),
) -> Option<String> {
    let failed = match list(folder, &[]) {
        Ok(mut there) => {
            if side.is_drive() {
                look_up(folder, &mut there);
            }
            // All present snapshots, with the new one, count as seen from now on.
            tell_seen(task, side, &there, tell);
            PrunePlan::plan(task, side, &there, needed, task.time.now()).perform(folder, tell).1
        }
        Err(fault) => Some(fault),
    };
    let place = if side.is_drive() { "on the drive" } else { "beside the source" };
    let text = "the next backup tries again";
    failed.map(|fault| format!("the backup is done, but old snapshots {place} could not be deleted: {fault}; {text}"))
}

/// Reports which snapshots of the backup are on one side; the daemon remembers since when.
pub(super) fn tell_seen(task: &Task, side: Side<'_>, there: &[Snapshot], tell: &(dyn Fn(BackupEvent) + Sync)) {
    /// Up to this many fit a report.
    const PIECE: usize = 256;
    let ours = there.iter().filter(|snapshot| made_by_us(snapshot, &task.name, side).is_some());
    let mut seen: Vec<Seen> = ours.map(|&Snapshot { uuid, otransid, .. }| Seen { uuid, otransid }).collect();
    // Those beyond are the youngest, and are protected.
    seen.sort_by_key(|seen| seen.otransid);
    seen.truncate(MOST_SEEN);
    let drive = side.is_drive();
    let mut pieces = seen.chunks(PIECE).peekable();
    if pieces.peek().is_none() {
        tell(BackupEvent::Seen { drive, snapshots: Vec::new(), last: true });
    }
    while let Some(piece) = pieces.next() {
        tell(BackupEvent::Seen { drive, snapshots: piece.to_vec(), last: pieces.peek().is_none() });
    }
}

/// Reports how many snapshots of the backup on one side are dated in the future, if any.
pub(super) fn tell_from_future(task: &Task, side: Side<'_>, there: &[Snapshot], tell: &(dyn Fn(BackupEvent) + Sync)) {
    let now = task.time.now();
    let is_from_future =
        |snapshot: &&Snapshot| made_by_us(snapshot, &task.name, side).is_some_and(|time| is_from_future(time, now));
    let count = there.iter().filter(is_from_future).count();
    if count > 0 {
        tell(BackupEvent::FromFuture { drive: side.is_drive(), count });
    }
}

/// What is said of snapshots that are dated in the future.
pub fn from_future(drive: bool, count: usize) -> String {
    let place = if drive { "on the drive" } else { "beside the source" };
    let (noun, verb) = if count == 1 { ("snapshot", "is") } else { ("snapshots", "are") };
    format!("{count} {noun} {place} {verb} dated in the future, stay, and take no place of the rule: check the date")
}

/// What the rule says of one side.
#[derive(Debug)]
pub(super) struct PrunePlan<'s> {
    drive: bool,
    verdicts: Vec<(&'s Snapshot, Option<Reason>)>,
}

impl<'s> PrunePlan<'s> {
    /// Looks at the snapshots in a folder; those elsewhere do not matter here. `needed` are pinned beside those of
    /// the task.
    pub(super) fn plan(task: &Task, side: Side<'_>, snapshots: &'s [Snapshot], needed: &[Mark], now: i64) -> Self {
        let here: Vec<&Snapshot> = snapshots.iter().filter(|snapshot| snapshot.name.is_some()).collect();
        let is_pinned = |snapshot: &Snapshot| {
            let mut pins = task.pins.iter().chain(needed);
            pins.any(|pin| snapshot.bears(pin))
        };
        let settled = if side.is_drive() { task.time.settled_drive } else { task.time.settled_source };
        let candidate = |snapshot: &&Snapshot| {
            let made = made_by_us(snapshot, &task.name, side);
            Candidate {
                id: snapshot.uuid,
                time: made.unwrap_or(snapshot.made),
                pinned: is_pinned(snapshot),
                ours: made.is_some(),
                settled: snapshot.otransid <= settled,
            }
        };
        let candidates: Vec<Candidate> = here.iter().map(candidate).collect();
        let rule = Rule { keep: task.keep, protect: task.protect, now, stopped: task.time.stopped };
        let reasons = reasons(&rule, &candidates);
        Self { drive: side.is_drive(), verdicts: here.into_iter().zip(reasons).collect() }
    }

    /// Reports what would be done.
    pub(super) fn explain(&self, tell: impl Fn(BackupEvent)) {
        let drive = self.drive;
        for (snapshot, reason) in &self.verdicts {
            let name = snapshot.name.clone().unwrap_or_default();
            match *reason {
                Some(reason) => tell(BackupEvent::Kept { drive, name, reason }),
                None => tell(BackupEvent::Pruned { drive, name }),
            }
        }
    }

    /// Does it, and reports each. Answers the ids of what was deleted, and what could not be.
    pub(super) fn perform(&self, folder: BorrowedFd<'_>, tell: impl Fn(BackupEvent)) -> (Vec<u64>, Option<Fault>) {
        let (mut deleted, mut failed) = (Vec::new(), None);
        for (snapshot, _) in self.verdicts.iter().filter(|(_, reason)| reason.is_none()) {
            match subvolume::destroy_by_id(folder, snapshot.id) {
                Ok(()) => {
                    deleted.push(snapshot.id);
                    tell(BackupEvent::Pruned { drive: self.drive, name: snapshot.name.clone().unwrap_or_default() });
                }
                // Another process deleted it or is sending it: the next backup tries again.
                Err(Fault { errno: Errno::ENOENT | Errno::EPERM | Errno::EBUSY, .. }) => {}
                Err(fault) => failed = Some(fault),
            }
        }
        (deleted, failed)
    }
}

/// Those of a filesystem.
#[derive(Debug)]
pub(super) struct Deleted<'f> {
    folder: BorrowedFd<'f>,
    ids: Vec<u64>,
    /// When it is not worth waiting for them any more.
    late: Instant,
}

/// The timeout for their space,
const PATIENCE: Duration = Duration::from_secs(120);
/// looking this often.
const PAUSE: Duration = Duration::from_millis(100);

impl<'f> Deleted<'f> {
    /// All of the filesystem under `folder`.
    pub(super) fn all(folder: BorrowedFd<'f>) -> Result<Self, Fault> {
        // Its place goes at once; that nothing refers to it any more is only written with the next commit.
        let all = subvolume::all(folder)?.into_iter();
        Ok(Self::these(
            folder,
            all.filter(|subvolume| subvolume.place.is_none()).map(|subvolume| subvolume.id).collect(),
        ))
    }

    /// These of it.
    pub(super) fn these(folder: BorrowedFd<'f>, ids: Vec<u64>) -> Self {
        Self { folder, ids, late: Instant::now() + PATIENCE }
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_free(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether it takes too long.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.late
    }

    /// Waits until all is free, or too long, or until the job is cancelled.
    pub(super) fn wait(&mut self, control: &Control) -> Result<(), Fault> {
        while !self.is_free() && !self.is_late() && !control.is_cancelled() {
            self.wait_a_moment()?;
        }
        Ok(())
    }

    /// Looks which are left, after a while.
    pub(super) fn wait_a_moment(&mut self) -> Result<(), Fault> {
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
            // What was given back can be used after a commit.
            space::wake_cleaner(self.folder)?;
        }
        Ok(())
    }
}
