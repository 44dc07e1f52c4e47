//! What the disks of the drives say of themselves (SMART). Another program asks the hardware; the service only matches its answers
//! to the drives.

use super::handle::DriveManager;
use super::table::DriveTable;
use crate::device::BlockDevice;
use crate::types::SmartReading;

impl DriveManager {
    /// From now on these are the disks of which something is known.
    pub fn set_smart(&self, known: &[SmartReading]) {
        let before = std::mem::replace(&mut self.lock().smart, known.to_vec());
        if before != known {
            self.review();
        }
    }
}

/// Whether one of the disks with these devices says that it is failing; none if nothing is known of them.
pub(super) fn is_failing(table: &DriveTable, devices: &[&BlockDevice]) -> Option<bool> {
    let known = devices.iter().filter_map(|device| reading(table, device));
    known.map(|reading| reading.is_failing).reduce(|one, other| one || other)
}

/// By the name of the disk and its serial number: the kernel gives a name to another disk later.
fn reading<'t>(table: &'t DriveTable, device: &BlockDevice) -> Option<&'t SmartReading> {
    let disk = device.disk().file_name()?;
    table.smart.iter().find(|reading| disk == reading.disk.as_str() && reading.serial == device.serial)
}
