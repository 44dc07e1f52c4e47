//! Checks the source: whether it is the configured subvolume, and whether it changed since the last backup.

use std::os::fd::{AsFd, BorrowedFd};

use butterdock_btrfs::subvolume::SubvolumeInfo;
use butterdock_btrfs::{Errno, Error as Fault, file, filesystem, names, subvolume};
use butterdock_receive::ErrorKind;

use super::error::{BackupCause, BackupError, Explained, SourceProblem};
use super::lineage::{Kinship, Lineage, ancestors};
use super::nested::{EarlierRuns, NestedSubvolume, NestedSubvolumes};
use super::shared_snapshots::SharedPair;
use super::snapshot::Identity;

/// The lineage of a source that can be backed up, whichever it is; `None` if it cannot. With `include`, the subvolumes below it
/// are backed up too, without the `folder` for snapshots.
pub fn usable_source(fd: BorrowedFd<'_>, folder: Option<BorrowedFd<'_>>, include: bool) -> Option<Lineage> {
    let found = || NestedSubvolumes::find(fd, folder, true, EarlierRuns::default());
    let has_nested = include && found().is_ok_and(|found| !found.included.is_empty());
    Source::check(fd, &Lineage::default(), |_| false, has_nested).ok().map(|source| source.lineage)
}

/// The checked source.
#[derive(Debug)]
pub(crate) struct Source<'f> {
    pub fd: BorrowedFd<'f>,
    pub uuid: Identity,
    pub lineage: Lineage,
    /// It replaced the recorded one, and descends from it.
    pub is_continued: bool,
    /// It is read-only: it is sent as it is.
    pub is_read_only: bool,
}

impl<'f> Source<'f> {
    /// Checks the configured source directory, and compares it with the `recorded` one. `is_ours` says whether a subvolume is a
    /// snapshot that this backup made or restored. With `has_nested`, subvolumes below it are backed up too, so that it may be
    /// empty itself.
    ///
    /// If the source is not mounted, its path leads to a directory below the mount point; if another subvolume has replaced it,
    /// to that one. Without this check the wrong data would be sent, and retention would in time delete all good snapshots.
    pub(crate) fn check(
        fd: BorrowedFd<'f>,
        recorded: &Lineage,
        is_ours: impl Fn(Identity) -> bool,
        has_nested: bool,
    ) -> Result<Self, BackupError> {
        let refuse = |problem| Err(BackupError::because(BackupCause::SourceRefused(problem)));
        let look = BackupError::source("look at the source");
        if !filesystem::is_btrfs(fd).map_err(&look)? {
            return refuse(SourceProblem::NotBtrfs);
        }
        if !subvolume::is_root(&file::stat(fd).map_err(&look)?) {
            return refuse(SourceProblem::NoSubvolume);
        }
        let SubvolumeInfo { uuid, parent_uuid, .. } = subvolume::info(fd).map_err(&look)?;
        let (uuid, parent_uuid) = (Identity(uuid), Identity(parent_uuid));
        if uuid.known().is_none() {
            return refuse(SourceProblem::WithoutUuid);
        }
        let ancestors = ancestors(fd, parent_uuid).map_err(&look)?;
        let (lineage, kinship) = Lineage::after(recorded, uuid, &ancestors, is_ours);
        if let (Kinship::Stranger, Some(known)) = (kinship, recorded.sources.first()) {
            let cause = BackupCause::SourceRefused(SourceProblem::Another);
            let sentence = format!("{cause} (it is {uuid}, and {known} was backed up before)");
            return Err(BackupError::Other(Explained { kind: ErrorKind::Failed, sentence, cause: Some(cause) }));
        }
        if !has_nested && !has_content(fd).map_err(&look)? {
            return refuse(SourceProblem::Empty);
        }
        let is_read_only = subvolume::is_read_only(fd).map_err(&look)?;
        Ok(Self { fd, uuid, lineage, is_continued: kinship == Kinship::Continued, is_read_only })
    }

    /// A subvolume below the source, which belongs to it, whichever it is.
    pub(crate) fn nested(one: &'f NestedSubvolume) -> Result<Self, BackupError> {
        let (fd, uuid) = (one.fd.as_fd(), one.uuid);
        let ancestors =
            ancestors(fd, one.parent_uuid).map_err(BackupError::source("look at a subvolume below the source"))?;
        let lineage = Lineage { sources: vec![uuid], ancestors, ..Lineage::default() };
        Ok(Self { fd, uuid, lineage, is_continued: false, is_read_only: false })
    }

    /// Syncs the source and returns whether it has not changed since the shared snapshot was made.
    pub(crate) fn is_unchanged_since(&self, pair: &SharedPair<'_>) -> Result<bool, BackupError> {
        let look = BackupError::source("look for changes of the source");
        let SharedPair { source: snapshot, .. } = pair;
        if self.is_read_only {
            return Ok(snapshot.uuid == self.uuid);
        }
        // A snapshot has the ctransid of its source until it is changed itself.
        let of_it = snapshot.parent_uuid == self.uuid && snapshot.ctransid <= snapshot.otransid;
        if !of_it || subvolume::info(self.fd).map_err(&look)?.ctransid != snapshot.ctransid {
            return Ok(false);
        }
        // A recent write changes ctransid only when it is on disk. A read-only filesystem has no pending writes.
        match filesystem::sync(self.fd) {
            Ok(()) | Err(Fault { errno: Errno::EROFS, .. }) => {}
            Err(fault) => return Err(look(fault)),
        }
        Ok(subvolume::info(self.fd).map_err(&look)?.ctransid == snapshot.ctransid)
    }

    /// Whether a directory is on the source's filesystem, where snapshots can be made.
    pub(crate) fn is_beside(&self, folder: impl AsFd) -> Result<bool, BackupError> {
        let look = BackupError::source("look at the folder for snapshots");
        if !filesystem::is_btrfs(&folder).map_err(&look)? {
            return Ok(false);
        }
        Ok(filesystem::info(&folder).map_err(&look)?.fsid == filesystem::info(self.fd).map_err(&look)?.fsid)
    }
}

/// Whether the source itself has anything that would be sent: its subvolumes are other ones.
fn has_content(source: BorrowedFd<'_>) -> Result<bool, Fault> {
    /// The inode number that replaces a nested subvolume in a snapshot (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`).
    const PLACEHOLDER: u64 = 2;
    names::holds(source, |name| {
        // An entry that cannot be examined exists in any case.
        file::stat_at(source, name).map_or(true, |stat| !subvolume::is_root(&stat) && stat.ino != PLACEHOLDER)
    })
}
