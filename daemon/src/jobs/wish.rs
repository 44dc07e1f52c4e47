//! What else is wanted of a drive: that it is verified.

use butterdock_dbus::Error;

use super::about::AboutDrive;
use super::handle::{Jobs, Ticket};
use super::work::Work;
use crate::drives::Dock;

/// A drive that somebody wants compared with its checksums.
#[derive(Debug)]
pub(crate) struct VerifyWish {
    pub(crate) dock: Dock,
    pub(crate) drive: AboutDrive,
    pub(crate) uid: u32,
}

impl Jobs {
    /// Takes the verification of a drive on.
    ///
    /// # Errors
    /// `Busy`: the queue is full, it is being verified already, or a worker hangs on this drive.
    pub(crate) async fn verify(&self, wish: VerifyWish) -> Result<Ticket, Error> {
        self.take(Work::Verify(Box::new(wish))).await
    }
}
