//! Why a backup failed: the worker's error, and its cause in a type and numbers. The service acts on the cause, and words it
//! for all users itself.

use std::fmt;

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_receive::{ErrorKind, Failure, SpaceCause};
use serde::{Deserialize, Serialize};

/// Why a backup or a restore failed.
#[derive(Debug)]
pub(crate) enum BackupError {
    /// Before or after the transfer.
    Other(Explained),
    /// The receiver failed.
    Receive(Box<Failure>),
}

/// An error as a sentence without names: what happened, to what, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explained {
    pub kind: ErrorKind,
    pub sentence: String,
    /// The cause, if the service acts on it.
    pub cause: Option<BackupCause>,
}

impl BackupError {
    /// An error of this kind.
    pub(crate) fn new(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Self::Other(Explained { kind, sentence: sentence.into(), cause: None })
    }

    /// One of the causes that the service knows.
    pub(crate) fn because(cause: BackupCause) -> Self {
        let kind = match cause {
            BackupCause::NoRoom { .. } => ErrorKind::NoSpace,
            BackupCause::Destination(space) if space.is_full() => ErrorKind::NoSpace,
            BackupCause::Destination(_) => ErrorKind::Failed,
            BackupCause::SourceRefused(_)
            | BackupCause::FolderElsewhere
            | BackupCause::DriveNotBtrfs
            | BackupCause::SameFilesystem
            | BackupCause::Swapfile
            | BackupCause::PathTooLong
            | BackupCause::LogNotReplayed
            | BackupCause::Damaged { .. } => ErrorKind::Failed,
        };
        Self::Other(Explained { kind, sentence: cause.to_string(), cause: Some(cause) })
    }

    /// A file of the snapshot that is sent cannot be read.
    pub(crate) fn damaged(path: &[u8], on_drive: bool) -> Self {
        Self::about(path, BackupCause::Damaged { on_drive })
    }

    /// One of the causes that the service knows, and the file that it is about.
    pub(crate) fn about(path: &[u8], cause: BackupCause) -> Self {
        let sentence = format!("the file \"{}\": {cause}", path.escape_ascii());
        Self::Other(Explained { kind: ErrorKind::Failed, sentence, cause: Some(cause) })
    }

    /// A system call failed on the source's filesystem; `doing` completes "cannot …". The kind is always `Failed`, because the
    /// service takes all other kinds as errors of the drive.
    pub(crate) fn source(doing: &'static str) -> impl Fn(Fault) -> Self {
        move |fault| match Self::of_fault(doing, "the source's filesystem", fault) {
            Self::Other(error) => Self::new(ErrorKind::Failed, error.sentence),
            error @ Self::Receive(_) => error,
        }
    }

    /// A system call failed on the drive.
    pub(crate) fn drive(doing: &'static str) -> impl Fn(Fault) -> Self {
        move |fault| Self::of_fault(doing, "the drive", fault)
    }

    /// A system call failed on the volume of a restore.
    pub(crate) fn volume(doing: &'static str) -> impl Fn(Fault) -> Self {
        move |fault| Self::of_fault(doing, "the volume", fault)
    }

    /// An empty source that has subvolumes in it is called that.
    pub(crate) fn of_nothing_but_subvolumes(self, has_subvolumes: bool) -> Self {
        match &self {
            Self::Other(Explained { cause: Some(BackupCause::SourceRefused(SourceProblem::Empty)), .. })
                if has_subvolumes =>
            {
                Self::because(BackupCause::SourceRefused(SourceProblem::OnlySubvolumes))
            }
            Self::Other(_) | Self::Receive(_) => self,
        }
    }

    /// Whether the subvolume may have its name.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        matches!(self, Self::Receive(failure) if failure.error.is_unconfirmed())
    }

    /// Whether it may end if old snapshots on the drive are deleted.
    pub(crate) fn ends_by_pruning(&self) -> bool {
        match self {
            Self::Other(error) => error.kind == ErrorKind::NoSpace,
            // An unconfirmed subvolume has its name already and must not be sent again.
            Self::Receive(failure) => {
                let ends = failure.error.space_cause().is_none_or(SpaceCause::ends_by_deleting);
                ends && failure.error.kind() == ErrorKind::NoSpace && !failure.error.is_unconfirmed()
            }
        }
    }

    fn of_fault(doing: &str, place: &str, fault: Fault) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "errno has a hundred and thirty values")]
        let (kind, next) = match fault.errno {
            Errno::ENOSPC => (ErrorKind::NoSpace, "free some space there and start the job again"),
            Errno::EDQUOT => (ErrorKind::NoSpace, "raise the quota there and start the job again"),
            Errno::EROFS => (ErrorKind::ReadOnly, "see dmesg, remount it writable and start the job again"),
            Errno::EIO | Errno::ENODEV | Errno::ENXIO | Errno::ESHUTDOWN => (
                ErrorKind::DeviceGone,
                "check the device and its cable (btrfs device stats, dmesg), then start the job again",
            ),
            Errno::EAGAIN => {
                (ErrorKind::Busy, "wait until the balance or deduplication there has ended, then start the job again")
            }
            _ => (ErrorKind::Failed, "see dmesg for the kernel's reason and start the job again"),
        };
        Self::new(kind, format!("cannot {doing} on {place}: {fault}; {next}"))
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(error) => f.write_str(&error.sentence),
            Self::Receive(failure) => fmt::Display::fmt(failure, f),
        }
    }
}

/// A cause that the service acts on, or words for all users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupCause {
    /// The source cannot be backed up.
    SourceRefused(SourceProblem),
    /// The folder for snapshots is on another filesystem than the source.
    FolderElsewhere,
    /// The drive has no btrfs filesystem.
    DriveNotBtrfs,
    /// The drive and the source are the same filesystem.
    SameFilesystem,
    /// A file of the source is used as swap.
    Swapfile,
    /// A path of the source is longer than a stream can have.
    PathTooLong,
    /// A file of the snapshot that is sent cannot be read.
    Damaged {
        /// On the drive, in a restore; otherwise on the source's filesystem.
        on_drive: bool,
    },
    /// The kernel sends nothing from the drive, which is mounted without the log that a crash left on it.
    LogNotReplayed,
    /// The drive has too little space.
    NoRoom {
        /// The needed bytes, about.
        needed: u64,
        /// The free bytes.
        free: u64,
        /// Both are of metadata, otherwise of data.
        metadata: bool,
        /// Whether old snapshots were deleted before.
        pruning: Pruning,
        /// How many of its snapshots a person holds.
        #[serde(default)]
        held: u32,
    },
    /// The drive's filesystem refused to write for another reason than its space.
    Destination(SpaceCause),
}

/// Why a source cannot be backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceProblem {
    /// Its path cannot be opened.
    NotOpened,
    /// It is not on btrfs.
    NotBtrfs,
    /// It is a directory, not a subvolume.
    NoSubvolume,
    /// It has no uuid.
    WithoutUuid,
    /// It is another subvolume than before.
    Another,
    /// It is empty.
    Empty,
    /// There is nothing in it but subvolumes, which are not part of it.
    OnlySubvolumes,
}

/// Whether old snapshots were deleted before the space was found too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pruning {
    /// Not yet: a dry run deletes nothing.
    NotYet,
    /// All snapshots that the retention rule does not keep.
    Done,
    /// None, because the clock is not trusted.
    Stopped,
    /// None, because the backup would not fit on the empty drive.
    Useless,
}

impl fmt::Display for BackupCause {
    /// What happened and what to do next, without names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, free, metadata, pruning, held) = match self {
            Self::SourceRefused(problem) => return write!(f, "the source is {}", problem.description()),
            Self::FolderElsewhere => {
                return f.write_str(
                    "the folder for snapshots is on another filesystem than the source; correct `snapshots` in butterdock.toml",
                );
            }
            Self::DriveNotBtrfs => {
                return f.write_str(
                    "the drive has no btrfs filesystem; choose another drive, or forget this one (butterdock forget) and enrol it again with --format, which erases it",
                );
            }
            Self::SameFilesystem => {
                return f.write_str(
                    "the drive and the source are the same filesystem, which is no backup; choose another drive",
                );
            }
            Self::Swapfile => {
                return f.write_str(
                    "the source has an active swapfile, and the kernel makes no snapshot of it; move the swapfile into a subvolume \
                     of its own (btrfs subvolume create, btrfs filesystem mkswapfile), or switch it off with swapoff",
                );
            }
            Self::PathTooLong => {
                return f.write_str(
                    "a path of the source is longer than 4095 bytes, and btrfs send cannot send it; the job's error details name \
                     it: rename a directory on it, or move it up",
                );
            }
            Self::Damaged { on_drive: false } => {
                return f.write_str(
                    "a file of the source is damaged and cannot be read (dmesg); the job's error details name it: restore it \
                     from an older backup or delete it, then back up again",
                );
            }
            Self::Damaged { on_drive: true } => {
                return f.write_str(
                    "a file of the snapshot on the drive is damaged and cannot be read; the job's error details name it: \
                     restore another snapshot, or mount the drive and copy the other files; butterdock verify finds all \
                     damage on the drive",
                );
            }
            Self::LogNotReplayed => {
                return f.write_str(
                    "the kernel does not send a snapshot from a drive that is mounted without the log which a crash left on it; \
                     the problem of the drive (butterdock drives) says what to do about the log, or mount the drive (butterdock \
                     mount) and copy the files",
                );
            }
            Self::Destination(space) => return write!(f, "{space}; {}", space.advice()),
            Self::NoRoom { needed, free, metadata, pruning, held } => {
                (needed.div_ceil(1 << 20), free >> 20, metadata, pruning, held)
            }
        };
        let (what, next) = match pruning {
            Pruning::NotYet => (
                "the drive has too little free space now",
                "a backup first deletes old snapshots by the retention rule, and fails if that does not free enough: keep fewer \
                 snapshots, free some space on it, or use a larger drive",
            ),
            Pruning::Done => (
                "the drive is full even after old snapshots were deleted by the retention rule",
                "keep fewer snapshots, free some space on it, or use a larger drive",
            ),
            Pruning::Stopped => (
                "the drive is full, and old snapshots are not deleted while the clock is not trusted",
                "check the date and run butterdock trust-clock as root, or free some space on it",
            ),
            Pruning::Useless => (
                "the drive is full, and no old snapshots were deleted, because the backup would not fit without them either",
                "back up less, free some space on it, or use a larger drive",
            ),
        };
        write!(f, "{what}: ")?;
        // The estimate may be missing or too low.
        if needed > free {
            write!(f, "about {needed} MiB are needed and {free} MiB are free")?;
        } else {
            write!(f, "more MiB are needed than the {free} that are free")?;
        }
        let of = if *metadata { ", for metadata (names, attributes and small files)" } else { "" };
        write!(f, "{of}; {next}")?;
        match held {
            0 => Ok(()),
            1 => f.write_str("; 1 snapshot there is held: butterdock snapshots release lets the rule delete it"),
            held => {
                write!(f, "; {held} snapshots there are held: butterdock snapshots release lets the rule delete them")
            }
        }
    }
}

impl SourceProblem {
    fn description(self) -> &'static str {
        match self {
            Self::NotOpened => {
                "not there, perhaps because it is not mounted; mount it, or correct `source` in butterdock.toml, then run \
                 butterdock backup"
            }
            Self::NotBtrfs => {
                "not on btrfs, perhaps because it is not mounted; mount it, or correct `source` in butterdock.toml, then run \
                 butterdock backup"
            }
            Self::NoSubvolume => {
                "a folder and no subvolume, perhaps because it is not mounted; mount it, or correct `source` in butterdock.toml, \
                 then run butterdock backup"
            }
            Self::WithoutUuid => {
                "without a uuid (the top of an old filesystem has none); make a subvolume for the data and name it in \
                 butterdock.toml"
            }
            Self::Another => {
                "another subvolume than the one that was backed up before, so nothing was sent; mount the right one, or run \
                 butterdock backup NAME --new-source to back up this one from now on"
            }
            Self::OnlySubvolumes => {
                "nothing but other subvolumes, which a backup leaves out, so nothing was sent; set nested = \"include\" in \
                 butterdock.toml, or name each of them as the source of a backup of its own (butterdockd check-config names \
                 them)"
            }
            Self::Empty => {
                "empty, which is probably a mistake, so nothing was sent; mount the right subvolume, or put a file into it if it \
                 should be empty"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_has_the_needed_and_the_free_space() {
        let room = |metadata, needed| BackupCause::NoRoom {
            needed,
            free: (3 << 20) - 1,
            metadata,
            pruning: Pruning::Done,
            held: 0,
        };
        let data = room(false, (5 << 20) + 1).to_string();
        assert!(data.contains("about 6 MiB are needed and 2 MiB are free; "), "{data}");
        let metadata = room(true, (5 << 20) + 1).to_string();
        assert!(metadata.contains("2 MiB are free, for metadata (names, attributes and small files); "), "{metadata}");
        // Without an estimate, or with one that was too low.
        let unknown = room(false, 0).to_string();
        assert!(unknown.contains("more MiB are needed than the 2 that are free; "), "{unknown}");
    }

    #[test]
    fn every_cause_says_what_to_do() {
        let problems = [
            SourceProblem::NotOpened,
            SourceProblem::NotBtrfs,
            SourceProblem::NoSubvolume,
            SourceProblem::WithoutUuid,
            SourceProblem::Another,
            SourceProblem::Empty,
            SourceProblem::OnlySubvolumes,
        ];
        let rooms = [Pruning::NotYet, Pruning::Done, Pruning::Stopped, Pruning::Useless];
        let places = [BackupCause::FolderElsewhere, BackupCause::DriveNotBtrfs, BackupCause::SameFilesystem];
        let rooms = rooms.map(|pruning| BackupCause::NoRoom {
            needed: u64::MAX,
            free: u64::MAX,
            metadata: true,
            pruning,
            held: 2,
        });
        let refused = [
            SpaceCause::Data,
            SpaceCause::Metadata,
            SpaceCause::Attribute { size: 30_000, most: 16_228 },
            SpaceCause::Quota,
            SpaceCause::Device,
        ];
        let causes = problems.map(BackupCause::SourceRefused).into_iter().chain(rooms).chain(places);
        for cause in causes.chain(refused.map(BackupCause::Destination)) {
            let text = cause.to_string();
            assert!(text.contains("; ") && !text.contains('/'), "{text}");
        }
    }
}
