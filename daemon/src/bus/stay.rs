//! A drive that is looked at for a caller, outside of any job.

use butterdock_dbus::DriveState;

use crate::drives::{Dock, DriveId, Letting};

/// Leaves a drive as it was: one that was not mounted before is let go afterwards, as after a job.
#[derive(Debug)]
pub(super) struct Stay {
    dock: Dock,
    drive: DriveId,
    was_mounted: bool,
}

impl Stay {
    /// Before the drive is held.
    pub(super) fn begin(dock: &Dock, drive: &DriveId) -> Self {
        let was_mounted =
            dock.drive(drive).is_some_and(|now| matches!(now.state, DriveState::Mounted | DriveState::Busy));
        Self { dock: dock.clone(), drive: drive.clone(), was_mounted }
    }

    /// When nobody here holds it any more. A job that holds it meanwhile lets it go itself.
    pub(super) async fn end(self) {
        if self.was_mounted {
            return;
        }
        if let Err(error) = self.dock.let_go(&self.drive, Letting::AsConfigured).await {
            tracing::info!("the drive {} is not let go after it was looked at: {error}", self.drive);
        }
    }
}
