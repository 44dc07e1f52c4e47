//! Runs an import of stream files from a drive into a volume.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::types::{Error, ErrorCode};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::drive_job::{DriveContext, DriveTask, failure};
use super::receive::{no_descriptor, reach};
use super::{Outcome, Runner, RunnerEvent, other_than};
use crate::backups::beneath;
use crate::dir_handle::DirHandle;
use crate::drives::Lease;
use crate::jobs::entry::Ending;
use crate::volumes::{Destination, Place, Volume};
use crate::worker::Order;

/// Timeout for opening a folder on the drive.
const OPENING: Duration = Duration::from_secs(30);

/// A folder on a drive, and where what is in it goes.
#[derive(Debug)]
pub(in crate::jobs) struct Import {
    pub(in crate::jobs) folder: PathBuf,
    pub(in crate::jobs) volume: Arc<Volume>,
    /// The directory that it was asked for.
    pub(in crate::jobs) place: Place,
    pub(in crate::jobs) order: Order,
}

impl DriveTask for Import {
    const READS: bool = true;

    async fn work(
        &mut self,
        runner: &mut Runner,
        _berth: &DriveContext,
        lease: &Lease,
    ) -> Result<(Outcome, DirHandle), Ending> {
        let Destination { directory, mount, .. } = reach(runner, &self.volume, self.place).await?;
        runner.tell(RunnerEvent::Opened(mount)).await;
        let folder = tokio::select! {
            folder = open(lease, self.folder.clone()) => folder.map_err(|error| Ending::JobError(failure(error)))?,
            _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
        };
        let copy = directory.try_clone().map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        let outcome = runner.work(self.order.clone(), [folder, copy].into(), &directory).await;
        Ok((outcome, directory))
    }
}

/// Opens a folder on a drive.
///
/// # Errors
/// `NotFound` where there is none; `DeviceGone` when the drive does not answer.
pub(in crate::jobs) async fn open(lease: &Lease, folder: PathBuf) -> Result<DirHandle, Error> {
    let root = lease.root().try_clone_to_owned();
    let root = root.map_err(|error| Error::new(ErrorCode::Failed, no_descriptor(&error).public))?;
    match timeout(OPENING, spawn_blocking(move || beneath(root.as_fd(), &folder))).await {
        Ok(Ok(Ok(folder))) => Ok(folder.into()),
        Ok(Ok(Err(error))) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = "the drive does not have the folder for stream files; create it, or correct `folder` in \
                 butterdock.toml";
            Err(Error::new(ErrorCode::NotFound, text))
        }
        Ok(Ok(Err(error))) => {
            let text = format!("cannot open the folder for stream files: {error}; check the drive (dmesg)");
            Err(Error::new(ErrorCode::Failed, text))
        }
        Ok(Err(_)) | Err(_) => {
            Err(Error::new(ErrorCode::DeviceGone, "the drive does not respond; check it and its cable (dmesg)"))
        }
    }
}
