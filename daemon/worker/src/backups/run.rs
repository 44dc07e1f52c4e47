//! A backup, from the check of its source to pruning on the drive. If the drive is full, it is pruned once before the
//! transfer is tried again. A dry run only estimates the transfer.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use butterdock_btrfs::space::space;
use butterdock_btrfs::{best_effort, filesystem};
use butterdock_receive::{
    Candidates, Control, ErrorKind, Kind, Observer, Options, Outcome, Phase, Publication, Published, SpaceCause,
    SubvolumeState, Unapplied,
};

use super::error::{BackupCause, BackupError, Explained, Pruning};
use super::lineage::Lineage;
use super::nested::LeftOut;
use super::owner::{Owner, Side, adopt, look_up};
use super::pending_snapshot::{PendingSnapshot, second_of_next, sweep};
use super::prune::{DeletedSubvolumes, PrunePlan, list_beside_source, prune, report_from_future, report_seen};
use super::shared_record::{PairUuids, RecordUpdate, SharedSnapshot};
use super::shared_snapshots::{
    FullReason, SharedPair, SharedSnapshots, basis, find_shared, is_unchanged, last, of_others, since,
};
use super::snapshot::{Identity, Listing, Snapshot, list};
use super::source::Source;
use super::space_check::{Need, Shortage, SpaceCheck, SpaceErrors, estimated_event, fits, fits_when_empty};
use super::stream::{Estimate, SenderSide, Stream, received};
use super::task::{BackupEvent, Task};

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
    /// Runs the backup and prunes the drive, not the source. A snapshot that is reported as pinned is durable on both sides.
    pub(crate) fn run(&self) -> Result<(), BackupError> {
        let (folder, task) = (self.folder(), self.task);
        let left_out = self.left_out();
        let is_ours = |uuid| task.is_ours(uuid) || self.is_restored(uuid);
        let checked = Source::check(self.directories.source.as_fd(), &task.lineage, is_ours);
        let mut source = checked.map_err(|error| error.of_nothing_but_subvolumes(left_out.count > 0))?;
        (self.report)(BackupEvent::Source { uuid: source.uuid });
        self.check_places(&source)?;
        if !source.is_read_only {
            sweep(folder, &source, &task.name)?;
        }
        let (Listing { snapshots: mine, folders }, mut theirs) =
            (self.list_source(&source.lineage)?, self.list_drive()?);
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
            report_seen(beside, &mine, self.report);
            report_seen(on_drive, &theirs, self.report);
        }
        let shared = find_shared(&source.lineage, &task.shared, &mine, &theirs);
        let SharedSnapshots { pairs, replaced } = shared.without(&task.damaged);
        let pairs = if task.full { Err(FullReason::Requested) } else { pairs };
        if task.dry_run {
            self.explain(&owner, &mine, &theirs);
        }
        self.report_replaced(replaced);
        let learned = |here: &Snapshot, there| RecordUpdate {
            shared: SharedSnapshot { here: here.state(), there, time: task.time.now() },
            sources: owner.sources.clone(),
            lost: lost(&task.shared, &theirs),
        };
        let notes = || {
            if source.is_continued {
                (self.report)(BackupEvent::Continued);
            }
            (self.report)(BackupEvent::LeftOut(left_out.clone()));
            report_from_future(task, beside, &mine, self.report);
            report_from_future(task, on_drive, &theirs, self.report);
        };
        // A snapshot of another backup can be a parent, but it does not count as a backup of this one, because the other backup
        // may delete it.
        let mut own = pairs.iter().flatten().filter(|pair| pair.drive.name.is_some());
        let own = if source.is_read_only { own.find(|pair| pair.source.uuid == source.uuid) } else { own.next() };
        if let Some(pair) = own
            && source.is_unchanged_since(pair)?
        {
            (self.report)(BackupEvent::Unchanged { learned: learned(pair.source, pair.drive.state()) });
            notes();
            return Ok(());
        }
        let taken = |name: &[u8]| theirs.iter().any(|snapshot| snapshot.name.as_deref() == Some(name));
        let now = second_of_next(&task.name, task.time.now(), theirs.iter().chain(&mine));
        let pending = if source.is_read_only {
            PendingSnapshot::of_source(&source, &task.name, now, taken)?
        } else {
            PendingSnapshot::make(folder, &source, &task.name, now, taken, &self.directories.swapfiles)?
        };
        let pairs = pairs.and_then(|pairs| of_others(pairs, pending.snapshot.uuid));
        (self.report)(BackupEvent::Snapshot { name: pending.name().to_vec(), uuid: pending.snapshot.uuid });
        let (uuid, why) = match &pairs {
            Ok(pairs) => (pairs.first().map(|pair| pair.source.uuid), None),
            Err(why) => (None, Some(self.reason(*why, source.uuid)?)),
        };
        (self.report)(BackupEvent::Parent { uuid, why });
        notes();
        if task.dry_run {
            return self.estimate_only(&pending, pairs.as_deref().unwrap_or_default());
        }
        let outcome = self.transfer(&source, &owner, &mine, &pending)?;
        pending.keep();
        pending.show()?;
        self.stream(&pending, pairs.as_deref().unwrap_or_default()).report_flags(pending.snapshot.id, self.report);
        let learned = learned(&pending.snapshot, self.counterpart(&outcome)?);
        let needed = learned.shared.mark();
        (self.report)(BackupEvent::Pinned { learned });
        if let Some(text) = prune(task, Side::Drive(&owner), self.destination(), &[needed], self.report) {
            self.observer.warning(&text);
        }
        Ok(())
    }

    /// The subvolumes below the source. That they cannot be listed does not prevent a backup of the source.
    fn left_out(&self) -> LeftOut {
        LeftOut::find(self.directories.source.as_fd(), Some(self.folder())).unwrap_or_else(|fault| {
            self.observer.warning(&format!("cannot list the subvolumes below the source, which are left out: {fault}"));
            LeftOut::default()
        })
    }

    fn folder(&self) -> BorrowedFd<'_> {
        self.directories.folder.as_fd()
    }

    fn destination(&self) -> BorrowedFd<'_> {
        self.directories.destination.as_fd()
    }

    fn list_drive(&self) -> Result<Vec<Snapshot>, BackupError> {
        let known: Vec<Identity> = self.task.shared.iter().map(|shared| shared.mark().there).collect();
        let mut there =
            list(&self.directories.destination, &known).map_err(BackupError::drive("list the snapshots"))?;
        look_up(self.destination(), &mut there);
        Ok(there)
    }

    /// `lineage` is the checked source's.
    fn list_source(&self, lineage: &Lineage) -> Result<Listing, BackupError> {
        let predecessors = lineage.sources.get(1..).unwrap_or_default();
        let known: Vec<Identity> = self.task.shared.iter().map(|shared| shared.mark().here).collect();
        list_beside_source(self.task, self.folder(), &known, predecessors)
            .map_err(BackupError::source("list the snapshots"))
    }

    /// Whether it was restored from a snapshot of this backup. A drive that cannot be read proves nothing.
    fn is_restored(&self, uuid: Identity) -> bool {
        let shared = self.task.shared.iter().map(SharedSnapshot::mark);
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
        let was_shared = self.task.shared.iter().any(|shared| shared.mark().here == source);
        if was_shared && matches!(why, FullReason::NoSnapshot | FullReason::NoneAlike) {
            return Ok(FullReason::SourceMadeWritable);
        }
        // Both are what a source without the shared snapshot looks like.
        if let (Some(given_up), FullReason::NoSnapshot | FullReason::NoneAlike) = (self.task.given_up_because, why) {
            return Ok(FullReason::GivenUp(given_up));
        }
        let Some(uuid) = self.task.last else { return Ok(why) };
        let last = last(&self.directories.destination, uuid).map_err(BackupError::drive("look for the last backup"))?;
        Ok(last.explains(why))
    }

    /// The state of the received snapshot.
    fn counterpart(&self, outcome: &Outcome) -> Result<SubvolumeState, BackupError> {
        received(&self.directories.destination, outcome).map_err(BackupError::drive("look at the new snapshot"))
    }

    /// Reports snapshots on the drive that are not the ones that were sent, even if another parent exists.
    fn report_replaced(&self, there: Vec<Identity>) {
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

    /// Sends the new snapshot, and returns when it is durable on the drive. If the drive is full, prunes it once and tries again.
    /// `mine` are the older snapshots.
    fn transfer(
        &self,
        source: &Source<'_>,
        owner: &Owner,
        mine: &[Snapshot],
        pending: &PendingSnapshot<'_>,
    ) -> Result<Outcome, BackupError> {
        let estimated = OnceLock::new();
        let attempt = || {
            // Listed again: a pruned snapshot can be neither a parent nor a clone source.
            let theirs = self.list_drive()?;
            let shared = if self.task.full { &[][..] } else { &self.task.shared };
            let shared = find_shared(&source.lineage, shared, mine, &theirs).without(&self.task.damaged);
            let pairs = shared.pairs.and_then(|pairs| of_others(pairs, pending.snapshot.uuid)).unwrap_or_default();
            self.attempt(owner, pending, &pairs, &estimated)
        };
        match attempt() {
            Err(error) if error.ends_by_pruning() && !self.control.is_cancelled() => {
                if self.is_too_large(&estimated) {
                    return Err(self.with_figures(error, &estimated, Pruning::Useless));
                }
                let pruned = self.prune_drive(source, owner, mine)?;
                let again = if pruned { attempt() } else { Err(error) };
                again.map_err(|error| self.with_figures(error, &estimated, self.pruning()))
            }
            result => result,
        }
    }

    /// Whether the transfer would not fit on the empty drive, so that pruning does not help.
    fn is_too_large(&self, estimated: &OnceLock<Estimate>) -> bool {
        let need = estimated.get().map(Need::of);
        need.zip(space(self.destination()).ok()).is_some_and(|(need, space)| !fits_when_empty(&space, need))
    }

    /// Reports how much would be sent, and checks the space.
    fn estimate_only(&self, pending: &PendingSnapshot<'_>, pairs: &[SharedPair<'_>]) -> Result<(), BackupError> {
        let stream = self.stream(pending, pairs);
        let stopped = AtomicBool::new(false);
        if let Some(estimate) = Estimate::make(&stream, pending.snapshot.id, since(pairs), &stopped)? {
            (self.report)(estimated_event(&estimate));
            let space_check = self.space_check(&stream, pending, pairs);
            let errors = SpaceErrors { too_small: too_small_before_pruning, ..space_check.errors };
            SpaceCheck { errors, ..space_check }.wait_for_space(|| Some(Need::of(&estimate)))?;
        }
        Ok(())
    }

    fn attempt(
        &self,
        owner: &Owner,
        pending: &PendingSnapshot<'_>,
        pairs: &[SharedPair<'_>],
        estimated: &OnceLock<Estimate>,
    ) -> Result<Outcome, BackupError> {
        let stream = self.stream(pending, pairs);
        let listed = pairs.iter().map(|pair| pair.drive.state()).collect();
        let (origin, candidates) = (owner.origin(pending.snapshot.uuid), Candidates::Listed(listed));
        let options = Options { origin, candidates, ..Options::default() };
        self.space_check(&stream, pending, pairs).transfer(estimated, || self.send(&stream, options, pending))
    }

    fn space_check<'p>(
        &'p self,
        stream: &'p Stream<'p>,
        pending: &PendingSnapshot<'_>,
        pairs: &[SharedPair<'_>],
    ) -> SpaceCheck<'p> {
        SpaceCheck {
            stream,
            id: pending.snapshot.id,
            since: since(pairs),
            destination: self.destination(),
            estimate_timeout: self.estimate_timeout,
            control: self.control,
            observer: self.observer,
            report: self.report,
            errors: SpaceErrors {
                too_small: self.too_small(),
                unknown: |fault| BackupError::drive("look at the space")(fault),
            },
        }
    }

    fn send(
        &self,
        stream: &Stream<'_>,
        options: Options,
        pending: &PendingSnapshot<'_>,
    ) -> Result<Outcome, BackupError> {
        let writer_threads = self.task.writer_threads.and_then(NonZeroUsize::new);
        let (name, top) = (Some(pending.name().to_vec()), self.directories.top.clone());
        let publication = self.directories.publication;
        let options = Options { writer_threads, publication, name, top, ..options };
        stream.transfer(self.destination(), &options, self.control, &ShowPending { observer: self.observer, pending })
    }

    fn stream<'s>(&self, pending: &'s PendingSnapshot<'_>, pairs: &[SharedPair<'_>]) -> Stream<'s> {
        let (parent, clone_sources) = basis(pairs);
        let (snapshot, since, version) = (pending.root(), since(pairs), self.version);
        Stream { snapshot, parent, since, clone_sources, version, side: SenderSide::Source }
    }

    /// The error for too little space.
    fn too_small(&self) -> fn(Shortage) -> BackupError {
        if self.task.time.stopped { too_small_without_pruning } else { too_small }
    }

    /// Whether the rule deletes old snapshots.
    fn pruning(&self) -> Pruning {
        if self.task.time.stopped { Pruning::Stopped } else { Pruning::Done }
    }

    /// Prunes the drive before the backup instead of after it. Returns whether anything was deleted.
    fn prune_drive(&self, source: &Source<'_>, owner: &Owner, mine: &[Snapshot]) -> Result<bool, BackupError> {
        let theirs = self.list_drive()?;
        let shared = find_shared(&source.lineage, &self.task.shared, mine, &theirs).without(&self.task.damaged);
        let pairs = shared.pairs.unwrap_or_default();
        let mark = |pair: &SharedPair<'_>| PairUuids { here: pair.source.uuid, there: pair.drive.uuid };
        let needed: Vec<_> = pairs.first().map(mark).into_iter().collect();
        let pruning = PrunePlan::plan(self.task, Side::Drive(owner), &theirs, &needed, self.task.time.now());
        let (deleted, _) = pruning.perform(self.destination(), self.report);
        let any = !deleted.is_empty();
        let waiting = BackupError::drive("wait for the space of deleted snapshots");
        DeletedSubvolumes::these(self.destination(), deleted).wait(self.control).map_err(waiting)?;
        Ok(any)
    }

    /// Adds the needed and the free space to the error of a transfer that filled the drive.
    fn with_figures(&self, error: BackupError, estimated: &OnceLock<Estimate>, pruning: Pruning) -> BackupError {
        match (error, space(self.destination())) {
            (BackupError::Receive(failure), Ok(space)) if failure.error.kind() == ErrorKind::NoSpace => {
                // The estimate may fit, although the transfer did not: so the free space is that for a need that never fits.
                const ENDLESS: u64 = u64::MAX >> 8;
                let need = estimated.get().map(Need::of).unwrap_or_default();
                let (needed, endless) = match failure.error.space_cause() {
                    Some(SpaceCause::Data) | None => {
                        (need.data.saturating_add(need.metadata), Need { data: ENDLESS, metadata: 0 })
                    }
                    Some(SpaceCause::Metadata) => (need.metadata, Need { data: 0, metadata: ENDLESS }),
                    Some(SpaceCause::Attribute { .. } | SpaceCause::Quota | SpaceCause::Device) => {
                        return BackupError::Receive(failure);
                    }
                };
                let shortage = fits(&space, endless).err();
                let shortage = shortage.unwrap_or(Shortage { needed, free: 0, metadata: false });
                let cause = no_room_cause(Shortage { needed, ..shortage }, pruning);
                BackupError::Other(Explained {
                    kind: ErrorKind::NoSpace,
                    sentence: format!("{cause} ({failure})"),
                    cause: Some(cause),
                })
            }
            (
                BackupError::Other(Explained {
                    cause: Some(BackupCause::NoRoom { needed, free, metadata, pruning: _ }),
                    ..
                }),
                _,
            ) => no_room(Shortage { needed, free, metadata }, pruning),
            (error, _) => error,
        }
    }
}

/// The recorded snapshots that are not unchanged on the drive.
fn lost(known: &[SharedSnapshot], theirs: &[Snapshot]) -> Vec<Identity> {
    let is_there = |shared: &SharedSnapshot| theirs.iter().any(|now| is_unchanged(now, &shared.there, &shared.here));
    known.iter().filter(|shared| !is_there(shared)).map(|shared| shared.mark().there).collect()
}

/// The error of a dry run.
fn too_small_before_pruning(shortage: Shortage) -> BackupError {
    no_room(shortage, Pruning::NotYet)
}

fn too_small(shortage: Shortage) -> BackupError {
    no_room(shortage, Pruning::Done)
}

/// The error while the clock is not trusted.
fn too_small_without_pruning(shortage: Shortage) -> BackupError {
    no_room(shortage, Pruning::Stopped)
}

fn no_room(shortage: Shortage, pruning: Pruning) -> BackupError {
    BackupError::because(no_room_cause(shortage, pruning))
}

fn no_room_cause(Shortage { needed, free, metadata }: Shortage, pruning: Pruning) -> BackupCause {
    BackupCause::NoRoom { needed, free, metadata, pruning }
}

/// Passes on the receiver's reports, and shows the pending snapshot when the drive has it completely.
struct ShowPending<'a> {
    observer: &'a dyn Observer,
    pending: &'a PendingSnapshot<'a>,
}

impl Observer for ShowPending<'_> {
    fn began(&self, name: &[u8], kind: Kind) {
        self.observer.began(name, kind);
    }

    fn phase(&self, phase: Phase) {
        self.observer.phase(phase);
        if phase == Phase::Publishing {
            // Before the drive shows its snapshot: a worker that is killed in between leaves an unneeded snapshot, and no
            // missing one. An error is ignored, because it is tried again at the end.
            best_effort(self.pending.show());
        }
    }

    fn published(&self, subvolume: &Published) {
        self.observer.published(subvolume);
    }

    fn unapplied(&self, unapplied: &Unapplied) {
        self.observer.unapplied(unapplied);
    }

    fn warning(&self, text: &str) {
        self.observer.warning(text);
    }
}
