//! Requests for verify and import jobs.

use std::path::PathBuf;
use std::sync::Arc;

use crate::types::Error;

use super::about::AboutDrive;
use super::handle::{JobHandle, Jobs};
use super::work::Work;
use crate::drives::DriveReservation;
use crate::volumes::{Place, Volume};

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
