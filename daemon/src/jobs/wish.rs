//! What else is wanted of a drive: that it is verified, and that what is on it is imported.

use std::path::PathBuf;
use std::sync::Arc;

use butterdock_dbus::Error;

use super::about::AboutDrive;
use super::handle::{Jobs, Ticket};
use super::work::Work;
use crate::drives::Dock;
use crate::volumes::{Place, Volume};

/// A drive that somebody wants compared with its checksums.
#[derive(Debug)]
pub(crate) struct VerifyWish {
    pub(crate) dock: Dock,
    pub(crate) drive: AboutDrive,
    pub(crate) uid: u32,
}

/// Stream files on a drive that somebody wants received.
#[derive(Debug)]
pub(crate) struct ImportWish {
    pub(crate) dock: Dock,
    pub(crate) drive: AboutDrive,
    /// Where on the drive they are.
    pub(crate) folder: PathBuf,
    pub(crate) volume: Arc<Volume>,
    /// The directory that was there when it was asked for.
    pub(crate) place: Place,
    /// This file alone.
    pub(crate) only: Option<Vec<u8>>,
    pub(crate) verify: bool,
    pub(crate) uid: u32,
}

impl Jobs {
    /// Takes an import on.
    ///
    /// # Errors
    /// As for [`Jobs::receive`]. What is wrong with the files fails the job.
    pub(crate) async fn import(&self, wish: ImportWish) -> Result<Ticket, Error> {
        self.take(Work::Import(Box::new(wish))).await
    }

    /// Takes the verification of a drive on.
    ///
    /// # Errors
    /// `Busy`: the queue is full, it is being verified already, or a worker hangs on this drive.
    pub(crate) async fn verify(&self, wish: VerifyWish) -> Result<Ticket, Error> {
        self.take(Work::Verify(Box::new(wish))).await
    }
}
