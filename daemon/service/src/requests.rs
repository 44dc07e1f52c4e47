//! Requests of callers that become jobs.

use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::backups::Identity;
use crate::blocking::detached;
use crate::drives::DriveId;
use crate::jobs::{
    About, AboutDrive, BackupJob, IntoVolumeJob, Job, JobHandle, ReceiveJob, RemoveJob, RestoredSnapshot, StreamFiles,
    VerifyJob,
};
use crate::service::Service;
use crate::stream_input;
use crate::types::{Attempt, BackupOptions, DestinationId, DestinationKind, DriveState, Error, ErrorCode, Trigger};
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

    /// Runs the backups that go to a destination, or the one of this name; answers with the first job.
    ///
    /// # Errors
    /// `NotFound`: no such backup goes there; `DeviceGone`: it is away; `Busy`; `InvalidArgs`: a new source for no named backup.
    pub async fn back_up(
        &self,
        destination: &DestinationId,
        only: Option<&str>,
        options: BackupOptions,
        uid: u32,
    ) -> Result<JobHandle, Error> {
        if options.new_source && only.is_none() {
            let text =
                "the option new_source needs the option backup: a new source is accepted for one backup at a time";
            return Err(Error::InvalidArgs(text.to_owned()));
        }
        let (drive, trigger) = (self.0.manager.named(destination.as_str()), Trigger::User(uid));
        let goes_here = self.destinations().get(destination).map(|known| known.backups).unwrap_or_default();
        let wanted = |name: &String| only.is_none_or(|only| only == name);
        self.about(drive.clone())?;
        let begun = self.begin_each(&drive, goes_here.into_iter().filter(wanted).collect(), options, trigger).await;
        let begun = begun.into_iter().map(|(backup, taken)| {
            let what = format!("the backup \"{}\"", backup.escape_debug());
            BegunBackup { drive: drive.clone(), backup, what, taken }
        });
        self.first_job(begun.collect(), trigger).unwrap_or_else(|| {
            let text = "this destination has no such backup; butterdock backups lists the backups";
            Err(Error::new(ErrorCode::NotFound, text))
        })
    }

    /// Runs a backup on one of its destinations, or on each that is attached; answers with the first job.
    ///
    /// # Errors
    /// `NotFound`: there is no such backup, it has no destination, or the one is not its destination; `DeviceGone`: none is
    /// attached; `Busy`.
    pub async fn run_backup(
        &self,
        backup: &str,
        destination: Option<&DestinationId>,
        options: BackupOptions,
        uid: u32,
    ) -> Result<JobHandle, Error> {
        let not_found = |text: &str| Err(Error::new(ErrorCode::NotFound, text));
        let Some((_, rows)) =
            self.0.manager.backups_with_rules().into_iter().find(|(rule, _)| rule.name.as_str() == backup)
        else {
            return not_found("this backup no longer exists; butterdock backups lists the backups");
        };
        let mut destinations: Vec<_> =
            rows.into_iter().filter_map(|row| Some((row.drive?, row.drive_label?, row.attached?))).collect();
        if destinations.is_empty() {
            return not_found("the backup has no enrolled drive; enrol one, or correct `to` in the configuration");
        }
        if let Some(only) = destination {
            destinations.retain(|(id, _, _)| id == only.as_str());
        }
        if destinations.is_empty() {
            return not_found("the backup does not go there; butterdock backups lists where it goes");
        }
        destinations.retain(|(_, _, is_attached)| *is_attached);
        let (mut begun, trigger) = (Vec::new(), Trigger::User(uid));
        for (drive, label, _) in destinations {
            let (drive, what) = (self.0.manager.named(&drive), format!("the drive \"{}\"", label.escape_debug()));
            for (backup, taken) in self.begin_each(&drive, vec![backup.to_owned()], options, trigger).await {
                begun.push(BegunBackup { drive: drive.clone(), backup, what: what.clone(), taken });
            }
        }
        self.first_job(begun, trigger).unwrap_or_else(|| {
            let text = match destination {
                Some(_) => "the drive is not attached; plug it in",
                None => "no drive of the backup is attached; plug one in (butterdock backups lists them)",
            };
            Err(Error::new(ErrorCode::DeviceGone, text))
        })
    }

    /// The first of these that became a job; the error of all if none did, and nothing if there is none.
    fn first_job(&self, begun: Vec<BegunBackup>, trigger: Trigger) -> Option<Result<JobHandle, Error>> {
        let mut first = None;
        let mut refused = Vec::new();
        for BegunBackup { drive, backup, what, taken } in begun {
            match taken {
                Ok(job) => {
                    first.get_or_insert(job);
                }
                Err(error) => refused.push((drive, backup, what, error)),
            }
        }
        let Some(first) = first else {
            let refused: Vec<(String, Error)> = refused.into_iter().map(|(_, _, what, error)| (what, error)).collect();
            return all_refused(&refused).map(Err);
        };
        // The answer is a job: nothing else says why the others did not begin.
        for (drive, backup, _, error) in refused.iter().filter(|(drive, backup, _, _)| !self.is_running(drive, backup))
        {
            self.not_begun(drive, backup, trigger, error);
        }
        Some(Ok(first))
    }

    /// Whether this backup to this drive is an unfinished job.
    pub(crate) fn is_running(&self, drive: &DriveId, backup: &str) -> bool {
        let is_it = |job: &Job| {
            let About { drive: of, backup: name, .. } = &job.about;
            !job.has_ended() && of.as_ref().is_some_and(|of| of.id == *drive) && name.as_deref() == Some(backup)
        };
        self.0.jobs.live().iter().any(|handle| is_it(&handle.job.borrow()))
    }

    /// A backup that was asked for is no job: that is in the history, and a problem of the drive until the backup has run.
    pub(crate) fn not_begun(&self, drive: &DriveId, backup: &str, trigger: Trigger, error: &Error) {
        let Some(label) = self.0.manager.label(drive) else { return };
        let about = AboutDrive { id: drive.clone(), label, kind: self.kind(drive) };
        let record = self.0.jobs.not_begun(BackupJob::subject(about, backup), trigger, error);
        self.0.manager.backup_not_begun(drive, backup, Attempt::not_begun(record.end_time, error));
    }

    /// Begins each of these backups, also where one of them cannot begin.
    pub(crate) async fn begin_each(
        &self,
        drive: &DriveId,
        backups: Vec<String>,
        options: BackupOptions,
        trigger: Trigger,
    ) -> Vec<(String, Result<JobHandle, Error>)> {
        // Until all are taken: the first may end before.
        let _reservation = self.0.manager.reserve(drive);
        let mut begun = Vec::new();
        for backup in backups {
            let taken = match self.about(drive.clone()) {
                Ok(drive) => {
                    let reservation = self.0.manager.reserve(&drive.id);
                    self.0.jobs.start(BackupJob { reservation, drive, backup: backup.clone(), options, trigger }).await
                }
                Err(error) => Err(error),
            };
            begun.push((backup, taken));
        }
        begun
    }

    /// Begins a backup whose time has come, unless it runs.
    pub(crate) async fn begin_due(&self, drive: &DriveId, backup: String) {
        if self.is_running(drive, &backup) {
            return;
        }
        tracing::info!(BUTTERDOCK_DRIVE = drive.as_str(), "the backup \"{backup}\" is due on the drive");
        for (backup, begun) in self.begin_each(drive, vec![backup], BackupOptions::default(), Trigger::Schedule).await {
            match begun {
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::Busy && self.is_running(drive, &backup) => {}
                Err(error) => self.not_begun(drive, &backup, Trigger::Schedule, &error),
            }
        }
    }

    /// Ends the enrolment of a drive, attached or away. Its data stays.
    ///
    /// # Errors
    /// `NotFound`: it is not enrolled; `Busy`: a job uses it.
    pub async fn forget(&self, destination: &DestinationId) -> Result<(), Error> {
        self.0.manager.forget(&self.0.manager.named(destination.as_str())).await
    }

    /// Gives up the snapshots that the sources keep for a destination, there or away: for one backup, or for all. They are deleted
    /// unless another destination needs them, and the next backup to this one sends everything.
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

    /// Looks at all sources: gives up what they kept for drives that were away for too long, and prunes beside those that are
    /// short of space.
    pub(crate) async fn check_sources(&self) {
        let (manager, jobs) = (&self.0.manager, &self.0.jobs);
        manager.note_attached().await;
        // With a wrong clock a drive was not away.
        let is_trusted = self.0.clock.stop().await.is_none();
        for rule in manager.rules() {
            let given_up = is_trusted && manager.give_up_after(&rule).await;
            jobs.check_source(manager, rule.name.as_str(), given_up).await;
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
        let request = VerifyJob { reservation, drive: self.about(drive)?, uid };
        self.0.jobs.start(request).await
    }

    /// Sends a snapshot on a destination, known by its uuid there, into a volume.
    ///
    /// # Errors
    /// `NotFound`, `DeviceGone`: the destination is away, or the volume is not mounted; `Busy`.
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
        let reservation = self.0.manager.reserve(&drive.id);
        let source = RestoredSnapshot { snapshot: Identity(snapshot.into_bytes()), name };
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
    fn kind(&self, id: &DriveId) -> DestinationKind {
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

/// A backup of a request that began on a drive, or did not.
struct BegunBackup {
    drive: DriveId,
    backup: String,
    /// How an error names it among several.
    what: String,
    taken: Result<JobHandle, Error>,
}

/// Why none of these began; each is named where there are several.
fn all_refused(refused: &[(String, Error)]) -> Option<Error> {
    match refused {
        [] => None,
        [(_, only)] => Some(only.clone()),
        [(_, first), ..] => {
            let sentences = refused.iter().map(|(what, error)| format!("{what}: {error}"));
            Some(Error::new(first.code(), sentences.collect::<Vec<_>>().join("; ")))
        }
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
