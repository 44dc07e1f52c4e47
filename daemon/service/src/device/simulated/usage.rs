//! A process that uses a simulated drive.

use super::{SimulatedDevices, SimulatedDrive};

/// A process with files open on a drive. Dropped, it has closed them.
#[derive(Debug)]
pub(crate) struct Usage {
    pub(super) devices: SimulatedDevices,
    pub(super) drive: SimulatedDrive,
    pub(super) first: u64,
}

impl Usage {
    /// Whether the drive was not pulled since.
    pub(crate) fn is_attached(&self) -> bool {
        self.devices.state().attached.get(&self.first).is_some_and(|attached| !attached.is_gone)
    }

    /// The drive.
    pub(crate) fn drive(&self) -> SimulatedDrive {
        self.drive.clone()
    }
}

impl Drop for Usage {
    fn drop(&mut self) {
        if let Some(attached) = self.devices.state().attached.get_mut(&self.first) {
            attached.users = attached.users.saturating_sub(1);
        }
    }
}
