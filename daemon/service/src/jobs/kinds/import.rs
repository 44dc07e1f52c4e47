//! Imports stream files from a drive into a volume.

use std::os::fd::AsFd as _;
use std::path::PathBuf;

use super::drive_job::DriveContext;
use super::into_volume::{DriveSource, on_drive};
use super::receive::no_descriptor;
use crate::backups::beneath;
use crate::dir_handle::DirHandle;
use crate::drives::Lease;
use crate::jobs::outcome::EndRules;
use crate::jobs::runner::{Runner, WorkerResults};
use crate::types::{Error, ErrorCode, JobKind};
use crate::worker::{Order, public_of_import};

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
        open(lease, self.folder.clone()).await.map(|folder| vec![folder])
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
pub(in crate::jobs) async fn open(lease: &Lease, folder: PathBuf) -> Result<DirHandle, Error> {
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
