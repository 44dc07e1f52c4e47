//! A worker's way through one backup.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use butterdock_btrfs::{Error as Fault, filesystem, roots};
use butterdock_receive::{Control, Observer, Outcome, Publication, Published, SubvolumeState};

use super::cause::BackupCause;
use super::error::BackupError;
use super::owner::{Owner, adopt, look_up};
use super::pending_snapshot::{PendingSnapshot, sweep};
use super::prune::{PrunePlan, prune, tell_from_future, tell_seen};
use super::seen::last;
use super::shared::{Learned, SharedSnapshot};
use super::shared_snapshots::{SharedPair, SharedSnapshots, Why, find_shared, is_as_it_was};
use super::snapshot::Identity;
use super::snapshot::{Side, Snapshot, list};
use super::source::Source;
use super::task::{BackupEvent, Task};

/// What a backup is between.
#[derive(Debug)]
pub(crate) struct Ends {
    /// The root directory of the source.
    pub source: OwnedFd,
    /// The folder for its snapshots, on the same filesystem.
    pub folder: OwnedFd,
    /// The destination directory, on the drive.
    pub destination: OwnedFd,
    /// The root of the drive's filesystem, where parents are found.
    pub top: Option<Arc<OwnedFd>>,
    /// How a snapshot gets its name in the destination.
    pub publication: Publication,
}

/// A backup being done.
#[derive(Clone, Copy)]
pub(crate) struct Run<'r> {
    pub ends: &'r Ends,
    pub task: &'r Task,
    /// The version of streams that this kernel sends: 1 or 2.
    pub version: u32,
    /// An estimate that takes longer is made beside the transfer.
    pub patience: Duration,
    pub control: &'r Control,
    /// Hears of what is received.
    pub observer: &'r dyn Observer,
    /// Hears of everything else.
    pub tell: &'r (dyn Fn(BackupEvent) + Sync),
}

impl Run<'_> {
    /// Runs the backup. A snapshot that is reported as pinned is durable on both sides. Nothing is pruned beside the source
    /// yet.
    pub(crate) fn run(&self) -> Result<(), BackupError> {
        let (folder, task) = (self.folder(), self.task);
        let source = Source::check(self.ends.source.as_fd(), task.source)?;
        (self.tell)(BackupEvent::Source { uuid: source.origin.uuid });
        self.check_places(&source)?;
        sweep(folder, &source, &task.name)?;
        let (mine, mut theirs) = (self.list_source()?, self.list_drive()?);
        let owner = {
            let pairs = find_shared(source.origin, &task.shared, &mine, &theirs).pairs.unwrap_or_default();
            Owner::of(task, source.origin.uuid, &pairs)
        };
        if let Some(text) = adopt(self.destination(), task, &owner, &mine, &mut theirs) {
            self.observer.warning(&text);
        }
        let (beside, on_drive) = (Side::Source { uuid: source.origin.uuid }, Side::Drive(&owner));
        if !task.dry_run {
            tell_seen(task, beside, &mine, self.tell);
            tell_seen(task, on_drive, &theirs, self.tell);
        }
        let SharedSnapshots { pairs, replaced } = find_shared(source.origin, &task.shared, &mine, &theirs);
        if task.dry_run {
            self.explain(&source, &owner, &mine, &theirs);
        }
        self.tell_replaced(replaced);
        let learned = |here: &Snapshot, there| Learned {
            shared: SharedSnapshot { here: here.state(), there, time: task.time.now() },
            sources: owner.sources.clone(),
            lost: lost(&task.shared, &theirs),
        };
        let from_future = || {
            tell_from_future(task, beside, &mine, self.tell);
            tell_from_future(task, on_drive, &theirs, self.tell);
        };
        // What another backup sent is a parent and no backup of this one: its rule does not keep it, another may delete it.
        let own = pairs.iter().flatten().find(|pair| pair.drive.name.is_some());
        if let Some(pair) = own
            && source.is_unchanged_since(pair)?
        {
            (self.tell)(BackupEvent::Unchanged { learned: learned(pair.source, pair.drive.state()) });
            from_future();
            return Ok(());
        }
        let taken = |name: &[u8]| theirs.iter().any(|snapshot| snapshot.name.as_deref() == Some(name));
        let pending = PendingSnapshot::make(folder, &source, &task.name, task.time.now(), taken)?;
        (self.tell)(BackupEvent::Snapshot { name: pending.name().to_vec(), uuid: pending.snapshot.uuid });
        let (uuid, why) = match &pairs {
            Ok(pairs) => (pairs.first().map(|pair| pair.source.uuid), None),
            Err(why) => (None, Some(self.reason(*why)?)),
        };
        (self.tell)(BackupEvent::Parent { uuid, why });
        from_future();
        if task.dry_run {
            return self.estimate_only(&pending, pairs.as_deref().unwrap_or_default());
        }
        let outcome = self.transfer(&source, &owner, &mine, &pending)?;
        pending.keep();
        pending.show()?;
        let learned = learned(&pending.snapshot, self.counterpart(&outcome)?);
        let needed = learned.shared.mark();
        (self.tell)(BackupEvent::Pinned { learned });
        if let Some(text) = prune(task, Side::Drive(&owner), self.destination(), &[needed], self.tell) {
            self.observer.warning(&text);
        }
        Ok(())
    }

    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.ends.folder.as_fd()
    }

    pub(crate) fn destination(&self) -> BorrowedFd<'_> {
        self.ends.destination.as_fd()
    }

    pub(crate) fn list_drive(&self) -> Result<Vec<Snapshot>, BackupError> {
        let known: Vec<Identity> = self.task.shared.iter().map(|shared| shared.mark().there).collect();
        let mut there = list(&self.ends.destination, &known).map_err(BackupError::drive("list the snapshots"))?;
        look_up(self.destination(), &mut there);
        Ok(there)
    }

    fn list_source(&self) -> Result<Vec<Snapshot>, BackupError> {
        let known: Vec<Identity> = self.task.shared.iter().map(|shared| shared.mark().here).collect();
        list(&self.ends.folder, &known).map_err(BackupError::source("list the snapshots"))
    }

    fn check_places(&self, source: &Source<'_>) -> Result<(), BackupError> {
        if !source.is_beside(&self.ends.folder)? {
            return Err(BackupError::because(BackupCause::FolderElsewhere));
        }
        let on_drive =
            filesystem::is_btrfs(&self.ends.destination).map_err(BackupError::drive("look at the filesystem"))?;
        if !on_drive {
            return Err(BackupError::because(BackupCause::DriveNotBtrfs));
        }
        if source.is_beside(&self.ends.destination)? {
            return Err(BackupError::because(BackupCause::SameFilesystem));
        }
        Ok(())
    }

    /// Why everything is sent: what is not on the drive now may have been there.
    fn reason(&self, why: Why) -> Result<Why, BackupError> {
        let Some(uuid) = self.task.last else { return Ok(why) };
        let last = last(&self.ends.destination, uuid).map_err(BackupError::drive("look for the last backup"))?;
        Ok(last.explains(why))
    }

    /// What was received, as it is now.
    fn counterpart(&self, outcome: &Outcome) -> Result<SubvolumeState, BackupError> {
        received(&self.ends.destination, outcome).map_err(BackupError::drive("look at the new snapshot"))
    }

    /// Reports a snapshot on the drive that is not the one that was sent, whether or not another parent exists.
    fn tell_replaced(&self, there: Vec<Identity>) {
        if there.is_empty() {
            return;
        }
        let text = format!(
            "{} snapshots on the drive are not what this machine sent there, though they have their place or their \
             identity; they are neither used nor deleted. Look at them, and delete them if nobody needs them",
            there.len()
        );
        self.observer.warning(&text);
        (self.tell)(BackupEvent::Replaced { there });
    }

    fn explain(&self, source: &Source<'_>, owner: &Owner, mine: &[Snapshot], theirs: &[Snapshot]) {
        let side = Side::Source { uuid: source.origin.uuid };
        let now = self.task.time.now();
        PrunePlan::plan(self.task, side, mine, &[], now).explain(self.tell);
        PrunePlan::plan(self.task, Side::Drive(owner), theirs, &[], now).explain(self.tell);
    }
}

/// What was received last, as it is on the filesystem of `place` now.
pub(super) fn received(place: impl AsFd, outcome: &Outcome) -> Result<SubvolumeState, Fault> {
    let id = outcome.subvolumes.last().map_or(0, |Published { id, .. }| *id);
    Ok(roots::root_item(place, id)?.map(|item| SubvolumeState::of_item(&item)).unwrap_or_default())
}

/// What is remembered and is not on the drive as it was sent.
fn lost(known: &[SharedSnapshot], theirs: &[Snapshot]) -> Vec<Identity> {
    let is_there = |shared: &SharedSnapshot| theirs.iter().any(|now| is_as_it_was(now, &shared.there, &shared.here));
    known.iter().filter(|shared| !is_there(shared)).map(|shared| shared.mark().there).collect()
}

/// The newest shared snapshot is the parent; a stream may clone from up to this many of the newest.
const CLONE_SOURCES: usize = 8;

/// The ids of the parent and of what may be cloned from.
pub(super) fn basis(pairs: &[SharedPair<'_>]) -> (Option<u64>, Vec<u64>) {
    let mut ids: Vec<u64> = pairs.iter().map(|pair| pair.source.id).collect();
    // One may have two counterparts: restored twice, or restored to where it came from.
    ids.dedup();
    ids.truncate(CLONE_SOURCES);
    (ids.first().copied(), ids)
}
