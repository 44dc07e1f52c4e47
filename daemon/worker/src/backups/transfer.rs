//! The transfer of a run: one stream for each of its snapshots, that of the source last. If the drive is full, it is pruned once
//! before the rest is tried again.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use butterdock_btrfs::space::space;
use butterdock_btrfs::{best_effort, subvolume};
use butterdock_receive::{
    Candidates, ErrorKind, Kind, Observer, Options, Origin, Outcome, Phase, Published, SpaceCause, SubvolumeState,
    Unapplied,
};

use super::error::{BackupCause, BackupError, Explained, Pruning};
use super::freed_space_wait::DeletedSubvolumes;
use super::nested::{NestedPath, NestedSubvolume};
use super::owner::{Owner, Side};
use super::pending_snapshot::{PendingRun, PendingSnapshot};
use super::prune_plan::PrunePlan;
use super::run::Run;
use super::shared_record::PairUuids;
use super::shared_snapshots::{SharedPair, basis, of_others, since};
use super::snapshot::Snapshot;
use super::source::Source;
use super::space_check::{Need, Shortage, SpaceCheck, SpaceErrors, estimated_event, fits, fits_when_empty};
use super::stream::{Estimate, SenderSide, Stream, received};

/// A subvolume of a run, and its new snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunMember<'m> {
    pub source: &'m Source<'m>,
    pub pending: &'m PendingSnapshot<'m>,
    /// Its path, if it is not the source.
    pub path: Option<&'m NestedPath>,
}

impl<'m> RunMember<'m> {
    /// Those of a run, in the order of their transfer: the source comes last. `below` are the subvolumes below it.
    pub(super) fn of(
        source: &'m Source<'m>,
        pending: &'m PendingRun<'m>,
        below: &'m [Source<'m>],
        included: &'m [NestedSubvolume],
    ) -> Vec<Self> {
        let nested = pending.nested.iter().filter_map(|nested| {
            let (source, path) = (below.get(nested.index)?, &included.get(nested.index)?.path);
            Some(Self { source, pending: &nested.pending, path: Some(path) })
        });
        nested.chain([Self { source, pending: &pending.top, path: None }]).collect()
    }
}

/// The transfer of a run.
#[derive(Clone, Copy)]
pub(super) struct RunTransfer<'t> {
    pub run: &'t Run<'t>,
    pub owner: &'t Owner,
    /// The older snapshots beside the source.
    pub mine: &'t [Snapshot],
    pub pending: &'t PendingRun<'t>,
    /// The subvolumes of the run, the source last.
    pub members: &'t [RunMember<'t>],
}

/// The snapshots of the run that the drive has. If they are dropped before the run is complete, they are deleted.
struct Arrived<'t> {
    destination: BorrowedFd<'t>,
    /// The id and the state of each, in the order of the members.
    all: Vec<(u64, SubvolumeState)>,
    is_complete: bool,
}

impl Drop for Arrived<'_> {
    /// If this fails, the next backup deletes them.
    fn drop(&mut self) {
        if !self.is_complete {
            self.all.iter().for_each(|(id, _)| best_effort(subvolume::destroy_by_id(self.destination, *id)));
        }
    }
}

impl RunTransfer<'_> {
    /// Sends the new snapshots, and returns their states on the drive when all are durable there. If the drive is full, prunes it
    /// once and tries the rest again.
    pub(super) fn run(&self) -> Result<Vec<SubvolumeState>, BackupError> {
        let (run, destination) = (self.run, self.run.destination());
        let mut arrived = Arrived { destination, all: Vec::new(), is_complete: false };
        let (first, second) = (OnceLock::new(), OnceLock::new());
        match self.attempt(&mut arrived, &first) {
            Err(error) if error.ends_by_pruning() && !run.control.is_cancelled() => {
                if self.is_too_large(&first) {
                    return Err(self.with_figures(error, &first, Pruning::Useless, &[]));
                }
                // What has arrived needs no space any more.
                let estimated = if arrived.all.is_empty() { &first } else { &second };
                let pruned = self.prune_drive()?;
                let again = if pruned { self.attempt(&mut arrived, estimated) } else { Err(error) };
                again.map_err(|error| self.with_figures(error, estimated, self.pruning(), &self.held_on_drive()))?;
            }
            result => result?,
        }
        Ok(arrived.all.iter().map(|(_, state)| *state).collect())
    }

    /// Reports how much would be sent, and checks the space.
    pub(super) fn estimate(&self) -> Result<(), BackupError> {
        let theirs = self.run.list_drive()?;
        let streams: Vec<Stream<'_>> =
            self.members.iter().map(|member| self.stream(member, &self.pairs(member, &theirs))).collect();
        if let Some(estimate) = Estimate::make(&streams, &AtomicBool::new(false))? {
            (self.run.report)(estimated_event(&estimate));
            let space_check = self.space_check(&streams);
            let errors = SpaceErrors { too_small: too_small_before_pruning, ..space_check.errors };
            SpaceCheck { errors, ..space_check }.wait_for_space(|| Some(Need::of(&estimate)))?;
        }
        Ok(())
    }

    /// Sends what has not arrived yet.
    fn attempt(&self, arrived: &mut Arrived<'_>, estimated: &OnceLock<Estimate>) -> Result<(), BackupError> {
        // Listed again: a pruned snapshot can be neither a parent nor a clone source.
        let theirs = self.run.list_drive()?;
        let rest = self.members.get(arrived.all.len()..).unwrap_or_default();
        let pairs: Vec<Vec<SharedPair<'_>>> = rest.iter().map(|member| self.pairs(member, &theirs)).collect();
        let streams: Vec<Stream<'_>> =
            rest.iter().zip(&pairs).map(|(member, pairs)| self.stream(member, pairs)).collect();
        self.space_check(&streams).transfer(estimated, || {
            for ((member, stream), pairs) in rest.iter().zip(&streams).zip(&pairs) {
                let outcome = self.send(member, stream, pairs).inspect_err(|error| {
                    // The drive may have the source's snapshot, and so the whole run.
                    arrived.is_complete |= member.path.is_none() && error.is_unconfirmed();
                })?;
                arrived.is_complete |= member.path.is_none();
                let looking = BackupError::drive("look at the new snapshot");
                let state = received(arrived.destination, &outcome).map_err(looking)?;
                arrived.all.push((outcome.subvolumes.last().map_or(0, |Published { id, .. }| *id), state));
            }
            Stream::report_flags(&streams, self.run.report);
            Ok(())
        })
    }

    /// The shared snapshots that a snapshot of the run can be sent as an increment to; none for a full transfer.
    fn pairs<'s>(&'s self, member: &RunMember<'_>, theirs: &'s [Snapshot]) -> Vec<SharedPair<'s>> {
        let shared = self.run.shared(member.source, self.mine, theirs);
        shared.pairs.and_then(|pairs| of_others(pairs, member.pending.snapshot.uuid)).unwrap_or_default()
    }

    fn stream<'s>(&self, member: &RunMember<'s>, pairs: &[SharedPair<'_>]) -> Stream<'s> {
        let (parent, clone_sources) = basis(pairs);
        let (snapshot, id) = (member.pending.root(), member.pending.snapshot.id);
        let (since, version, side) = (since(pairs), self.run.version, SenderSide::Source);
        Stream { snapshot, id, parent, since, clone_sources, version, side }
    }

    fn send(
        &self,
        member: &RunMember<'_>,
        stream: &Stream<'_>,
        pairs: &[SharedPair<'_>],
    ) -> Result<Outcome, BackupError> {
        let Run { directories, task, control, .. } = *self.run;
        let origin = match member.path {
            Some(path) => self.owner.nested_origin(self.pending.top.snapshot.uuid, path),
            None => {
                let members = u32::try_from(self.pending.nested.len()).unwrap_or_default();
                self.owner.origin(member.pending.snapshot.uuid).map(|origin| Origin { members, ..origin })
            }
        };
        let options = Options {
            origin,
            candidates: Candidates::Listed(pairs.iter().map(|pair| pair.drive.state()).collect()),
            writer_threads: task.writer_threads.and_then(NonZeroUsize::new),
            publication: directories.publication,
            name: Some(member.pending.name().to_vec()),
            top: directories.top.clone(),
            ..Options::default()
        };
        let (observer, before) = (self.run.observer, control.progress().bytes);
        // The run is complete when the drive has the source's snapshot.
        let shown = member.path.is_none().then_some(self.pending);
        stream.transfer(self.run.destination(), &options, control, &RunObserver { observer, shown, before })
    }

    fn space_check<'p>(&'p self, streams: &'p [Stream<'p>]) -> SpaceCheck<'p> {
        SpaceCheck {
            streams,
            destination: self.run.destination(),
            estimate_timeout: self.run.estimate_timeout,
            control: self.run.control,
            observer: self.run.observer,
            report: self.run.report,
            errors: SpaceErrors {
                too_small: self.too_small(),
                unknown: |fault| BackupError::drive("look at the space")(fault),
            },
        }
    }

    /// Whether the transfer would not fit on the empty drive, so that pruning does not help.
    fn is_too_large(&self, estimated: &OnceLock<Estimate>) -> bool {
        let need = estimated.get().map(Need::of);
        need.zip(space(self.run.destination()).ok()).is_some_and(|(need, space)| !fits_when_empty(&space, need))
    }

    /// The error for too little space.
    fn too_small(&self) -> fn(Shortage) -> BackupError {
        if self.run.task.time.stopped { too_small_without_pruning } else { too_small }
    }

    /// Whether the rule deletes old snapshots.
    fn pruning(&self) -> Pruning {
        if self.run.task.time.stopped { Pruning::Stopped } else { Pruning::Done }
    }

    /// Prunes the drive before the backup instead of after it. Returns whether anything was deleted.
    fn prune_drive(&self) -> Result<bool, BackupError> {
        let Run { task, report, control, .. } = *self.run;
        let theirs = self.run.list_drive()?;
        let mark = |pair: &SharedPair<'_>| PairUuids { here: pair.source.uuid, there: pair.drive.uuid };
        // A pin of the source's snapshot keeps the whole run.
        let top = self.members.last().map(|member| self.pairs(member, &theirs)).unwrap_or_default();
        let needed: Vec<_> = top.first().map(mark).into_iter().collect();
        let plan = PrunePlan::plan(task, Side::Drive(self.owner), &theirs, &needed, task.time.now());
        let (deleted, _) = plan.during(self.pending.top.name()).perform(self.run.destination(), None, report);
        let any = !deleted.is_empty();
        let waiting = BackupError::drive("wait for the space of deleted snapshots");
        DeletedSubvolumes::these(self.run.destination(), deleted).wait(control).map_err(waiting)?;
        Ok(any)
    }

    /// The names of this backup's snapshots on the drive that a person holds.
    fn held_on_drive(&self) -> Vec<Vec<u8>> {
        // Without a list the error has no names; the reason of the error is another one.
        let theirs = self.run.list_drive().unwrap_or_default().into_iter();
        theirs.filter(|one| one.held.is_some() && self.owner.owns(one)).filter_map(|one| one.name).collect()
    }

    /// Adds the needed and the free space to the error of a transfer that filled the drive, and which snapshots there are `held`.
    fn with_figures(
        &self,
        error: BackupError,
        estimated: &OnceLock<Estimate>,
        pruning: Pruning,
        held: &[Vec<u8>],
    ) -> BackupError {
        match (error, space(self.run.destination())) {
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
                let cause = no_room_cause(Shortage { needed, ..shortage }, pruning, held.len());
                BackupError::Other(Explained {
                    kind: ErrorKind::NoSpace,
                    sentence: format!("{cause}{} ({failure})", named(held)),
                    cause: Some(cause),
                })
            }
            (
                BackupError::Other(Explained {
                    cause: Some(BackupCause::NoRoom { needed, free, metadata, pruning: _, held: _ }),
                    ..
                }),
                _,
            ) => {
                let cause = no_room_cause(Shortage { needed, free, metadata }, pruning, held.len());
                BackupError::Other(Explained {
                    kind: ErrorKind::NoSpace,
                    sentence: format!("{cause}{}", named(held)),
                    cause: Some(cause),
                })
            }
            (error, _) => error,
        }
    }
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
    BackupError::because(no_room_cause(shortage, pruning, 0))
}

fn no_room_cause(Shortage { needed, free, metadata }: Shortage, pruning: Pruning, held: usize) -> BackupCause {
    BackupCause::NoRoom { needed, free, metadata, pruning, held: u32::try_from(held).unwrap_or(u32::MAX) }
}

/// The names of held snapshots, for those who may know names.
fn named(held: &[Vec<u8>]) -> String {
    /// The largest number of names.
    const MOST: usize = 20;
    if held.is_empty() {
        return String::new();
    }
    let names: Vec<String> = held.iter().take(MOST).map(|name| name.escape_ascii().to_string()).collect();
    let more = held.len().saturating_sub(MOST);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(": {}{more}", names.join(", "))
}

/// Passes on the receiver's reports about one snapshot of a run, and shows the pending snapshots when the drive has all of them
/// completely.
pub(super) struct RunObserver<'a> {
    pub observer: &'a dyn Observer,
    /// The pending snapshots, if this is the last one of a backup.
    pub shown: Option<&'a PendingRun<'a>>,
    /// Bytes of the streams before it.
    pub before: u64,
}

impl Observer for RunObserver<'_> {
    fn began(&self, name: &[u8], kind: Kind) {
        self.observer.began(name, kind);
    }

    fn phase(&self, phase: Phase) {
        self.observer.phase(phase);
        if phase == Phase::Publishing
            && let Some(pending) = self.shown
        {
            // Before the drive shows the run: a worker that is killed in between leaves an unneeded one, and no missing one. An
            // error is ignored, because it is tried again at the end.
            best_effort(pending.show());
        }
    }

    fn published(&self, subvolume: &Published) {
        self.observer.published(&Published { end: self.before.saturating_add(subvolume.end), ..subvolume.clone() });
    }

    fn unapplied(&self, unapplied: &Unapplied) {
        self.observer.unapplied(unapplied);
    }

    fn warning(&self, text: &str) {
        self.observer.warning(text);
    }
}
