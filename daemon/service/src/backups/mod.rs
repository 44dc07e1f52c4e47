//! The service's part of a backup, before its worker runs: opens the source and the folder for its snapshots, to pass them
//! to the worker. Blocks while their drive blocks: call it on a thread for which callers wait only up to a timeout.

mod folder;
mod left_over;

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use butterdock_btrfs::subvolume;

use crate::configured;

pub use butterdock_worker::backups::*;
pub(crate) use left_over::{LeftOver, left_over};

/// Why the directories of a backup could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotOpened {
    /// What, why, and what to do: one sentence, without a path.
    pub sentence: String,
    /// Where it is the source.
    pub cause: Option<BackupCause>,
}

impl From<String> for NotOpened {
    fn from(sentence: String) -> Self {
        Self { sentence, cause: None }
    }
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// The lineage of the subvolume at the path of a source, where it can be backed up; `None` if it cannot. `include` is whether the
/// subvolumes below it are backed up too. Blocks as [`open`] does.
pub(crate) fn find_source(source: &Path, snapshots: &Path, include: bool) -> Option<Lineage> {
    let from = open_source(source).ok()?;
    let folder = folder::existing(from.as_fd(), source, snapshots).ok().flatten();
    usable_source(from.as_fd(), folder.as_ref().map(OwnedFd::as_fd), include)
}

/// The lineage of the subvolume at the path of a source, without its record. Blocks as [`open`] does.
pub(crate) fn lineage_at(source: &Path) -> Option<Lineage> {
    lineage_of(open_source(source).ok()?.as_fd()).ok()
}

/// The source's directory, and the folder for its snapshots, which is made as a subvolume where it is missing. A read-only
/// subvolume is sent as it is, and takes the place of the folder.
pub(crate) fn open(source: &Path, snapshots: &Path) -> Result<(OwnedFd, OwnedFd), NotOpened> {
    let from = open_source(source)?;
    if is_read_only(&from) {
        let text = |error| NotOpened::from(format!("the source cannot be opened twice: {error}; start the job again"));
        let beside = from.try_clone().map_err(text)?;
        return Ok((from, beside));
    }
    let beside = folder::open(from.as_fd(), source, snapshots)
        .map_err(|why| NotOpened::from(format!("the folder for snapshots {why}")))?;
    Ok((from, beside))
}

/// The folder for the snapshots of a source, where the source is there and has one; makes nothing.
pub(crate) fn open_existing(source: &Path, snapshots: &Path) -> Option<OwnedFd> {
    let from = open_source(source).ok()?;
    folder::existing(from.as_fd(), source, snapshots).ok()?
}

/// The directory of a source, to restore files into.
///
/// # Errors
/// It cannot be opened, or other users can redirect its path.
pub(crate) fn open_to_restore(source: &Path) -> Result<OwnedFd, NotOpened> {
    open_source(source)
}

/// Which subvolumes below the source a backup leaves out, with their paths; none if there are none. What the caller cannot look
/// at is not reported: root may look at it.
pub(crate) fn left_out(source: &Path, snapshots: &Path, include: bool) -> Option<String> {
    let from = open_source(source).ok()?;
    let folder = folder::existing(from.as_fd(), source, snapshots).ok().flatten();
    let include = include && !is_read_only(&from);
    LeftOut::find(from.as_fd(), folder.as_ref().map(OwnedFd::as_fd), include).ok()?.sentence(true)
}

/// Why a backup would not send the source as things are, without a path.
///
/// # Errors
/// One sentence with what to do.
pub(crate) fn check_source(source: &Path, snapshots: &Path, include: bool) -> Result<(), String> {
    let from = open_source(source).map_err(|error| error.sentence)?;
    let folder = folder::existing(from.as_fd(), source, snapshots).ok().flatten();
    let usable = usable_source(from.as_fd(), folder.as_ref().map(OwnedFd::as_fd), include);
    usable.map(drop).ok_or_else(|| {
        "the source is not a btrfs subvolume, or is empty; name one that `btrfs subvolume show` knows".to_owned()
    })
}

/// Whether a source is on this filesystem, as far as the caller may look.
pub(crate) fn is_on(source: &Path, is_it: impl Fn([u8; 16]) -> bool) -> bool {
    let found = open_source(source).ok();
    found.and_then(|found| butterdock_btrfs::filesystem::info(&found).ok()).is_some_and(|info| is_it(info.fsid))
}

/// Why a backup would not use the folder for snapshots as things are, with its path; makes nothing. What cannot be looked at
/// by the caller is no reason: root may look at it.
///
/// # Errors
/// One sentence with what to do.
pub(crate) fn check_folder(source: &Path, snapshots: &Path) -> Result<(), String> {
    // A source that is away is away; perhaps the folder is not.
    let Ok(from) = open_source(source) else { return Ok(()) };
    if is_read_only(&from) {
        return Ok(());
    }
    let is_hidden = |error: &io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    match folder::check(from.as_fd(), source, snapshots) {
        Ok(()) => Ok(()),
        Err(folder::Unfit::Io(error)) if is_hidden(&error) => Ok(()),
        Err(why) => Err(format!("the folder for snapshots {} {why}", snapshots.display())),
    }
}

/// Whether the source is a read-only subvolume now, which is sent as it is.
pub(crate) fn is_snapshot(source: &Path) -> bool {
    open_source(source).is_ok_and(|source| is_read_only(&source))
}

fn is_read_only(source: &OwnedFd) -> bool {
    // Only the root of a subvolume has the flag.
    subvolume::is_read_only(source).unwrap_or_default()
}

/// A link on the path that others can exchange would lead root to another's files, and on to the drive.
fn open_source(path: &Path) -> Result<OwnedFd, NotOpened> {
    let opened = configured::find(path).and_then(|found| found.directory().map_err(configured::Error::Io));
    opened.map_err(|error| {
        let next = match error {
            configured::Error::Link => "set `source` in butterdock.toml to the directory that the link leads to",
            configured::Error::Io(_) => "mount it, or correct `source` in butterdock.toml",
        };
        let cause = Some(BackupCause::SourceRefused(SourceProblem::NotOpened));
        NotOpened { sentence: format!("the source cannot be opened: {error}; {next}"), cause }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileged_a_read_only_source_needs_no_folder() {
        let sandbox = butterdock_fixtures::Sandbox::new().expect("a sandbox");
        let volume = sandbox.volume("source", &Default::default()).expect("a volume");
        let (home, frozen) = (volume.join("home"), volume.join("frozen"));
        butterdock_fixtures::snapshot::create(&home).expect("a subvolume");
        butterdock_fixtures::snapshot::freeze(&home, &frozen).expect("a snapshot");
        let (from, beside) = open(&frozen, &frozen.join(".butterdock")).expect("opened");
        let inode = |fd: OwnedFd| rustix::fs::fstat(fd).map(|facts| (facts.st_dev, facts.st_ino)).expect("facts");
        assert_eq!(inode(from), inode(beside), "its folder is itself");
        assert_eq!(check_folder(&frozen, &frozen.join(".butterdock")), Ok(()));
        assert!(is_snapshot(&frozen) && !is_snapshot(&home) && !is_snapshot(Path::new("/proc")));
    }

    #[test]
    fn a_missing_file_is_reported_with_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = |source, snapshots| open(source, snapshots).expect_err("closed");
        let missing = open(Path::new("/nonexistent/x"), folder.path());
        assert!(missing.to_string().starts_with("the source cannot be opened: No such file"), "{missing}");
        // No subvolume can be made here.
        let missing = open(folder.path(), &Path::new("/proc").join("snapshots"));
        assert!(missing.to_string().contains("correct `snapshots` in butterdock.toml"), "{missing}");
    }
}
