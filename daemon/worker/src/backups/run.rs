//! A backup, from the check of its source to pruning on the drive. A dry run only estimates the transfer.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use butterdock_btrfs::{Error as Fault, filesystem};
use butterdock_receive::{Control, Observer, Publication};

use super::drive_folder::take_along;
use super::error::{BackupCause, BackupError};
use super::folders::look_up_holds;
use super::lineage::Lineage;
use super::name::run_of_nested;
use super::nested::{LeftOut, NestedSubvolume, NestedSubvolumes};
use super::owner::{Owner, Side, adopt, look_up};
use super::pending_snapshot::{PendingNested, PendingRun, second_of_next, sweep};
use super::prune::{list_beside_source, prune, report_from_future, report_seen};
use super::prune_plan::PrunePlan;
use super::shared_record::{RecordUpdate, SharedSnapshot};
use super::shared_snapshots::{FullReason, SharedPair, SharedSnapshots, find_shared, is_unchanged, last, of_others};
use super::snapshot::{Identity, Listing, Snapshot, list};
use super::source::Source;
use super::task::{BackupEvent, Task};
use super::transfer::{RunMember, RunTransfer};

/// The directories of a backup.
#[derive(Debug)]
pub(crate) struct BackupDirectories {
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
    /// The active swapfiles in the source. A confined worker cannot read which these are.
    pub swapfiles: Vec<Vec<u8>>,
    /// The subvolumes below the source. A confined worker cannot open them.
    pub nested: Result<NestedSubvolumes, Fault>,
}

/// A running backup.
#[derive(Clone, Copy)]
pub(crate) struct Run<'r> {
    pub directories: &'r BackupDirectories,
    pub task: &'r Task,
    /// The version of streams that this kernel sends: 1 or 2.
    pub version: u32,
    /// The transfer waits this long for the estimate.
    pub estimate_timeout: Duration,
    pub control: &'r Control,
    /// Gets the events of the receiver.
    pub observer: &'r dyn Observer,
    /// Gets all other events.
    pub report: &'r (dyn Fn(BackupEvent) + Sync),
}

impl Run<'_> {
    /// Runs the backup and prunes the drive, not the source. A run that is reported as pinned is durable on both sides.
    pub(crate) fn run(&self) -> Result<(), BackupError> {
        let (folder, task) = (self.folder(), self.task);
        let (included, left_out) = self.nested();
        let is_ours = |uuid| task.is_ours(uuid) || self.is_restored(uuid);
        let from = self.directories.source.as_fd();
        let checked =
            Source::check(from, &task.lineage, is_ours, !included.is_empty() || self.directories.nested.is_err());
        let mut source = checked.map_err(|error| error.of_nothing_but_subvolumes(left_out.count > 0))?;
        self.check_nested(&source)?;
        (self.report)(BackupEvent::Source { uuid: source.uuid });
        self.check_places(&source)?;
        self.sweep_source(&source)?;
        let below = included.iter().map(Source::nested).collect::<Result<Vec<_>, _>>()?;
        let (Listing { snapshots: mut mine, folders }, mut theirs) =
            (self.list_source(&source.lineage)?, self.list_drive()?);
        if task.dry_run {
            // Only the current folder: a backup cannot open the former ones, and this deletes nothing.
            look_up_holds(folder, &mut mine).map_err(BackupError::source("find out which snapshots are held"))?;
        }
        let owner = {
            let pairs = find_shared(&source.lineage, &task.shared, &mine, &theirs).pairs.unwrap_or_default();
            Owner::of(task, &source.lineage, &pairs)
        };
        let superseded = &source.lineage.superseded;
        source.lineage.sources = owner.sources.iter().copied().filter(|uuid| !superseded.contains(uuid)).collect();
        source.lineage.set_folders(folders);
        (self.report)(BackupEvent::Lineage(source.lineage.clone()));
        if let Some(text) = adopt(self.destination(), task, &owner, &mine, &mut theirs) {
            self.observer.warning(&text);
        }
        let (beside, on_drive) = (Side::Source(&owner), Side::Drive(&owner));
        if !task.dry_run {
            self.take_along(&owner, &mut mine, &mut theirs);
        }
        let shared = self.shared(&source, &mine, &theirs);
        let shared_below: Vec<_> = below.iter().map(|one| self.shared(one, &mine, &theirs)).collect();
        if task.dry_run {
            self.explain(&owner, &mine, &theirs);
        }
        self.report_replaced(std::iter::once(&shared).chain(&shared_below).flat_map(|one| &one.replaced).copied());
        let learned = |shared, nested| RecordUpdate {
            shared,
            nested,
            sources: owner.sources.clone(),
            lost: lost(&task.shared, &theirs),
        };
        // What changes from here on is in the next run, whenever this one ends.
        let begun = task.time.now();
        let sent = |here: &Snapshot, there| SharedSnapshot { here: here.state(), there, time: begun };
        let notes = |left_out: &LeftOut| {
            if source.is_continued {
                (self.report)(BackupEvent::Continued);
            }
            (self.report)(BackupEvent::LeftOut(left_out.clone()));
            report_from_future(task, beside, &mine, self.report);
            report_from_future(task, on_drive, &theirs, self.report);
        };
        if let Some(unchanged) = self.unchanged((&source, &shared), below.iter().zip(&shared_below))? {
            let mut pairs = unchanged.iter().map(|pair| sent(pair.source, pair.drive.state()));
            if let Some(top) = pairs.next() {
                (self.report)(BackupEvent::Unchanged { learned: learned(top, pairs.collect()) });
                notes(&left_out);
                return Ok(());
            }
        }
        let taken = |name: &[u8]| {
            let mut names = theirs.iter().filter_map(|snapshot| snapshot.name.as_deref());
            names.any(|other| other == name || run_of_nested(&task.name, other) == Some(name))
        };
        let now = second_of_next(&task.name, begun, theirs.iter().chain(&mine));
        let pending = if source.is_read_only {
            PendingRun::of_source(&source, &task.name, now, taken)?
        } else {
            PendingRun::make(folder, &source, included, &task.name, now, taken, &self.directories.swapfiles)?
        };
        let left_out = left_out_of(included, &pending, left_out);
        let top = &pending.top;
        let pairs = shared.pairs.and_then(|pairs| of_others(pairs, top.snapshot.uuid));
        (self.report)(BackupEvent::Snapshot { name: top.name().to_vec(), uuid: top.snapshot.uuid });
        let (uuid, why) = match &pairs {
            Ok(pairs) => (pairs.first().map(|pair| pair.source.uuid), None),
            Err(why) => (None, Some(self.reason(*why, source.uuid)?)),
        };
        (self.report)(BackupEvent::Parent { uuid, why });
        self.report_nested(&pending, &shared_below);
        notes(&left_out);
        let members = RunMember::of(&source, &pending, &below, included);
        let transfer = RunTransfer { run: self, owner: &owner, mine: &mine, pending: &pending, members: &members };
        if task.dry_run {
            return transfer.estimate();
        }
        let arrived = transfer.run()?;
        pending.keep();
        pending.show()?;
        let mut pairs = members.iter().zip(arrived).map(|(member, there)| sent(&member.pending.snapshot, there));
        // The source's comes last.
        let Some(shared) = pairs.next_back() else { return Ok(()) };
        let (needed, learned) = (shared.uuids(), learned(shared, pairs.collect()));
        (self.report)(BackupEvent::Pinned { learned });
        if let Some(text) = prune(task, Side::Drive(&owner), (self.destination(), None), &[needed], self.report) {
            self.observer.warning(&text);
        }
        Ok(())
    }

    /// Deletes what killed workers left beside the source, also under former names of the backup.
    fn sweep_source(&self, source: &Source<'_>) -> Result<(), BackupError> {
        if source.is_read_only {
            return Ok(());
        }
        let names = self.task.former.iter().map(String::as_bytes);
        std::iter::once(self.task.name.as_slice()).chain(names).try_for_each(|name| sweep(self.folder(), source, name))
    }

    /// Renames the snapshots of a renamed backup, and reports all.
    fn take_along(&self, owner: &Owner, mine: &mut [Snapshot], theirs: &mut [Snapshot]) {
        let (beside, on_drive) = (Side::Source(owner), Side::Drive(owner));
        let failed = [take_along(self.destination(), on_drive, theirs), take_along(self.folder(), beside, mine)];
        failed.iter().flatten().for_each(|text| self.observer.warning(text));
        report_seen(beside, mine, self.report);
        report_seen(on_drive, theirs, self.report);
    }

    /// What a subvolume of the run shares with the drive.
    pub(super) fn shared<'s>(
        &self,
        source: &Source<'_>,
        mine: &'s [Snapshot],
        theirs: &'s [Snapshot],
    ) -> SharedSnapshots<'s> {
        let task = self.task;
        let shared = find_shared(&source.lineage, &task.shared, mine, theirs).without(&task.damaged);
        if task.full { SharedSnapshots { pairs: Err(FullReason::Requested), ..shared } } else { shared }
    }

    /// The shared snapshots of the last run, that of the source first, if no subvolume has changed since then; `None` if one has.
    fn unchanged<'s>(
        &self,
        (source, shared): (&Source<'_>, &SharedSnapshots<'s>),
        below: impl Iterator<Item = (&'s Source<'s>, &'s SharedSnapshots<'s>)>,
    ) -> Result<Option<Vec<SharedPair<'s>>>, BackupError> {
        // A snapshot of another backup can be a parent, but it does not count as a backup of this one, because the other backup
        // may delete it.
        let mut own = shared.pairs.iter().flatten().filter(|pair| pair.drive.name.is_some());
        let top = if source.is_read_only { own.find(|pair| pair.source.uuid == source.uuid) } else { own.next() };
        let Some(&top) = top else { return Ok(None) };
        let is_of_run = |pair: &&SharedPair<'_>| {
            let name = pair.drive.name.as_deref();
            name.is_some() && name.and_then(|name| run_of_nested(&self.task.name, name)) == top.drive.name.as_deref()
        };
        let mut pairs = vec![top];
        for (one, shared) in below {
            let Some(&pair) = shared.pairs.iter().flatten().find(is_of_run) else { return Ok(None) };
            if !one.is_unchanged_since(&pair)? {
                return Ok(None);
            }
            pairs.push(pair);
        }
        Ok(source.is_unchanged_since(&top)?.then_some(pairs))
    }

    /// Reports how many subvolumes below the source are part of the run.
    fn report_nested(&self, pending: &PendingRun<'_>, shared: &[SharedSnapshots<'_>]) {
        let is_full = |nested: &&PendingNested<'_>| shared.get(nested.index).is_none_or(|shared| shared.pairs.is_err());
        let full = pending.nested.iter().filter(is_full).count() as u64;
        let count = pending.nested.len() as u64;
        if count > 0 {
            (self.report)(BackupEvent::Nested { count, full });
        }
    }

    /// The subvolumes below the source that are part of the run, and those that are left out; none if they are not known.
    fn nested(&self) -> (&[NestedSubvolume], LeftOut) {
        let known = self.directories.nested.as_ref().ok();
        known.map(|found| (&found.included[..], found.left_out.clone())).unwrap_or_default()
    }

    /// Checks that the subvolumes below the source are known. A run that should include them fails without: its success would let
    /// the rule delete the runs that have them. Otherwise they are left out in any case.
    fn check_nested(&self, source: &Source<'_>) -> Result<(), BackupError> {
        let Err(fault) = self.directories.nested else { return Ok(()) };
        if self.task.nested && !source.is_read_only {
            return Err(BackupError::source("list and open the subvolumes below the source")(fault));
        }
        let text = "cannot list the subvolumes below the source, which are left out";
        self.observer.warning(&format!("{text}: {fault}"));
        Ok(())
    }

    fn folder(&self) -> BorrowedFd<'_> {
        self.directories.folder.as_fd()
    }

    pub(super) fn destination(&self) -> BorrowedFd<'_> {
        self.directories.destination.as_fd()
    }

    pub(super) fn list_drive(&self) -> Result<Vec<Snapshot>, BackupError> {
        let known: Vec<Identity> = self.task.shared.iter().map(|shared| shared.uuids().there).collect();
        let mut there =
            list(&self.directories.destination, &known).map_err(BackupError::drive("list the snapshots"))?;
        look_up(self.destination(), &mut there);
        look_up_holds(self.destination(), &mut there)
            .map_err(BackupError::drive("find out which snapshots are held"))?;
        Ok(there)
    }

    /// `lineage` is the checked source's.
    fn list_source(&self, lineage: &Lineage) -> Result<Listing, BackupError> {
        let predecessors = lineage.sources.get(1..).unwrap_or_default();
        let known: Vec<Identity> = self.task.shared.iter().map(|shared| shared.uuids().here).collect();
        list_beside_source(self.task, self.folder(), &known, predecessors)
            .map_err(BackupError::source("list the snapshots"))
    }

    /// Whether it was restored from a snapshot of this backup. A drive that cannot be read proves nothing.
    fn is_restored(&self, uuid: Identity) -> bool {
        let shared = self.task.shared.iter().map(SharedSnapshot::uuids);
        let counterparts: Vec<Identity> = shared.filter(|pair| pair.here == uuid).map(|pair| pair.there).collect();
        if counterparts.is_empty() {
            return false;
        }
        let owner = Owner::beside_source(self.task);
        let is_named = |snapshot: &Snapshot| snapshot.origin.as_ref().is_some_and(|origin| owner.is_named_by(origin));
        let mut theirs = self.list_drive().unwrap_or_default().into_iter();
        theirs.any(|snapshot| counterparts.contains(&snapshot.uuid) && is_named(&snapshot))
    }

    fn check_places(&self, source: &Source<'_>) -> Result<(), BackupError> {
        if !source.is_beside(&self.directories.folder)? {
            return Err(BackupError::because(BackupCause::FolderElsewhere));
        }
        let on_drive = filesystem::is_btrfs(&self.directories.destination)
            .map_err(BackupError::drive("look at the filesystem"))?;
        if !on_drive {
            return Err(BackupError::because(BackupCause::DriveNotBtrfs));
        }
        if source.is_beside(&self.directories.destination)? {
            return Err(BackupError::because(BackupCause::SameFilesystem));
        }
        Ok(())
    }

    /// The reason for a full transfer; it may be that the last backup was deleted from the drive.
    fn reason(&self, why: FullReason, source: Identity) -> Result<FullReason, BackupError> {
        let was_shared = self.task.shared.iter().any(|shared| shared.uuids().here == source);
        if was_shared && matches!(why, FullReason::NoSnapshot | FullReason::NoneAlike) {
            return Ok(FullReason::SourceMadeWritable);
        }
        // All are what a source or a drive without the shared snapshot looks like.
        if let (
            Some(unpinned),
            FullReason::NoSnapshot | FullReason::NoneAlike | FullReason::NotRecorded | FullReason::EmptyDrive,
        ) = (self.task.unpin_reason, why)
        {
            return Ok(FullReason::Unpinned(unpinned));
        }
        let Some(uuid) = self.task.last else { return Ok(why) };
        let last = last(&self.directories.destination, uuid).map_err(BackupError::drive("look for the last backup"))?;
        Ok(last.explains(why))
    }

    /// Reports snapshots on the drive that are not the ones that were sent, even if another parent exists.
    fn report_replaced(&self, there: impl Iterator<Item = Identity>) {
        let there: Vec<Identity> = there.collect();
        if there.is_empty() {
            return;
        }
        let text = format!(
            "{} snapshots on the drive have the name or the identity of snapshots that this machine sent, but are not these \
             snapshots; they are neither used nor deleted. Check them, and delete them if they are not needed",
            there.len()
        );
        self.observer.warning(&text);
        (self.report)(BackupEvent::Replaced { there });
    }

    fn explain(&self, owner: &Owner, mine: &[Snapshot], theirs: &[Snapshot]) {
        let now = self.task.time.now();
        PrunePlan::plan(self.task, Side::Source(owner), mine, &[], now).explain(self.report);
        PrunePlan::plan(self.task, Side::Drive(owner), theirs, &[], now).explain(self.report);
    }
}

/// What a run leaves out: also the subvolumes of which no snapshot could be made, and those below them.
fn left_out_of(included: &[NestedSubvolume], pending: &PendingRun<'_>, mut left_out: LeftOut) -> LeftOut {
    let made = |index: usize| pending.nested.iter().any(|nested| nested.index == index);
    for (index, one) in included.iter().enumerate() {
        if !made(index) && !one.is_gone() {
            left_out.add(one.path.0.clone());
        }
    }
    left_out
}

/// The recorded snapshots that are not unchanged on the drive.
fn lost(known: &[SharedSnapshot], theirs: &[Snapshot]) -> Vec<Identity> {
    let is_there = |shared: &SharedSnapshot| theirs.iter().any(|now| is_unchanged(now, &shared.there, &shared.here));
    known.iter().filter(|shared| !is_there(shared)).map(|shared| shared.uuids().there).collect()
}
