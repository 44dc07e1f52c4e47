//! Checks the source: whether it is the configured subvolume, and whether it changed since the last backup.

use std::os::fd::{AsFd, BorrowedFd};

use butterdock_btrfs::subvolume::SubvolumeInfo;
use butterdock_btrfs::{Errno, Error as Fault, file, filesystem, names, subvolume};
use butterdock_receive::ErrorKind;

use super::cause::{BackupCause, SourceProblem};
use super::error::{BackupError, Said};
use super::shared_snapshots::{Origin, SharedPair};
use super::snapshot::Identity;

/// The source, looked at.
#[derive(Debug)]
pub(crate) struct Source<'f> {
    pub fd: BorrowedFd<'f>,
    pub origin: Origin,
}

impl<'f> Source<'f> {
    /// Looks at the directory that the configuration calls the source.
    ///
    /// When it is not mounted, the path leads to a folder of what is below; when somebody put another subvolume in its
    /// place, to that one. Both would be sent without a word, and in time thin out all that was ever kept.
    pub(crate) fn check(fd: BorrowedFd<'f>, expected: Option<Identity>) -> Result<Self, BackupError> {
        let refuse = |problem| Err(BackupError::because(BackupCause::SourceRefused(problem)));
        let look = BackupError::source("look at the source");
        if !filesystem::is_btrfs(fd).map_err(&look)? {
            return refuse(SourceProblem::NotBtrfs);
        }
        if !subvolume::is_root(&file::stat(fd).map_err(&look)?) {
            return refuse(SourceProblem::NoSubvolume);
        }
        let SubvolumeInfo { uuid, parent_uuid, .. } = subvolume::info(fd).map_err(&look)?;
        let origin = Origin { uuid: Identity(uuid), parent_uuid: Identity(parent_uuid) };
        if origin.uuid.known().is_none() {
            return refuse(SourceProblem::WithoutUuid);
        }
        if let Some(expected) = expected.filter(|&expected| expected != origin.uuid) {
            let cause = BackupCause::SourceRefused(SourceProblem::Another);
            let sentence = format!("{cause} (it is {}, and {expected} was backed up before)", origin.uuid);
            return Err(BackupError::Said(Said { kind: ErrorKind::Failed, sentence, cause: Some(cause) }));
        }
        if !holds_anything(fd).map_err(&look)? {
            return refuse(SourceProblem::Empty);
        }
        Ok(Self { fd, origin })
    }

    /// Writes out what is pending and answers whether the source is still what the pair is of: nothing to send.
    pub(crate) fn is_unchanged_since(&self, pair: &SharedPair<'_>) -> Result<bool, BackupError> {
        let look = BackupError::source("look for changes of the source");
        let SharedPair { source: snapshot, .. } = pair;
        // A snapshot has the ctransid of what it was made of, until it is changed itself.
        let of_it = snapshot.parent_uuid == self.origin.uuid && snapshot.ctransid <= snapshot.otransid;
        if !of_it || subvolume::info(self.fd).map_err(&look)?.ctransid != snapshot.ctransid {
            return Ok(false);
        }
        // What was written lately counts when it is on disk, and not before; where nothing can be written nothing is pending.
        match filesystem::sync(self.fd) {
            Ok(()) | Err(Fault { errno: Errno::EROFS, .. }) => {}
            Err(fault) => return Err(look(fault)),
        }
        Ok(subvolume::info(self.fd).map_err(&look)?.ctransid == snapshot.ctransid)
    }

    /// Whether a directory is on the same filesystem: only there can a snapshot be made.
    pub(crate) fn is_beside(&self, folder: impl AsFd) -> Result<bool, BackupError> {
        let look = BackupError::source("look at the folder for snapshots");
        if !filesystem::is_btrfs(&folder).map_err(&look)? {
            return Ok(false);
        }
        Ok(filesystem::info(&folder).map_err(&look)?.fsid == filesystem::info(self.fd).map_err(&look)?.fsid)
    }
}

/// Whether there is anything that would be sent: subvolumes inside are not.
fn holds_anything(source: BorrowedFd<'_>) -> Result<bool, Fault> {
    /// What a snapshot has in the place of a subvolume that was inside (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
    const PLACEHOLDER: u64 = 2;
    names::holds(source, |name| {
        // One that cannot be looked at is there in any case.
        file::stat_at(source, name).map_or(true, |stat| !subvolume::is_root(&stat) && stat.ino != PLACEHOLDER)
    })
}
