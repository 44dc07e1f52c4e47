//! Imports stream files from a drive into a volume.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::drive_job::{self, DriveContext, DriveTask, failure};
use super::receive::{check, no_descriptor, reach};
use super::{JobContext, JobRequest, JobRun};
use crate::backups::beneath;
use crate::blocking::Unanswered;
use crate::config::Config;
use crate::destinations::Destination;
use crate::dir_handle::DirHandle;
use crate::drives::{DriveId, DriveReservation, Lease, Need};
use crate::jobs::job::{About, AboutDrive};
use crate::jobs::outcome::Ending;
use crate::jobs::runner::{Outcome, Runner, other_than};
use crate::types::{Error, ErrorCode, JobKind};
use crate::volumes::{DirIdentity, Volume};
use crate::worker::Order;

/// Timeout for opening a folder on the drive.
const OPENING: Duration = Duration::from_secs(30);

/// Stream files on a drive, and the volume that they are received into.
#[derive(Debug)]
pub(crate) struct ImportJob {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    /// The folder on the drive.
    pub folder: PathBuf,
    pub volume: Arc<Volume>,
    /// The volume's directory at the time of the request.
    pub place: DirIdentity,
    /// This file alone.
    pub only: Option<Vec<u8>>,
    pub verify: bool,
    pub uid: u32,
}

impl JobRequest for ImportJob {
    fn about(&self) -> About {
        let volume = Some(self.volume.rule.name.clone());
        About { volume, ..About::on_drive(JobKind::Import, self.drive.clone()) }
    }

    fn doing(&self) -> String {
        format!("importing into \"{}\" from drive {}", self.volume.rule.name, self.drive.id)
    }

    fn uid(&self) -> u32 {
        self.uid
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

    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun {
        let manager = self.reservation.manager().clone();
        Box::pin(drive_job::run(*self, runner, manager, context.writer_threads()))
    }
}

impl DriveTask for ImportJob {
    const NEED: Need = Need::Read;
    const READS_FOREIGN: bool = true;

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
        let folder = tokio::select! {
            folder = open(lease, self.folder.clone()) => folder.map_err(|error| Ending::JobError(failure(error)))?,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        let order = Order::Import {
            only: self.only.clone(),
            verify: self.verify,
            asked_by: self.uid,
            writer_threads: context.writer_threads,
        };
        let outcome = runner.work(order, [folder].into(), &destination).await;
        Ok((outcome, Box::new(destination)))
    }
}

/// Opens a folder on a drive.
///
/// # Errors
/// `NotFound` where there is none; `DeviceGone` when the drive does not answer.
pub(in crate::jobs) async fn open(lease: &Lease, folder: PathBuf) -> Result<DirHandle, Error> {
    let root = lease.root().try_clone_to_owned();
    let root = root.map_err(|error| Error::new(ErrorCode::Failed, no_descriptor(&error).public))?;
    match lease.reads().run(OPENING, move || beneath(root.as_fd(), &folder)).await {
        Ok(Ok(folder)) => Ok(folder.into()),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = "the drive does not have the folder for stream files; create it, or correct `folder` in \
                 butterdock.toml";
            Err(Error::new(ErrorCode::NotFound, text))
        }
        Ok(Err(error)) => {
            let text = format!("cannot open the folder for stream files: {error}; check the drive (dmesg)");
            Err(Error::new(ErrorCode::Failed, text))
        }
        Err(no_thread @ Unanswered::NoThread) => Err(Error::new(ErrorCode::Failed, no_thread.to_string())),
        Err(Unanswered::Busy | Unanswered::Silent) => {
            Err(Error::new(ErrorCode::DeviceGone, "the drive does not respond; check it and its cable (dmesg)"))
        }
    }
}
