//! The handle by which other modules send requests to the scheduler.

use super::about::AboutDrive;
use super::history_writer::HistoryWriter;
use super::job::{Job, Total};
use super::live::LiveJobs;
use super::queries::Queries;
use super::queue::Place as Where;
use super::record::Record;
use super::runner::RunnerEvent;
use super::work::Work;
use crate::backups::Identity;
use crate::config::{Config, VolumeName};
use crate::drives::{DriveManager, DriveReservation};
use crate::types::{Error, ErrorCode};
use crate::untrusted_fd::QuarantinedFd;
use crate::volumes::{Place, Volume};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

/// A request to receive a stream.
#[derive(Debug)]
pub(crate) struct ReceiveJobRequest {
    pub volume: Arc<Volume>,
    /// The directory that was there when it was asked for: whoever asked saw this one, and no other is written to.
    pub place: Place,
    /// Who wants it.
    pub uid: u32,
    /// Readable, at the first byte of the stream.
    pub input: QuarantinedFd,
    pub total: Total,
    /// The subvolume's name instead of the sender's.
    pub name: Option<Vec<u8>>,
    pub verify: bool,
    pub force_decompress: bool,
    pub strict_parent: bool,
}

/// A backup that is to be made.
#[derive(Debug)]
pub(crate) struct BackupJobRequest {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    /// Its name in the configuration.
    pub backup: String,
    /// Who wants it; 0 also where plugging in the drive does.
    pub uid: u32,
}

/// A request to restore a snapshot from a drive.
#[derive(Debug)]
pub(crate) struct RestoreJobRequest {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    /// The uuid of the snapshot on the drive.
    pub snapshot: Identity,
    pub volume: Arc<Volume>,
    /// The directory that was there when it was asked for.
    pub place: Place,
    /// The subvolume's name instead of the snapshot's.
    pub name: Option<Vec<u8>>,
    pub uid: u32,
}

/// A request to make a drive safe to unplug.
#[derive(Debug)]
pub(crate) struct RemoveJobRequest {
    pub manager: DriveManager,
    pub drive: AboutDrive,
    pub uid: u32,
}

/// A job that was taken.
#[derive(Debug)]
pub struct JobHandle {
    /// Its id.
    pub id: Uuid,
    /// What is known of it; closed when it is forgotten.
    pub job: watch::Receiver<Job>,
}

/// Sends requests to the scheduler. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Jobs {
    pub(super) orders: mpsc::Sender<SchedulerMessage>,
    pub(super) writer: HistoryWriter,
    pub(super) queries: Queries,
    pub(super) busy: watch::Receiver<bool>,
    pub(super) live: LiveJobs,
}

/// Messages to the scheduler.
#[derive(Debug)]
pub(super) enum SchedulerMessage {
    Take(Work, oneshot::Sender<Result<JobHandle, Error>>),
    Cancel(Uuid, oneshot::Sender<Result<(), Error>>),
    /// A runner tells of its job.
    Event(Uuid, RunnerEvent),
    /// These are the mounts that there are now.
    Mounts(HashSet<u64>),
    Configured(Box<Config>),
    /// Answered with whether nothing works there.
    Idle(Where, oneshot::Sender<bool>),
    /// Answered when no job is left.
    Stop(oneshot::Sender<()>),
}

impl Jobs {
    /// Takes a job on.
    ///
    /// # Errors
    /// `Busy`: the queue is full, or a worker hangs on this volume; `DeviceGone`: the volume is not mounted.
    pub(crate) async fn receive(&self, request: ReceiveJobRequest) -> Result<JobHandle, Error> {
        self.take(Work::Receive(Box::new(request))).await
    }

    /// Takes a backup on.
    ///
    /// # Errors
    /// `Busy`: the queue is full, it is being made already, or a worker hangs on this drive; `NotFound`: the backup is not
    /// configured.
    pub(crate) async fn back_up(&self, request: BackupJobRequest) -> Result<JobHandle, Error> {
        self.take(Work::Backup(Box::new(request))).await
    }

    /// Makes a drive safe to unplug.
    ///
    /// # Errors
    /// `Busy`: a job uses the drive. However many other jobs there are, it is taken and begins.
    pub(crate) async fn remove(&self, request: RemoveJobRequest) -> Result<JobHandle, Error> {
        self.take(Work::Remove(Box::new(request))).await
    }

    /// Takes a restore on.
    ///
    /// # Errors
    /// As for [`Jobs::receive`]. That there is no such snapshot fails the job.
    pub(crate) async fn restore(&self, request: RestoreJobRequest) -> Result<JobHandle, Error> {
        self.take(Work::Restore(Box::new(request))).await
    }

    pub(super) async fn take(&self, work: Work) -> Result<JobHandle, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(SchedulerMessage::Take(work, reply)).await?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Ends a job; answers when nothing of it is left.
    ///
    /// # Errors
    /// `NotFound`; `Failed`: it has ended already, or its worker hangs in the kernel.
    pub async fn cancel(&self, id: Uuid) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.send(SchedulerMessage::Cancel(id, reply)).await?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// The jobs that ended, the newest first.
    pub fn history(&self) -> Vec<Record> {
        self.writer.ended()
    }

    /// Tells which mounts there are.
    pub(crate) async fn mounts(&self, ids: HashSet<u64>) {
        // A scheduler that has ended needs no mounts.
        drop(self.send(SchedulerMessage::Mounts(ids)).await);
    }

    /// Sets the limits and priorities; running jobs continue.
    pub(crate) async fn configured(&self, config: &Config) {
        self.writer.keep(config.history);
        // A scheduler that has ended needs no configuration.
        drop(self.send(SchedulerMessage::Configured(Box::new(config.clone()))).await);
    }

    /// Takes no more jobs, ends those that there are, and returns when all of that is written down.
    pub(crate) async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        // A scheduler that has ended has no jobs to end.
        drop(self.send(SchedulerMessage::Stop(reply)).await);
        drop(answer.await);
        self.writer.settle().await;
    }

    /// Whether no job works on this volume.
    pub(crate) async fn is_idle(&self, volume: &VolumeName) -> bool {
        let (reply, answer) = oneshot::channel();
        self.send(SchedulerMessage::Idle(Where::Volume(volume.clone()), reply)).await.is_ok()
            && answer.await.unwrap_or(false)
    }

    /// The jobs that are not forgotten.
    #[must_use]
    pub fn live(&self) -> Vec<JobHandle> {
        self.live.list()
    }

    /// Changes whenever [`Self::live`] has one that it did not have.
    #[must_use]
    pub fn begun(&self) -> watch::Receiver<()> {
        self.live.begun()
    }

    /// Whether any job runs.
    pub fn busy(&self) -> watch::Receiver<bool> {
        self.busy.clone()
    }

    async fn send(&self, order: SchedulerMessage) -> Result<(), Error> {
        self.orders.send(order).await.map_err(|_gone| ended())
    }
}

/// The error for a volume that is not configured.
pub(crate) fn no_such_volume(name: &str) -> Error {
    let name = VolumeName::try_from(name.to_owned()).map_or_else(|_odd| String::new(), |name| format!(" \"{name}\""));
    Error::new(ErrorCode::NotFound, format!("there is no volume{name}; butterdock volumes lists the volumes"))
}

fn ended() -> Error {
    Error::new(ErrorCode::Busy, "the service is stopping; try again when it runs")
}

/// A request to verify a drive.
#[derive(Debug)]
pub(crate) struct VerifyJobRequest {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    pub uid: u32,
}

/// A request to import stream files from a drive.
#[derive(Debug)]
pub(crate) struct ImportJobRequest {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    /// Where on the drive they are.
    pub folder: PathBuf,
    pub volume: Arc<Volume>,
    /// The directory that was there when it was asked for.
    pub place: Place,
    /// This file alone.
    pub only: Option<Vec<u8>>,
    pub verify: bool,
    pub uid: u32,
}

impl Jobs {
    /// Takes an import on.
    ///
    /// # Errors
    /// As for [`Jobs::receive`]. What is wrong with the files fails the job.
    pub(crate) async fn import(&self, request: ImportJobRequest) -> Result<JobHandle, Error> {
        self.take(Work::Import(Box::new(request))).await
    }

    /// Takes the verification of a drive on.
    ///
    /// # Errors
    /// `Busy`: the queue is full, it is being verified already, or a worker hangs on this drive.
    pub(crate) async fn verify(&self, request: VerifyJobRequest) -> Result<JobHandle, Error> {
        self.take(Work::Verify(Box::new(request))).await
    }
}
