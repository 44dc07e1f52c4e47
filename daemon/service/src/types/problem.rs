//! What is wrong with a backup or a drive, as a code and parameters. `Display` words it in English, for front ends that do
//! not word it themselves.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::drive::Condition;
use super::drive_problem::DriveProblem;
use super::error::{Error, ErrorCode};

/// What is wrong with a backup or a drive, shown until it is over. It holds no file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The service does not use the drive, or its last use failed.
    Drive(DriveProblem),
    /// The last use of the drive did not end well. It holds a condition that is not sound.
    Unsound(Condition),
    /// A verify found damage on the drive, and none has found it good since.
    Damaged {
        /// Blocks that cannot be read.
        blocks: u64,
        /// The files that they are in,
        files: u64,
        /// and the snapshots of these.
        snapshots: u64,
        /// When, in microseconds since 1970.
        time: u64,
    },
    /// A disk of the drive says that it is failing.
    SmartFailing,
    /// Another machine replaced or changed snapshots of these backups on the drive.
    SnapshotsReplaced {
        /// The names of the backups.
        backups: Vec<String>,
    },
    /// A backup should have run on the drive, and did not, or not to its end.
    NotDone {
        /// The name of the backup.
        backup: String,
        /// Its last attempt.
        attempt: Attempt,
    },
    /// The backup goes to no enrolled drive.
    NoDrive,
    /// The record of the backup on the drive cannot be read.
    RecordUnreadable {
        /// Why, and what to do.
        sentence: String,
    },
    /// The record of the destination cannot be written, so no backup to it is possible.
    RecordUnwritable {
        /// Why, and what to do.
        sentence: String,
    },
    /// The files of enrolled drives cannot be read: what these drives need is not known.
    EnrolmentUnreadable {
        /// The ids of the drives.
        drives: Vec<String>,
    },
    /// The destination was not verified for far longer than `verify_every`.
    VerifyOverdue {
        /// For how long, and what to do.
        sentence: String,
    },
    /// The source has less free space than `source_reserve`.
    SourceLowSpace {
        /// How much, what deleting the snapshots would free, and what to do.
        sentence: String,
    },
    /// An estimate was asked for: the next run would fail, or it cannot be estimated.
    WouldFail {
        /// Why, and what to do.
        sentence: String,
    },
}

/// An attempt at a backup that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// How it ended.
    pub end: AttemptEnd,
    /// The kind of its error.
    pub error: ErrorCode,
    /// Why, and what to do: without names.
    pub reason: String,
    /// When, in microseconds since 1970.
    pub time: u64,
}

/// How an attempt at a backup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// It failed.
    Failed,
    /// It was not accepted as a job.
    NotBegun,
    /// The service was stopped meanwhile.
    Interrupted,
}

impl Attempt {
    /// The backup was refused as a job, at `time` in microseconds since 1970.
    #[must_use]
    pub fn not_begun(time: u64, error: &Error) -> Self {
        Self { end: AttemptEnd::NotBegun, error: error.code(), reason: error.to_string(), time }
    }
}

impl Problem {
    /// What it is, for a program.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Drive(problem) => problem.code.word(),
            Self::Unsound(Condition::Sound | Condition::ReadOnly) => "drive-became-read-only",
            Self::Unsound(Condition::Unplugged) => "drive-unplugged-in-use",
            Self::Unsound(Condition::Unsaved) => "drive-lost-writes",
            Self::Damaged { .. } => "drive-damaged",
            Self::SmartFailing => "drive-failing",
            Self::SnapshotsReplaced { .. } => "snapshots-replaced",
            Self::NotDone { attempt, .. } => match attempt.end {
                AttemptEnd::Failed => "backup-failed",
                AttemptEnd::NotBegun => "backup-not-begun",
                AttemptEnd::Interrupted => "backup-interrupted",
            },
            Self::NoDrive => "no-drive",
            Self::RecordUnreadable { .. } => "record-unreadable",
            Self::RecordUnwritable { .. } => "record-unwritable",
            Self::EnrolmentUnreadable { .. } => "enrolment-unreadable",
            Self::SourceLowSpace { .. } => "source-low-space",
            Self::VerifyOverdue { .. } => "verify-overdue",
            Self::WouldFail { .. } => "would-fail",
        }
    }

    /// Whether it is shown with this backup, when it is a problem of the drive.
    #[must_use]
    pub fn concerns(&self, name: &str) -> bool {
        match self {
            Self::NotDone { backup, .. } => backup == name,
            Self::SnapshotsReplaced { backups } => backups.iter().any(|backup| backup == name),
            Self::VerifyOverdue { .. } => false,
            Self::Drive(_)
            | Self::Unsound(_)
            | Self::Damaged { .. }
            | Self::SmartFailing
            | Self::NoDrive
            | Self::RecordUnreadable { .. }
            | Self::RecordUnwritable { .. }
            | Self::EnrolmentUnreadable { .. }
            | Self::SourceLowSpace { .. }
            | Self::WouldFail { .. } => true,
        }
    }

    /// Whether it is wrong on every destination of the backup.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        match self {
            Self::NoDrive | Self::EnrolmentUnreadable { .. } | Self::SourceLowSpace { .. } => true,
            Self::Drive(_)
            | Self::Unsound(_)
            | Self::Damaged { .. }
            | Self::SmartFailing
            | Self::SnapshotsReplaced { .. }
            | Self::NotDone { .. }
            | Self::RecordUnreadable { .. }
            | Self::RecordUnwritable { .. }
            | Self::VerifyOverdue { .. }
            | Self::WouldFail { .. } => false,
        }
    }

    /// Several problems in one sentence; empty if there is none.
    #[must_use]
    pub fn sentence(problems: &[Self]) -> String {
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; also, ")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drive(problem) => f.write_str(&problem.english),
            Self::RecordUnreadable { sentence }
            | Self::RecordUnwritable { sentence }
            | Self::SourceLowSpace { sentence }
            | Self::VerifyOverdue { sentence }
            | Self::WouldFail { sentence } => f.write_str(sentence),
            Self::Unsound(condition) => f.write_str(condition.sentence()),
            Self::Damaged { blocks, files, snapshots, time: _ } => write!(
                f,
                "a verify found damage on the drive: {} cannot be read, in {} and {}; the error details of that job name \
                 the files. The next backup sends everything again, beside the damaged snapshots. Replace the drive, or \
                 delete the damaged snapshots; this problem stays until a verify finds no damage",
                counted(*blocks, "block"),
                counted(*files, "file"),
                counted(*snapshots, "snapshot"),
            ),
            Self::SmartFailing => f.write_str(
                "the drive says that it is failing (SMART), and may lose its data at any time; back up to another drive, and \
                 replace this one",
            ),
            Self::SnapshotsReplaced { backups } => write!(
                f,
                "snapshots of {} on the drive differ from what this machine sent: another machine replaced or changed \
                 them, and the service neither uses nor deletes them; find out which machine did that, check the \
                 snapshots on the drive (butterdock snapshots --drive), and back up again. This problem stays until an \
                 increment has used an unchanged snapshot as parent",
                listed(backups)
            ),
            Self::NotDone { backup, attempt } => {
                let (backup, reason) = (backup.escape_debug(), &attempt.reason);
                match attempt.end {
                    AttemptEnd::Failed => write!(f, "the last backup \"{backup}\" to this destination failed: {reason}"),
                    AttemptEnd::NotBegun => write!(f, "the backup \"{backup}\" to this destination did not begin: {reason}"),
                    AttemptEnd::Interrupted => {
                        write!(f, "the last backup \"{backup}\" to this destination was interrupted: {reason}")
                    }
                }
            }
            Self::EnrolmentUnreadable { drives } => {
                let (drives, ids) = (counted(drives.len() as u64, "enrolled drive"), drives.join(", "));
                write!(
                    f,
                    "the records of {drives} cannot be read ({ids}; the journal says why), so the service does not know \
                     which snapshots they need: no snapshot beside the sources is deleted meanwhile. Plug in the drive \
                     and enrol it again (butterdock enrol), or forget it (butterdock forget ID)"
                )
            }
            Self::NoDrive => f.write_str("it has no enrolled drive; enrol one, or correct `to` in the configuration"),
        }
    }
}

/// `1 file`, or `2 files`.
fn counted(number: u64, one: &str) -> String {
    format!("{number} {one}{}", if number == 1 { "" } else { "s" })
}

/// `the backup "a"`, or `the backups "a", "b" and "c"`.
fn listed(backups: &[String]) -> String {
    let names: Vec<String> = backups.iter().map(|name| format!("\"{}\"", name.escape_debug())).collect();
    match names.split_last() {
        None => "a backup".to_owned(),
        Some((only, [])) => format!("the backup {only}"),
        Some((last, others)) => format!("the backups {} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(end: AttemptEnd) -> Attempt {
        let reason = "the source cannot be opened; mount it".to_owned();
        Attempt { end, error: ErrorCode::Failed, reason, time: 7 }
    }

    #[test]
    fn a_problem_of_one_backup_is_not_shown_with_another() {
        let not_done = Problem::NotDone { backup: "home".to_owned(), attempt: attempt(AttemptEnd::Failed) };
        let replaced = Problem::SnapshotsReplaced { backups: vec!["etc".to_owned(), "home".to_owned()] };
        let drive = Problem::Drive(DriveProblem::other(ErrorCode::Failed, "it is write-protected"));
        let shown = |name| [&not_done, &replaced, &drive].map(|problem| problem.concerns(name));
        assert_eq!((shown("home"), shown("etc")), ([true, true, true], [false, true, true]));
        assert_eq!(shown("srv"), [false, false, true]);
    }

    #[test]
    fn every_attempt_has_its_code_and_names_the_backup() {
        for (end, code) in [
            (AttemptEnd::Failed, "backup-failed"),
            (AttemptEnd::NotBegun, "backup-not-begun"),
            (AttemptEnd::Interrupted, "backup-interrupted"),
        ] {
            let problem = Problem::NotDone { backup: "home\n".to_owned(), attempt: attempt(end) };
            let text = problem.to_string();
            assert_eq!(problem.code(), code);
            assert!(text.contains("\"home\\n\"") && text.ends_with("mount it"), "{text}");
        }
    }

    #[test]
    fn an_unreadable_enrolment_names_the_drive_and_what_to_do() {
        let text = Problem::EnrolmentUnreadable { drives: vec!["7-7".to_owned()] }.to_string();
        assert!(text.contains("1 enrolled drive cannot be read (7-7;") && text.contains("butterdock forget"), "{text}");
        assert!(!text.contains('/'), "{text}");
    }

    #[test]
    fn damage_is_counted_without_a_path() {
        let problem = Problem::Damaged { blocks: 1, files: 2, snapshots: 1, time: 7 };
        let text = problem.to_string();
        assert!(text.contains("1 block cannot be read, in 2 files and 1 snapshot;") && !text.contains('/'), "{text}");
        assert!(problem.concerns("home"));
    }

    #[test]
    fn several_problems_hide_none() {
        let problem = |text: &str| Problem::Drive(DriveProblem::other(ErrorCode::Failed, text));
        assert_eq!(Problem::sentence(&[]), "");
        assert_eq!(Problem::sentence(&[problem("a"), problem("b")]), "a; also, b");
    }

    #[test]
    fn replaced_snapshots_name_their_backups_but_no_path() {
        let of = |names: &[&str]| {
            Problem::SnapshotsReplaced { backups: names.iter().map(|&name| name.to_owned()).collect() }.to_string()
        };
        let one = of(&["home"]);
        assert!(one.contains("the backup \"home\" on the drive") && one.contains("back up again"), "{one}");
        let both = of(&["etc", "home"]);
        assert!(both.contains("the backups \"etc\" and \"home\" on the drive") && !both.contains('/'), "{both}");
    }
}
