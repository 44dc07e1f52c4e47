//! Why a backup failed, in a type and numbers. The service acts on it, and words it for everybody itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A cause that a person can do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupCause {
    /// The source is not one that a backup may be made of.
    SourceRefused(SourceProblem),
    /// The folder for snapshots is on another filesystem than the source.
    FolderElsewhere,
    /// The drive has no btrfs.
    DriveNotBtrfs,
    /// The drive and the source are one filesystem.
    SameFilesystem,
    /// The drive has too little room.
    NoRoom {
        /// How many bytes are needed, about.
        needed: u64,
        /// How many bytes are free.
        free: u64,
        /// What was deleted before.
        pruning: Pruning,
    },
}

/// What is wrong with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceProblem {
    /// It is on another filesystem than btrfs.
    NotBtrfs,
    /// It is a folder.
    NoSubvolume,
    /// It has no uuid.
    WithoutUuid,
    /// It is another subvolume than before.
    Another,
    /// There is nothing in it.
    Empty,
}

/// Whether old snapshots were deleted before the room was found too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pruning {
    /// Not yet: nothing is deleted for an estimate.
    NotYet,
    /// All that the rule keeps no longer.
    Done,
    /// None, because the clock is in doubt.
    Stopped,
}

impl fmt::Display for BackupCause {
    /// What happened and what to do next. It names nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (needed, free, pruning) = match self {
            Self::SourceRefused(problem) => return write!(f, "the source is {}", problem.words()),
            Self::FolderElsewhere => {
                return f.write_str(
                    "the folder for snapshots is on another filesystem than the source; correct `snapshots` in butterdock.toml",
                );
            }
            Self::DriveNotBtrfs => {
                return f.write_str(
                    "the drive has no btrfs filesystem; enrol it again with --format, or choose another drive",
                );
            }
            Self::SameFilesystem => {
                return f.write_str(
                    "the drive and the source are one filesystem, so nothing would be safer for it; choose another drive",
                );
            }
            Self::NoRoom { needed, free, pruning } => (needed.div_ceil(1 << 20), free >> 20, pruning),
        };
        let (what, next) = match pruning {
            Pruning::NotYet => (
                "the drive has too little room as it is",
                "a backup first deletes what the rule keeps no longer, and fails where that is not enough: keep fewer snapshots, \
                 free some space on it, or take a larger drive",
            ),
            Pruning::Done => (
                "the drive is full, also after what the rule keeps no longer was deleted",
                "keep fewer snapshots, free some space on it, or take a larger drive",
            ),
            Pruning::Stopped => (
                "the drive is full, and old snapshots are not deleted while the clock is in doubt",
                "check the date and run butterdock trust-clock as root, or free some space on it",
            ),
        };
        write!(f, "{what}: about {needed} MiB are needed and {free} MiB are free; {next}")
    }
}

impl SourceProblem {
    fn words(self) -> &'static str {
        match self {
            Self::NotBtrfs => {
                "not on btrfs, so perhaps it is not mounted; mount it, or correct `source` in butterdock.toml, then run butterdock \
                 backup"
            }
            Self::NoSubvolume => {
                "a folder and no subvolume, so perhaps it is not mounted; mount it, or correct `source` in butterdock.toml, then run \
                 butterdock backup"
            }
            Self::WithoutUuid => {
                "without a uuid (the top of an old filesystem has none); make a subvolume for what is to be backed up and name that \
                 one in butterdock.toml"
            }
            Self::Another => {
                "another subvolume than the one that was backed up before, so nothing was sent; mount the right one; if the new one \
                 is meant, remove the file that butterdockd check-config names for this backup, then run butterdock backup DRIVE"
            }
            Self::Empty => {
                "empty, which looks like a mistake, so nothing was sent; mount what belongs there, or put a file into it if it is \
                 meant to be empty"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_in_numbers() {
        let cause = BackupCause::NoRoom { needed: (5 << 20) + 1, free: (3 << 20) - 1, pruning: Pruning::Done };
        assert!(cause.to_string().contains("about 6 MiB are needed and 2 MiB are free; "), "{cause}");
    }

    #[test]
    fn every_cause_says_what_to_do() {
        let problems = [
            SourceProblem::NotBtrfs,
            SourceProblem::NoSubvolume,
            SourceProblem::WithoutUuid,
            SourceProblem::Another,
            SourceProblem::Empty,
        ];
        let rooms = [Pruning::NotYet, Pruning::Done, Pruning::Stopped];
        let places = [BackupCause::FolderElsewhere, BackupCause::DriveNotBtrfs, BackupCause::SameFilesystem];
        let rooms = rooms.map(|pruning| BackupCause::NoRoom { needed: u64::MAX, free: u64::MAX, pruning });
        for cause in problems.map(BackupCause::SourceRefused).into_iter().chain(rooms).chain(places) {
            let text = cause.to_string();
            assert!(text.contains("; ") && !text.contains('/'), "{text}");
        }
    }
}
