//! A volume of this machine as a destination.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use butterdock_btrfs::Error as Fault;

use super::{BackupFolder, Destination, Space};
use crate::backups::{Backups, SnapshotOnDrive, choose_folder, list_snapshots, make_beneath};
use crate::dir_handle::DirHandle;
use crate::volumes::OpenVolume;

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
}

impl Destination for VolumeDestination {
    fn list(&self, remembered: &Backups) -> Result<Vec<SnapshotOnDrive>, Fault> {
        list_snapshots(self.volume.as_fd(), remembered)
    }

    fn space(&self) -> io::Result<Space> {
        Space::of(&self.volume)
    }

    /// The volume is of this machine, so that its folder is the configured one, whatever is in it.
    fn receive(&mut self, backup: &BackupFolder<'_>) -> Result<(), String> {
        let BackupFolder { path, backup, former, machine, is_remembered: _ } = *backup;
        let path = choose_folder(self.volume.as_fd(), path, backup, machine, former, true)
            .map_err(|fault| format!("cannot list the snapshots on the volume: {fault}; check its drives (dmesg)"))?;
        let folder = make_beneath(self.volume.as_fd(), &path).map_err(|error| {
            let next = "rename the file that has this name, or correct `folder` in butterdock.toml";
            format!("the folder on the volume cannot be opened: {error}; {next}")
        })?;
        self.folder = Some(folder.into());
        Ok(())
    }

    fn directory(&self) -> BorrowedFd<'_> {
        self.folder.as_ref().unwrap_or(&self.volume.directory).as_fd()
    }

    fn is_on_drive(&self) -> bool {
        false
    }

    fn into_directories(self: Box<Self>) -> Vec<DirHandle> {
        self.folder.into_iter().chain([self.volume.directory]).collect()
    }
}
