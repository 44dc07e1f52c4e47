//! Restores: sends a snapshot from a drive into a volume.

use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::time::Duration;

use butterdock_btrfs::subvolume::{self, SubvolumeInfo};
use butterdock_receive::{Candidates, Control, ErrorKind, Observer, Options, SubvolumeState};

use super::error::BackupError;
use super::lineage::Lineage;
use super::shared_record::SharedSnapshot;
use super::shared_snapshots::{FullReason, basis, find_shared, since};
use super::snapshot::{Identity, list};
use super::space_check::{Shortage, SpaceCheck, SpaceErrors};
use super::stream::{SenderSide, Stream, received};
use super::task::BackupEvent;

/// A restore. Its parent is found as for a backup, with the drive as the sender.
#[derive(Clone, Copy)]
pub(crate) struct Restore<'r> {
    /// The root of the snapshot, on the drive.
    pub snapshot: BorrowedFd<'r>,
    /// The directory of the volume.
    pub destination: BorrowedFd<'r>,
    pub options: &'r Options,
    /// The daemon's record of the snapshots that this machine and the drive share: only these can be parents.
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

impl Restore<'_> {
    /// Runs the restore.
    pub(crate) fn run(&self) -> Result<(), BackupError> {
        let looking = BackupError::drive("look at the snapshot");
        let info = subvolume::info(self.snapshot).map_err(&looking)?;
        let SubvolumeInfo { id, uuid, parent_uuid, .. } = info;
        let lineage = Lineage::of(Identity(uuid), Identity(parent_uuid));
        let marks = || self.shared.iter().map(SharedSnapshot::mark);
        let (known_there, known_here): (Vec<_>, Vec<_>) = marks().map(|mark| (mark.there, mark.here)).unzip();
        let on_drive = list(self.snapshot, &known_there).map_err(BackupError::drive("list the snapshots"))?;
        let here = list(self.destination, &known_here).map_err(BackupError::volume("list the snapshots"))?;
        // The drive is the sender.
        let known: Vec<SharedSnapshot> = self.shared.iter().map(SharedSnapshot::reversed).collect();
        let mut pairs = find_shared(&lineage, &known, &on_drive, &here).pairs.unwrap_or_default();
        // If the same snapshot was restored before, it is not its own parent.
        pairs.retain(|pair| pair.source.uuid != Identity(uuid));
        let parent_uuid = pairs.first().map(|pair| pair.source.uuid);
        let why = parent_uuid.is_none().then_some(FullReason::NothingThere);
        (self.report)(BackupEvent::Parent { uuid: parent_uuid, why });
        let (parent, clone_sources) = basis(&pairs);
        let (snapshot, since, version, side) = (self.snapshot, since(&pairs), self.version, SenderSide::Drive);
        let stream = Stream { snapshot, parent, since, clone_sources, version, side };
        let space_check = SpaceCheck {
            stream: &stream,
            id,
            since,
            destination: self.destination,
            estimate_timeout: self.estimate_timeout,
            control: self.control,
            observer: self.observer,
            report: self.report,
            errors: SpaceErrors { too_small, unknown: |fault| BackupError::volume("look at the space")(fault) },
        };
        let candidates = Candidates::Listed(pairs.iter().map(|pair| pair.drive.state()).collect());
        let options = Options { candidates, ..self.options.clone() };
        let transfer = || stream.transfer(self.destination, &options, self.control, self.observer);
        let outcome = space_check.transfer(&OnceLock::new(), transfer)?;
        let here = received(self.destination, &outcome).map_err(BackupError::volume("look at the new snapshot"))?;
        stream.report_flags(id, self.report);
        // The service sets the time.
        let shared = SharedSnapshot { here, there: SubvolumeState::of_info(&info), time: 0 };
        (self.report)(BackupEvent::Restored { shared });
        Ok(())
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
