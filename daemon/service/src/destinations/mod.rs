//! Where backups go: an enrolled drive ([`DriveDestination`]) or a volume of this machine ([`VolumeDestination`]).
//!
//! A backup knows its destination by two traits alone: [`Destination`] is the place itself, [`BackupRecords`] what this
//! machine remembers of the backups on it. Streams that are passed by callers, restores and imports go into a volume through
//! the same [`Destination`].
//!
//! The worker does what can hang for long, with descriptors of the destination: it checks the free space against its
//! estimate, transfers, and deletes what the retention rule does not keep.

mod drive;
mod source_folder;
mod volume;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use butterdock_btrfs::Error as Fault;
use rustix::fs::fstatvfs;

use crate::backups::{
    Backups, Identity, PairUuids, RecordUpdate, SharedRecord, SharedSnapshot, SnapshotOnDrive, UnpinReason,
};
use crate::dir_handle::DirHandle;
use crate::types::Error;
use crate::worker::{Order, WorkerFds};

pub(crate) use drive::{DriveDestination, DriveRecords};
pub(crate) use source_folder::SourceFolder;
pub(crate) use volume::VolumeDestination;

/// An open place that receives subvolumes. Each method blocks while its filesystem does: call it on a thread of its own.
pub(crate) trait Destination: fmt::Debug + Send + Sync {
    /// Lists the snapshots on it, the newest first.
    ///
    /// # Errors
    /// It cannot be read.
    fn list(&self, remembered: &Backups) -> Result<Vec<SnapshotOnDrive>, Fault>;

    /// Its size and free space.
    ///
    /// # Errors
    /// The kernel does not say.
    fn space(&self) -> io::Result<Space>;

    /// Opens the folder of a backup, which is created if it is missing: workers receive into it from now on.
    ///
    /// # Errors
    /// A sentence for a person.
    fn receive(&mut self, backup: &BackupFolder<'_>) -> Result<(), String>;

    /// The directory that workers receive into: the top, until [`Self::receive`] opens another.
    fn directory(&self) -> BorrowedFd<'_>;

    /// The order to delete what killed workers left in the directory.
    fn delete(&self) -> (Order, WorkerFds<'_>) {
        (Order::Sweep, WorkerFds::destination(self.directory()))
    }

    /// Whether it goes away with the job's drive. Nothing is deleted there after an unplug.
    fn is_on_drive(&self) -> bool;

    /// The directories that it has open, to be closed.
    fn into_directories(self: Box<Self>) -> Vec<DirHandle>;
}

/// The sentence for a process that has as many descriptors open as it may.
pub(crate) fn no_descriptor(error: &io::Error) -> String {
    format!("cannot start a worker ({error}); wait until other jobs have ended, then start the job again")
}

/// Closes all directories of a destination. A caller that learns of the job's end may unmount at once.
pub(crate) async fn close(place: Box<dyn Destination>) {
    for directory in place.into_directories() {
        directory.close().await;
    }
}

/// The folder of a backup on its destination.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BackupFolder<'b> {
    /// As configured.
    pub(crate) path: &'b Path,
    pub(crate) backup: &'b str,
    /// The names that the backup had before.
    pub(crate) former: &'b [String],
    /// This machine: the folder of another is not used.
    pub(crate) machine: Identity,
    /// Whether this machine has made the backup there before.
    pub(crate) is_remembered: bool,
}

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) size: u64,
    /// What can still be written, as the filesystem estimates it.
    pub(crate) free: u64,
}

impl Space {
    /// That of the filesystem that the directory is on.
    pub(crate) fn of(directory: impl AsFd) -> io::Result<Self> {
        let facts = fstatvfs(directory)?;
        let bytes = |blocks: u64| blocks.saturating_mul(facts.f_frsize);
        Ok(Self { size: bytes(facts.f_blocks), free: bytes(facts.f_bavail) })
    }
}

/// What this machine remembers of the backups on one destination.
pub(crate) trait BackupRecords: Sync {
    /// This machine, as records on destinations have it.
    fn machine(&self) -> Identity;

    /// The id of the destination, unique on this machine.
    fn destination(&self) -> String;

    /// What is remembered of a backup there, and whether version 1 recorded it.
    ///
    /// # Errors
    /// The record cannot be read: a sentence.
    fn known(&self, backup: &str) -> Result<(SharedRecord, bool), String>;

    /// All snapshots that this machine shares with the destination, those of the backup first.
    fn shared(&self, backup: &str) -> Vec<SharedSnapshot>;

    /// The snapshots there in which a verify found damage: they are no parents.
    fn damaged(&self) -> Vec<Identity>;

    /// What all destinations need for their next increment of the backup, as far as it can be read.
    fn pins(&self, backup: &str) -> Vec<PairUuids>;

    /// Why that is not known of all destinations: a sentence. Then nothing may be deleted beside the source.
    fn unread_pins(&self, backup: &str) -> Option<String>;

    /// The snapshots beside the source that were unpinned for other destinations or this one.
    fn unpinned(&self, backup: &str) -> Vec<Identity>;

    /// Why the snapshot that the source shared with the destination was unpinned, if it was.
    fn unpin_reason(&self, backup: &str) -> Option<UnpinReason>;

    /// Records a successful backup, durably. `as_recorded` says that it built on a snapshot that was as recorded, and found
    /// no replaced one.
    fn backed_up(
        &self,
        backup: &str,
        learned: RecordUpdate,
        as_recorded: bool,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Records, durably, that the snapshots with these uuids are not those that this machine sent.
    fn replaced(&self, backup: &str, there: Vec<Identity>) -> impl Future<Output = Result<(), Error>> + Send;
}
