//! The folder for the snapshots of a source, as the place of a job.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use butterdock_btrfs::Error as Fault;

use super::{BackupFolder, Destination, Space};
use crate::backups::{Backups, SnapshotOnDrive, Task, list_beside};
use crate::dir_handle::DirHandle;

/// The folder, and what its snapshots are recognised by.
#[derive(Debug)]
pub(crate) struct SourceFolder {
    pub(crate) folder: DirHandle,
    /// The backup, with the lineage of its source and what all destinations need.
    pub(crate) task: Task,
}

impl Destination for SourceFolder {
    /// The records of destinations are in the task.
    fn list(&self, _remembered: &Backups) -> Result<Vec<SnapshotOnDrive>, Fault> {
        list_beside(self.folder.as_fd(), &self.task)
    }

    fn space(&self) -> io::Result<Space> {
        Space::of(&self.folder)
    }

    fn receive(&mut self, _backup: &BackupFolder<'_>) -> Result<(), String> {
        Err("the folder beside a source takes no backups; choose another destination".to_owned())
    }

    fn directory(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    fn is_on_drive(&self) -> bool {
        false
    }

    fn into_directories(self: Box<Self>) -> Vec<DirHandle> {
        vec![self.folder]
    }
}
