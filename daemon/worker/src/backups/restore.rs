//! Restores: sends a snapshot from a drive into a volume, and with it the snapshots of the subvolumes below its source.
//!
//! Those are received into a hidden subvolume of the volume. Then the source's snapshot is received, and gets snapshots of them at
//! their paths before it has its name (`NestedSubvolume` of the receive engine). So the restored tree is whole when it appears. A
//! snapshot has no trace of the subvolumes below its source in its stream: the received one has no directory in their places.

use std::ffi::CString;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use butterdock_btrfs::Error as Fault;
use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::subvolume::{self, SubvolumeInfo};
use butterdock_receive::{
    Candidates, Control, ErrorKind, NestedSubvolume, Observer, Options, Outcome, Publication, SubvolumeState,
    with_workspace,
};

use super::error::BackupError;
use super::lineage::Lineage;
use super::name::MOST_NESTED;
use super::owner::recorded;
use super::shared_record::SharedSnapshot;
use super::shared_snapshots::{FullReason, SharedPair, basis, find_shared, since};
use super::snapshot::{Identity, Snapshot, list};
use super::space_check::{Shortage, SpaceCheck, SpaceErrors};
use super::stream::{SenderSide, Stream, received};
use super::task::BackupEvent;
use super::transfer::RunObserver;

/// A restore. Parents are found as for a backup, with the drive as the sender.
#[derive(Clone, Copy)]
pub(crate) struct Restore<'r> {
    /// The root of the snapshot, on the drive.
    pub snapshot: BorrowedFd<'r>,
    /// The snapshots of the subvolumes below its source, in the same run.
    pub nested: &'r NestedSnapshots,
    /// The directory of the volume.
    pub destination: BorrowedFd<'r>,
    pub options: &'r Options,
    /// The service's record of the snapshots that this machine and the drive share: only these can be parents.
    pub shared: &'r [SharedSnapshot],
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

/// The snapshots of the subvolumes below the source in one run.
#[derive(Debug, Default)]
pub(crate) struct NestedSnapshots {
    pub found: Vec<NestedSnapshot>,
    /// So many more were sent with the source's, by the record of that.
    pub gone: u64,
}

/// The snapshot of a subvolume below the source, on a drive.
#[derive(Debug)]
pub(crate) struct NestedSnapshot {
    /// The path from the root of the source. It comes from the drive.
    pub path: Vec<u8>,
    pub root: Arc<OwnedFd>,
}

impl NestedSnapshots {
    /// Those of the run that `snapshot` belongs to, which is in `folder`, by the records there; up to [`MOST_NESTED`].
    ///
    /// # Errors
    /// The snapshots cannot be listed.
    pub(crate) fn of_run(folder: BorrowedFd<'_>, snapshot: BorrowedFd<'_>) -> Result<Self, Fault> {
        let info = subvolume::info(snapshot)?;
        let origin_of = |state: &SubvolumeState| recorded(folder, state).and_then(|record| record.origin);
        let Some(top) = origin_of(&SubvolumeState::of_info(&info)) else { return Ok(Self::default()) };
        let mut found = Vec::new();
        for mut one in list(folder, &[])?.into_iter().filter(|one| one.name.is_some()) {
            let Some(origin) = origin_of(&one.state()) else { continue };
            let of_backup = (origin.machine, &origin.backup) == (top.machine, &top.backup);
            let nested = origin.nested.filter(|nested| of_backup && nested.run == info.received_uuid);
            let (Some(nested), Some(name)) = (nested, one.name.take().and_then(|name| CString::new(name).ok())) else {
                continue;
            };
            let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            let Ok(root) = file::openat_new(folder, &name, how, Mode::empty()) else { continue };
            let is_it = subvolume::info(&root).is_ok_and(|info| info.id == one.id);
            if is_it && found.len() < MOST_NESTED {
                found.push(NestedSnapshot { path: nested.path, root: Arc::new(root) });
            }
        }
        let gone = u64::from(top.members).saturating_sub(found.len() as u64);
        Ok(Self { found, gone })
    }
}

impl NestedSnapshots {
    /// A restore without all of them is not a success; `restored` is how many it had.
    fn check(&self, restored: u64) -> Result<(), BackupError> {
        if self.gone == 0 {
            return Ok(());
        }
        let sentence = format!(
            "the snapshot is restored, but without {} of the {} subvolumes below its source: the drive no longer has their snapshots of \
             this run, or they were changed there; butterdock snapshots --drive lists the snapshots of other runs, and each can be \
             restored by itself",
            self.gone,
            restored.saturating_add(self.gone)
        );
        Err(BackupError::new(ErrorKind::Failed, sentence))
    }
}

/// A snapshot that is sent, and what the volume shares of it.
struct Sent<'s> {
    info: SubvolumeInfo,
    pairs: Vec<SharedPair<'s>>,
    stream: Stream<'s>,
}

impl Restore<'_> {
    /// Runs the restore.
    pub(crate) fn run(&self) -> Result<(), BackupError> {
        let pairs = || self.shared.iter().map(SharedSnapshot::uuids);
        let (known_there, known_here): (Vec<_>, Vec<_>) = pairs().map(|pair| (pair.there, pair.here)).unzip();
        let on_drive = list(self.snapshot, &known_there).map_err(BackupError::drive("list the snapshots"))?;
        let here = list(self.destination, &known_here).map_err(BackupError::volume("list the snapshots"))?;
        let top = self.sent(self.snapshot, &on_drive, &here)?;
        let nested = self.nested.found.iter().map(|one| self.sent(one.root.as_fd(), &on_drive, &here));
        let nested = nested.collect::<Result<Vec<_>, _>>()?;
        let uuid = top.pairs.first().map(|pair| pair.source.uuid);
        let why = uuid.is_none().then_some(FullReason::NothingThere);
        (self.report)(BackupEvent::Parent { uuid, why });
        // The one of the source comes last, with the others in it.
        let streams: Vec<Stream<'_>> = nested.iter().chain([&top]).map(|sent| sent.stream.clone()).collect();
        let space_check = SpaceCheck {
            streams: &streams,
            destination: self.destination,
            estimate_timeout: self.estimate_timeout,
            control: self.control,
            observer: self.observer,
            report: self.report,
            errors: SpaceErrors { too_small, unknown: |fault| BackupError::volume("look at the space")(fault) },
        };
        let (outcome, rest) = space_check.transfer(&OnceLock::new(), || self.receive(&top, &nested))?;
        let looking = BackupError::volume("look at the new snapshot");
        Stream::report_flags(&streams, self.report);
        let mut missing = 0_u64;
        for (sent, here) in nested.iter().zip(rest) {
            match here {
                Some(here) => self.report_restored(sent, here),
                None => missing = missing.saturating_add(1),
            }
        }
        if !nested.is_empty() {
            (self.report)(BackupEvent::RestoredNested { count: nested.len() as u64, missing });
        }
        self.report_restored(&top, received(self.destination, &outcome).map_err(looking)?);
        self.nested.check(nested.len() as u64)
    }

    /// Receives the run. Returns the states of the nested ones in their places; `None` for one that has no place.
    fn receive(
        &self,
        top: &Sent<'_>,
        nested: &[Sent<'_>],
    ) -> Result<(Outcome, Vec<Option<SubvolumeState>>), BackupError> {
        let transfer = |sent: &Sent<'_>, destination: BorrowedFd<'_>, options: Options| {
            let candidates = Candidates::Listed(sent.pairs.iter().map(|pair| pair.drive.state()).collect());
            let observer = RunObserver { observer: self.observer, shown: None, before: self.control.progress().bytes };
            sent.stream.transfer(destination, &Options { candidates, ..options }, self.control, &observer)
        };
        if nested.is_empty() {
            let outcome = transfer(top, self.destination, self.options.clone())?;
            return Ok((outcome, Vec::new()));
        }
        let receive_all = |workspace: BorrowedFd<'_>| {
            let mut placed = Vec::new();
            for (number, (sent, one)) in nested.iter().zip(&self.nested.found).enumerate() {
                let name = number.to_string();
                let options = Options {
                    name: Some(name.clone().into_bytes()),
                    publication: Publication::Rename,
                    ..self.options.clone()
                };
                transfer(sent, workspace, options)?;
                let opening = BackupError::volume("open a received subvolume");
                let name = CString::new(name).unwrap_or_default();
                let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
                let root = file::openat_new(workspace, &name, how, Mode::empty()).map_err(opening)?;
                placed.push(NestedSubvolume { path: one.path.clone(), root: Arc::new(root) });
            }
            transfer(top, self.destination, Options { nested: placed, ..self.options.clone() })
        };
        let outcome = with_workspace(self.destination, self.options.publication, receive_all).map_err(|error| {
            BackupError::new(error.kind(), format!("cannot make a place for the subvolumes below the source: {error}"))
        })??;
        let states = outcome.subvolumes.last().map(|published| published.nested.clone()).unwrap_or_default();
        Ok((outcome, states))
    }

    /// What is sent of a snapshot.
    fn sent<'s>(
        &'s self,
        snapshot: BorrowedFd<'s>,
        on_drive: &'s [Snapshot],
        here: &'s [Snapshot],
    ) -> Result<Sent<'s>, BackupError> {
        let looking = BackupError::drive("look at the snapshot");
        let info = subvolume::info(snapshot).map_err(&looking)?;
        let uuid = Identity(info.uuid);
        let lineage = Lineage::of(uuid, Identity(info.parent_uuid));
        // The drive is the sender.
        let known: Vec<SharedSnapshot> = self.shared.iter().map(SharedSnapshot::reversed).collect();
        let mut pairs = find_shared(&lineage, &known, on_drive, here).pairs.unwrap_or_default();
        // If the same snapshot was restored before, it is not its own parent.
        pairs.retain(|pair| pair.source.uuid != uuid);
        let (parent, clone_sources) = basis(&pairs);
        let (since, version, side) = (since(&pairs), self.version, SenderSide::Drive);
        let stream = Stream { snapshot, id: info.id, parent, since, clone_sources, version, side };
        Ok(Sent { info, pairs, stream })
    }

    fn report_restored(&self, sent: &Sent<'_>, here: SubvolumeState) {
        // The service sets the time.
        let shared = SharedSnapshot { here, there: SubvolumeState::of_info(&sent.info), time: 0 };
        (self.report)(BackupEvent::Restored { shared });
    }
}

fn too_small(shortage: Shortage) -> BackupError {
    let Shortage { needed, free, metadata } = shortage;
    let space = if metadata { "space for metadata (names, attributes and small files)" } else { "space" };
    let sentence = format!(
        "the volume has too little {space} for the snapshot: about {} MiB are needed and {} MiB are free; free some space on it, \
         or restore to another volume",
        needed.div_ceil(1 << 20),
        free >> 20
    );
    BackupError::new(ErrorKind::NoSpace, sentence)
}
