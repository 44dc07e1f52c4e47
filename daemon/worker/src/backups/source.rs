//! Checks the source: whether it is the configured subvolume, and whether it changed since the last backup.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

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

/// The paths of the active swapfiles in the subvolume of `source`; empty if they cannot be read.
pub(crate) fn active_in(source: impl AsFd) -> Vec<Vec<u8>> {
    let Ok(device) = file::stat(source).map(|stat| stat.dev) else { return Vec::new() };
    let is_here = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|facts| facts.dev() == device);
    let all = parse(&fs::read("/proc/swaps").unwrap_or_default());
    all.into_iter().filter(is_here).map(|path| path.as_os_str().as_bytes().to_vec()).collect()
}

/// The files in the text of `proc_swaps(5)`, without devices.
fn parse(text: &[u8]) -> Vec<PathBuf> {
    let lines = text.split(|&byte| byte == b'\n').skip(1);
    let file = |line: &[u8]| {
        let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let name = fields.next()?;
        (fields.next()? == b"file").then(|| PathBuf::from(OsString::from_vec(unescaped(name))))
    };
    lines.filter_map(file).collect()
}

/// The kernel writes white space and backslashes as three octal digits.
fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| first == b'\\' && digits.iter().all(u8::is_ascii_digit));
        let octal = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapfiles_are_listed_without_devices() {
        let text = b"Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition\t9\t0\t-2\n/home/my\\040swap file\t16380\t0\t-3\n";
        assert_eq!(parse(text), [PathBuf::from("/home/my swap")]);
        assert_eq!((parse(b""), parse(b"Filename\n\n")), (Vec::new(), Vec::new()));
        assert_eq!(unescaped(b"a\\134\\9\\400b"), b"a\\\\9\\400b");
    }
}
