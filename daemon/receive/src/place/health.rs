//! The filesystem's device error counters, before and after.

use std::os::fd::AsFd;

use butterdock_btrfs::filesystem::{self, DeviceErrors};
use butterdock_btrfs::{Errno, Error as Fault};

use crate::error::{Cause, Error};

/// More devices than this no filesystem has; a damaged `max_id` shall not keep us busy.
const DEVICES: u64 = 4096;

/// The counters of each device at one moment.
#[derive(Debug)]
pub(crate) struct Health {
    devices: Vec<(u64, DeviceErrors)>,
}

impl Health {
    /// Reads them.
    pub(crate) fn read(fd: impl AsFd) -> Result<Self, Error> {
        let ask = |fault| Error::call("read the device error counters", fault);
        let info = filesystem::info(&fd).map_err(ask)?;
        let mut devices = Vec::new();
        for id in 0..=info.max_id.min(DEVICES) {
            // Asking for the counters of a device that is not there writes a line into the kernel's log; this does not.
            if filesystem::device_info(&fd, id).map_err(ask)?.is_none() {
                continue;
            }
            match filesystem::device_errors(&fd, id) {
                Ok(errors) => devices.push((id, errors)),
                Err(Fault { errno: Errno::ENODEV, .. }) => {}
                Err(fault) => return Err(ask(fault)),
            }
        }
        Ok(Self { devices })
    }

    /// Compares: a write or a flush that failed since may have been one of ours.
    pub(crate) fn check(&self, fd: impl AsFd) -> Result<(), Error> {
        let now = Self::read(&fd)?;
        for (id, after) in &now.devices {
            let before = self.devices.iter().find(|(known, _)| known == id);
            let writes = after.write.saturating_sub(before.map_or(0, |(_, before)| before.write));
            let flushes = after.flush.saturating_sub(before.map_or(0, |(_, before)| before.flush));
            if writes != 0 || flushes != 0 {
                let path = filesystem::device_info(&fd, *id).ok().flatten().map(|device| device.path);
                let device = path.map_or_else(|| format!("{id}"), |path| path.escape_ascii().to_string());
                return Err(Error::new(Cause::Device { device, writes, flushes }));
            }
        }
        Ok(())
    }
}
