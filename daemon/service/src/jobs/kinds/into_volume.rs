//! Jobs that read a drive and write into a volume of this machine: imports and restores.

use std::fmt;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::drive_job::{self, DriveContext, DriveTask};
use super::receive::{check, no_descriptor, reach};
use super::{JobContext, JobRequest, JobRun};
use crate::backups::{Identity, OpenSnapshot, beneath, open_snapshot};
use crate::blocking::Unanswered;
use crate::config::Config;
use crate::destinations::Destination;
use crate::dir_handle::DirHandle;
use crate::drives::{DriveId, DriveReservation, Lease, Need};
use crate::jobs::job::{About, AboutDrive};
use crate::jobs::outcome::{EndRules, Ending};
use crate::jobs::runner::{Outcome, Runner, WorkerResults, other_than};
use crate::types::{Error, ErrorCode, JobKind, Trigger};
use crate::volumes::{DirIdentity, Volume};
use crate::worker::{Order, public_of_import, public_of_restore};

/// Timeout for opening a directory on the drive.
const OPENING: Duration = Duration::from_secs(30);

/// A drive, the volume that the job writes into, and what it writes there.
#[derive(Debug)]
pub(crate) struct IntoVolumeJob<S> {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    /// What is read on the drive.
    pub source: S,
    pub volume: Arc<Volume>,
    /// The volume's directory at the time of the request.
    pub place: DirIdentity,
    pub uid: u32,
}

/// What such a job reads on the drive.
pub(crate) trait DriveSource: fmt::Debug + Send + Sync + 'static {
    /// The kind of the job.
    const KIND: JobKind;
    /// What the job does, for the journal.
    const DOING: &'static str;
    /// Whether it also reads drives that are not enrolled.
    const READS_FOREIGN: bool = false;
    /// The meaning of its end.
    const END: &'static EndRules = &EndRules::TRANSFER;

    /// Opens the directories on the drive that the worker reads.
    fn open(&self, lease: &Lease) -> impl Future<Output = Result<Vec<DirHandle>, Error>> + Send;

    /// The worker's order.
    fn order(&self, lease: &Lease, uid: u32, writer_threads: Option<usize>) -> Order;

    /// Records the results of the worker.
    fn record(
        &self,
        runner: &Runner,
        context: &DriveContext,
        results: &WorkerResults,
    ) -> impl Future<Output = ()> + Send;
}

impl<S: DriveSource> JobRequest for IntoVolumeJob<S> {
    fn about(&self) -> About {
        let volume = Some(self.volume.rule.name.clone());
        About { volume, ..About::on_drive(S::KIND, self.drive.clone()) }
    }

    fn doing(&self) -> String {
        format!("{} into \"{}\" from drive {}", S::DOING, self.volume.rule.name, self.drive.id)
    }

    fn trigger(&self) -> Trigger {
        Trigger::User(self.uid)
    }

    fn volume(&self) -> Option<&Arc<Volume>> {
        Some(&self.volume)
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        check(&self.volume, config)
    }

    fn set_accepted(&mut self) {
        self.reservation.set_of_job();
    }

    fn end_rules(&self) -> &'static EndRules {
        S::END
    }

    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun {
        let manager = self.reservation.manager().clone();
        Box::pin(drive_job::run(*self, runner, manager, context.writer_threads()))
    }
}

impl<S: DriveSource> DriveTask for IntoVolumeJob<S> {
    const NEED: Need = Need::Read;
    const READS_FOREIGN: bool = S::READS_FOREIGN;

    fn drive(&self) -> &DriveId {
        &self.drive.id
    }

    fn into_reservation(self) -> DriveReservation {
        self.reservation
    }

    async fn work(
        &mut self,
        runner: &mut Runner,
        context: &DriveContext,
        lease: &Lease,
    ) -> Result<(Outcome, Box<dyn Destination>), Ending> {
        let destination = reach(runner, &self.volume, self.place).await?;
        let directories = tokio::select! {
            opened = self.source.open(lease) => opened.map_err(|error| Ending::JobError(drive_job::failure(error)))?,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        let order = self.source.order(lease, self.uid, context.writer_threads);
        let outcome = runner.work(order, directories.into(), &destination).await;
        self.source.record(runner, context, &outcome.heard).await;
        Ok((outcome, Box::new(destination)))
    }
}

/// Runs a call that may block as long as the drive does.
///
/// # Errors
/// `DeviceGone` when the drive does not answer.
pub(super) async fn on_drive<T: Send + 'static>(
    lease: &Lease,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    lease.reads().run(OPENING, call).await.map_err(|unanswered| match unanswered {
        Unanswered::NoThread => Error::new(ErrorCode::Failed, unanswered.to_string()),
        Unanswered::Busy | Unanswered::Silent => {
            Error::new(ErrorCode::DeviceGone, "the drive does not respond; check it and its cable (dmesg)")
        }
    })
}

/// Stream files on a drive.
#[derive(Debug)]
pub(crate) struct StreamFiles {
    /// The folder on the drive.
    pub folder: PathBuf,
    /// This file alone.
    pub only: Option<Vec<u8>>,
    pub verify: bool,
}

impl DriveSource for StreamFiles {
    const KIND: JobKind = JobKind::Import;
    const DOING: &'static str = "importing";
    const READS_FOREIGN: bool = true;
    const END: &'static EndRules = &EndRules { public: public_of_import, ..EndRules::TRANSFER };

    async fn open(&self, lease: &Lease) -> Result<Vec<DirHandle>, Error> {
        open_folder(lease, self.folder.clone()).await.map(|folder| vec![folder])
    }

    fn order(&self, _lease: &Lease, uid: u32, writer_threads: Option<usize>) -> Order {
        Order::Import { only: self.only.clone(), verify: self.verify, asked_by: uid, writer_threads }
    }

    async fn record(&self, _runner: &Runner, _context: &DriveContext, _results: &WorkerResults) {}
}

/// Opens a folder on a drive.
///
/// # Errors
/// `NotFound` where there is none; `DeviceGone` when the drive does not answer.
pub(in crate::jobs) async fn open_folder(lease: &Lease, folder: PathBuf) -> Result<DirHandle, Error> {
    let root = lease.root().try_clone_to_owned();
    let root = root.map_err(|error| Error::new(ErrorCode::Failed, no_descriptor(&error).public))?;
    match on_drive(lease, move || beneath(root.as_fd(), &folder)).await? {
        Ok(folder) => Ok(folder.into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = "the drive does not have the folder for stream files; create it, or correct `folder` in \
                 butterdock.toml";
            Err(Error::new(ErrorCode::NotFound, text))
        }
        Err(error) => {
            let text = format!("cannot open the folder for stream files: {error}; check the drive (dmesg)");
            Err(Error::new(ErrorCode::Failed, text))
        }
    }
}

/// A snapshot on a drive.
#[derive(Debug)]
pub(crate) struct RestoredSnapshot {
    /// The uuid of the snapshot on the drive.
    pub snapshot: Identity,
    /// The subvolume's name instead of the snapshot's.
    pub name: Option<Vec<u8>>,
}

impl DriveSource for RestoredSnapshot {
    const KIND: JobKind = JobKind::Restore;
    const DOING: &'static str = "restoring";
    const END: &'static EndRules = &EndRules { public: public_of_restore, ..EndRules::TRANSFER };

    async fn open(&self, lease: &Lease) -> Result<Vec<DirHandle>, Error> {
        let root = lease.root().try_clone_to_owned();
        let root = root.map_err(|error| Error::new(ErrorCode::Failed, no_descriptor(&error).public))?;
        let uuid = self.snapshot;
        match on_drive(lease, move || open_snapshot(root.as_fd(), uuid)).await? {
            Ok(Some(OpenSnapshot { snapshot, folder })) => Ok(vec![snapshot.into(), folder.into()]),
            Ok(None) => {
                let text = "there is no such snapshot on the drive; butterdock snapshots --drive lists the snapshots";
                Err(Error::new(ErrorCode::NotFound, text))
            }
            Err(fault) => {
                let text = format!("cannot open the snapshot: {fault}; check the drive and its cable (dmesg)");
                Err(Error::new(ErrorCode::Failed, text))
            }
        }
    }

    fn order(&self, lease: &Lease, _uid: u32, writer_threads: Option<usize>) -> Order {
        Order::Restore { name: self.name.clone(), writer_threads, shared: lease.shared("") }
    }

    async fn record(&self, runner: &Runner, context: &DriveContext, results: &WorkerResults) {
        if !results.restored.is_empty()
            && let Err(error) = context.manager.restored(&context.drive, results.restored.clone()).await
        {
            let text = "the snapshot is restored, but the next restore of a later snapshot will be a full one";
            tracing::warn!(butterdock_job = %runner.id, "cannot record the restored snapshot: {error}; {text}");
        }
    }
}
