//! A volume of this machine as a destination.

use std::io;
use std::os::fd::AsFd as _;

use butterdock_btrfs::Error as Fault;

use super::{BackupFolder, Destination, Space, copy};
use crate::backups::{Backups, OnDrive, make_beneath, on_drive};
use crate::dir_handle::DirHandle;
use crate::volumes::OpenVolume;
use crate::worker::{Handed, Order};

/// An open volume.
#[derive(Debug)]
pub(crate) struct VolumeDestination {
    volume: OpenVolume,
    folder: Option<DirHandle>,
}

impl VolumeDestination {
    pub(crate) fn new(volume: OpenVolume) -> Self {
        Self { volume, folder: None }
    }

    fn received(&self) -> &DirHandle {
        self.folder.as_ref().unwrap_or(&self.volume.directory)
    }
}

impl Destination for VolumeDestination {
    fn list(&self, remembered: &Backups) -> Result<Vec<OnDrive>, Fault> {
        on_drive(self.volume.as_fd(), remembered)
    }

    fn space(&self) -> io::Result<Space> {
        Space::of(&self.volume)
    }

    /// The volume is of this machine, so that its folder is the configured one.
    fn receive(&mut self, backup: Option<&BackupFolder<'_>>) -> Result<DirHandle, String> {
        if let Some(backup) = backup {
            let folder = make_beneath(self.volume.as_fd(), backup.path).map_err(|error| {
                let next = "rename the file that has this name, or correct `folder` in butterdock.toml";
                format!("the folder on the volume cannot be opened: {error}; {next}")
            })?;
            self.folder = Some(folder.into());
        }
        copy(self.received())
    }

    fn delete(&self) -> io::Result<(Order, Handed)> {
        Ok((Order::Sweep, [self.received().try_clone()?].into()))
    }

    fn into_directories(self: Box<Self>) -> Vec<DirHandle> {
        self.folder.into_iter().chain([self.volume.directory]).collect()
    }
}
