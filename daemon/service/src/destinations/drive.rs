//! An enrolled drive as a destination.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use butterdock_btrfs::Error as Fault;

use super::{BackupFolder, BackupRecords, Destination, Space};
use crate::backups::{
    Backups, Identity, PairUuids, RecordUpdate, SharedRecord, SharedSnapshot, SnapshotOnDrive, UnpinReason,
    choose_folder, list_snapshots, make_beneath,
};
use crate::dir_handle::DirHandle;
use crate::drives::{DriveId, DriveManager, Lease};
use crate::types::Error;

/// The top directory of a mounted drive. A lease keeps the drive mounted meanwhile.
#[derive(Debug)]
pub(crate) struct DriveDestination {
    top: DirHandle,
    folder: Option<DirHandle>,
}

impl DriveDestination {
    /// Of a mounted drive.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub(crate) fn of(lease: &Lease) -> io::Result<Self> {
        Ok(Self::new(lease.root().try_clone_to_owned()?.into()))
    }

    pub(crate) fn new(top: DirHandle) -> Self {
        Self { top, folder: None }
    }
}

impl Destination for DriveDestination {
    fn list(&self, remembered: &Backups) -> Result<Vec<SnapshotOnDrive>, Fault> {
        list_snapshots(self.top.as_fd(), remembered)
    }

    fn space(&self) -> io::Result<Space> {
        Space::of(&self.top)
    }

    fn receive(&mut self, backup: &BackupFolder<'_>) -> Result<(), String> {
        let BackupFolder { path, backup, former, machine, is_remembered } = *backup;
        let path = choose_folder(self.top.as_fd(), path, backup, machine, former, is_remembered).map_err(|fault| {
            format!("cannot list the snapshots on the drive: {fault}; check the drive and its cable (dmesg)")
        })?;
        let folder = make_beneath(self.top.as_fd(), &path).map_err(|error| {
            let next = "rename the file that has this name, or correct `folder` in butterdock.toml";
            format!("the folder on the drive cannot be opened: {error}; {next}")
        })?;
        self.folder = Some(folder.into());
        Ok(())
    }

    fn directory(&self) -> BorrowedFd<'_> {
        self.folder.as_ref().unwrap_or(&self.top).as_fd()
    }

    fn is_on_drive(&self) -> bool {
        true
    }

    fn into_directories(self: Box<Self>) -> Vec<DirHandle> {
        self.folder.into_iter().chain([self.top]).collect()
    }
}

/// The records of the enrolment of a drive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DriveRecords<'l> {
    pub(crate) manager: &'l DriveManager,
    pub(crate) drive: &'l DriveId,
    pub(crate) lease: &'l Lease,
}

impl BackupRecords for DriveRecords<'_> {
    fn machine(&self) -> Identity {
        self.manager.machine()
    }

    fn destination(&self) -> String {
        self.drive.to_string()
    }

    fn known(&self, backup: &str) -> Result<(SharedRecord, bool), String> {
        self.lease.known(backup)
    }

    fn shared(&self, backup: &str) -> Vec<SharedSnapshot> {
        self.lease.shared(backup)
    }

    fn damaged(&self) -> Vec<Identity> {
        self.lease.damaged()
    }

    fn pins(&self, backup: &str) -> Vec<PairUuids> {
        self.manager.pins(backup)
    }

    fn unread_pins(&self, backup: &str) -> Option<String> {
        self.manager.unread_pins(backup)
    }

    fn unpinned(&self, backup: &str) -> Vec<Identity> {
        self.manager.unpinned(backup)
    }

    fn unpin_reason(&self, backup: &str) -> Option<UnpinReason> {
        self.manager.unpin_reason(self.drive, backup)
    }

    async fn backed_up(&self, backup: &str, learned: RecordUpdate, as_recorded: bool) -> Result<(), Error> {
        self.manager.backed_up(self.drive, backup, learned, as_recorded).await
    }

    async fn replaced(&self, backup: &str, there: Vec<Identity>) -> Result<(), Error> {
        self.manager.replaced(self.drive, backup, there).await
    }
}
