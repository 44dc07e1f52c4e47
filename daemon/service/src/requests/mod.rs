//! Requests of callers that become jobs.

mod backups;

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::backups::Identity;
use crate::blocking::detached;
use crate::drives::DriveId;
use crate::jobs::{
    AboutDrive, IntoVolumeJob, Job, JobHandle, ReceiveJob, RemoveJob, RestoredSnapshot, StreamFiles, VerifyJob,
};
use crate::service::Service;
use crate::snapshots::SnapshotPlace;
use crate::stream_input;
use crate::types::{DestinationId, DestinationKind, DriveState, Error, ErrorCode, JobKind, Trigger};
use crate::untrusted_fd::QuarantinedFd;
use crate::volumes::{DirIdentity, Volume};

/// A caller of [`Service::unpin`] waits this long for the snapshots to be deleted.
const UNPINNING: Duration = Duration::from_secs(20);

/// Timeout for checking again whether a volume is mounted.
const LOOK: Duration = Duration::from_secs(2);

/// A stream to be received.
#[derive(Debug)]
pub struct ReceiveRequest {
    /// Where to.
    pub volume: Arc<Volume>,
    /// The user.
    pub uid: u32,
    /// The stream, as the caller passed it.
    pub input: QuarantinedFd,
    /// How many bytes are to come, as the caller says.
    pub total: Option<u64>,
    /// The subvolume's name instead of the sender's.
    pub name: Option<Vec<u8>>,
    /// Decode every compressed extent and refuse one that does not decode.
    pub verify: bool,
    /// Write compressed extents decompressed.
    pub force_decompress: bool,
    /// Refuse a parent whose number differs from the one in the stream.
    pub strict_parent: bool,
}

/// Stream files on a drive to be received.
#[derive(Debug)]
pub struct ImportRequest {
    /// Where they are.
    pub drive: DriveId,
    /// Where to.
    pub volume: Arc<Volume>,
    /// This file alone.
    pub name: Option<Vec<u8>>,
    /// Decode every compressed extent and refuse one that does not decode.
    pub verify: bool,
    /// The user.
    pub uid: u32,
}

impl Service {
    /// Receives a stream into a volume.
    ///
    /// # Errors
    /// `InvalidArgs`: no stream can be read from the descriptor; `DeviceGone`: the volume is not mounted; `Busy`: the queue
    /// is full, a worker hangs on the volume, or descriptors that this user passed before do not answer.
    pub async fn receive(&self, request: ReceiveRequest) -> Result<JobHandle, Error> {
        let ReceiveRequest { volume, uid, input, total, name, verify, force_decompress, strict_parent } = request;
        let (input, total) = stream_input::check(input, uid, total).await?;
        let place = place(&volume).await?;
        // A user other than root may hand in a stream that only looks like one.
        let verify = verify || uid != 0;
        let request = ReceiveJob { volume, place, uid, input, total, name, verify, force_decompress, strict_parent };
        self.0.jobs.start(request).await
    }

    /// Makes a drive safe to unplug.
    ///
    /// # Errors
    /// `Busy`: a job uses the drive; `NotFound`.
    pub async fn safely_remove(&self, drive: DriveId, uid: u32) -> Result<JobHandle, Error> {
        self.remove(drive, false, uid).await
    }

    /// The same, after the job that runs on the drive; no other begins on it meanwhile. Jobs that are queued for the drive end when
    /// it is safe, and run if it does not become safe.
    ///
    /// # Errors
    /// `Busy`: the drive is being made safe already; `NotFound`.
    pub async fn safely_remove_when_idle(&self, drive: DriveId, uid: u32) -> Result<JobHandle, Error> {
        self.remove(drive, true, uid).await
    }

    async fn remove(&self, drive: DriveId, when_idle: bool, uid: u32) -> Result<JobHandle, Error> {
        let request = RemoveJob { manager: self.0.manager.clone(), drive: self.about(drive)?, when_idle, uid };
        self.0.jobs.start(request).await
    }

    /// Ends the enrolment of a drive, attached or away. Its data stays.
    ///
    /// # Errors
    /// `NotFound`: it is not enrolled; `Busy`: a job uses it.
    pub async fn forget(&self, destination: &DestinationId) -> Result<(), Error> {
        self.0.manager.forget(&self.0.manager.named(destination.as_str())).await
    }

    /// Unpins the snapshots that the sources keep for a destination, there or away: for one backup, or for all. They are deleted
    /// unless another destination needs them, and the next backup to this one sends everything, or what changed since an older snapshot
    /// that the rule keeps.
    ///
    /// # Errors
    /// `NotFound`: there is no such destination, or nothing is kept for it.
    pub async fn unpin(&self, destination: &DestinationId, backup: Option<&str>) -> Result<(), Error> {
        let (service, names) =
            (self.clone(), self.0.manager.unpin(&self.0.manager.named(destination.as_str()), backup).await?);
        let pruning = async move {
            for name in names {
                service.0.jobs.check_source(&service.0.manager, &name, true).await;
            }
        };
        // It is recorded: the snapshots are deleted also if that takes longer than a caller waits.
        match detached(UNPINNING, pruning).await {
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Looks at all sources: unpins what they kept for drives that were away for too long, and prunes beside those that are
    /// short of space.
    pub(crate) async fn check_sources(&self) {
        let (manager, jobs) = (&self.0.manager, &self.0.jobs);
        manager.note_attached().await;
        // With a wrong clock a drive was not away.
        let is_trusted = self.0.clock.stop().await.is_none();
        for rule in manager.rules() {
            let unpinned = is_trusted && manager.unpin_after(&rule).await;
            jobs.check_source(manager, rule.name.as_str(), unpinned).await;
        }
        if is_trusted {
            manager.look_at_overdue().await;
        }
    }

    /// Reads everything on a destination and compares checksums.
    ///
    /// # Errors
    /// `Busy`, `NotFound`; `DeviceGone`: it is away.
    pub async fn verify(&self, destination: &DestinationId, uid: u32) -> Result<JobHandle, Error> {
        let drive = self.0.manager.named(destination.as_str());
        let reservation = self.0.manager.reserve(&drive);
        let request = VerifyJob { reservation, drive: self.about(drive)?, trigger: Trigger::User(uid) };
        self.0.jobs.start(request).await
    }

    /// Begins a verify that is due, unless one runs.
    pub(crate) async fn begin_verify(&self, drive: &DriveId) {
        let is_it = |job: &Job| {
            let is_on_it = job.about.drive.as_ref().is_some_and(|of| of.id == *drive);
            job.about.kind == JobKind::Verify && is_on_it && !job.has_ended()
        };
        if self.0.jobs.live().iter().any(|handle| is_it(&handle.job.borrow())) {
            return;
        }
        tracing::info!(BUTTERDOCK_DRIVE = drive.as_str(), "a verify is due on the drive");
        self.0.manager.note_verify_begun(drive);
        let Ok(about) = self.about(drive.clone()) else { return };
        let reservation = self.0.manager.reserve(drive);
        if let Err(error) = self.0.jobs.start(VerifyJob { reservation, drive: about, trigger: Trigger::Schedule }).await
        {
            tracing::warn!(BUTTERDOCK_DRIVE = drive.as_str(), "the verify did not begin: {error}; it is tried again");
        }
    }

    /// Sends a snapshot on a destination, known by its uuid there, into a volume. On a volume of this machine it must be on record as a
    /// snapshot of a backup.
    ///
    /// # Errors
    /// `NotFound`, `NotAuthorized`; `DeviceGone`: the destination is away, or the volume is not mounted; `Busy`.
    pub async fn restore(
        &self,
        destination: &DestinationId,
        snapshot: &str,
        volume: Arc<Volume>,
        name: Option<Vec<u8>>,
        uid: u32,
    ) -> Result<JobHandle, Error> {
        let Ok(snapshot) = Uuid::try_parse(snapshot) else {
            let text = "a snapshot is named by its uuid; butterdock snapshots --drive lists the snapshots";
            return Err(Error::new(ErrorCode::NotFound, text));
        };
        let (drive, place) = (self.about(self.0.manager.named(destination.as_str()))?, place(&volume).await?);
        let (at, snapshot) = (SnapshotPlace::Destination(destination.clone()), Identity(snapshot.into_bytes()));
        self.check_of_a_backup(&at, snapshot).await?;
        let reservation = self.0.manager.reserve(&drive.id);
        let source = RestoredSnapshot { snapshot, name };
        self.0.jobs.start(IntoVolumeJob { reservation, drive, source, volume, place, uid }).await
    }

    /// Receives stream files that are on a drive into a volume.
    ///
    /// # Errors
    /// `NotFound`: there is no such file; `DeviceGone`, `Busy`.
    pub async fn import(&self, request: ImportRequest) -> Result<JobHandle, Error> {
        let ImportRequest { drive: id, volume, name, verify, uid } = request;
        let folder = self.0.manager.folder(&id)?;
        let (drive, place) = (self.about(id.clone())?, place(&volume).await?);
        // The drive stays mounted from the listing to the job.
        let reservation = self.0.manager.reserve(&id);
        if let Err(error) = self.find_stream_files(&id, folder.clone(), name.as_deref()).await {
            // An error becomes the drive's problem.
            drop(reservation.end().await);
            return Err(error);
        }
        // As for streams that callers pass: those of users are decoded.
        let verify = verify || uid != 0;
        let source = StreamFiles { folder, only: name, verify };
        let request = IntoVolumeJob { reservation, drive, source, volume, place, uid };
        self.0.jobs.start(request).await
    }

    /// The volume's directory, if it is mounted.
    pub(crate) async fn volume_place(&self, volume: &Arc<Volume>) -> Result<DirIdentity, Error> {
        place(volume).await
    }

    /// What the destination with this id is.
    pub(super) fn kind(&self, id: &DriveId) -> DestinationKind {
        let is_volume = self.0.manager.volume_name(id).is_some();
        if is_volume { DestinationKind::Volume } else { DestinationKind::Drive }
    }

    /// The drive, as the subject of a job.
    pub(crate) fn about(&self, id: DriveId) -> Result<AboutDrive, Error> {
        if let Some(label) = self.0.manager.volume_name(&id) {
            return Ok(AboutDrive { id, label, kind: DestinationKind::Volume });
        }
        let attached = self.0.manager.drive(&id).filter(|drive| drive.state != DriveState::Away);
        let drive = attached.ok_or_else(|| self.0.manager.not_attached(&id))?;
        Ok(AboutDrive { id, label: drive.label.clone(), kind: DestinationKind::Drive })
    }
}

/// The volume's directory, if it is mounted.
async fn place(volume: &Arc<Volume>) -> Result<DirIdentity, Error> {
    if !volume.seen().mounted() {
        volume.look(LOOK).await;
    }
    volume.seen().place.ok_or_else(|| {
        let text = format!("the volume \"{}\" is not mounted; mount its drive and try again", volume.rule.name);
        Error::new(ErrorCode::DeviceGone, text)
    })
}
