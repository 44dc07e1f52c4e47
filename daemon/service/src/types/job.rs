//! The kinds, states and results of jobs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state of a job. It only moves forward: queued, running, flushing, then one of the three ends. A job that has several
/// streams to receive is flushing at the end of each and running again after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It is queued.
    Queued,
    /// It reads and writes.
    Running,
    /// A subvolume was received completely and is being made durable.
    Flushing,
    /// Everything is durable.
    Succeeded,
    /// It ended with an error; what was published before it stays.
    Failed,
    /// Cancelled by a user or by the end of the service; what was published before stays.
    Cancelled,
}

/// How a requested backup differs from one of the schedule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// Everything is sent again.
    pub full: bool,
    /// The subvolume that is at the source's path now is the source from now on, whatever was backed up before.
    pub new_source: bool,
}

impl JobState {
    /// How it ended; none before.
    pub const fn result(self) -> Option<JobResult> {
        match self {
            Self::Queued | Self::Running | Self::Flushing => None,
            Self::Succeeded => Some(JobResult::Succeeded),
            Self::Failed => Some(JobResult::Failed),
            Self::Cancelled => Some(JobResult::Cancelled),
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Flushing => "flushing",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobResult {
    /// Everything is durable.
    Succeeded,
    /// It ended with an error.
    Failed,
    /// Cancelled by a user or by the end of the service.
    Cancelled,
}

impl From<JobResult> for JobState {
    fn from(result: JobResult) -> Self {
        match result {
            JobResult::Succeeded => Self::Succeeded,
            JobResult::Failed => Self::Failed,
            JobResult::Cancelled => Self::Cancelled,
        }
    }
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// It receives a stream into a volume.
    Receive,
    /// It sends what changed to a drive.
    Backup,
    /// It sends a snapshot from a drive into a volume.
    Restore,
    /// It reads everything on a drive and compares checksums.
    Verify,
    /// It makes a drive safe to unplug.
    Remove,
    /// It receives stream files that are on a drive into a volume.
    Import,
    /// It copies a file in a snapshot into a pipe.
    Read,
    /// It restores files from a snapshot.
    RestoreFiles,
    /// It deletes snapshots that a person chose.
    Delete,
}

impl JobKind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::Remove => "remove",
            Self::Import => "import",
            Self::Read => "read",
            Self::RestoreFiles => "restore-files",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a job began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// A drive was plugged in or enrolled, or the source of a backup that waited for it appeared.
    Plug,
    /// The time of its schedule has come.
    Schedule,
    /// This user asked for it.
    User(u32),
}

impl Trigger {
    /// The user whose limits it counts against; root for what the service begins by itself.
    pub const fn uid(self) -> u32 {
        match self {
            Self::Plug | Self::Schedule => 0,
            Self::User(uid) => uid,
        }
    }

    /// Whether the service begins it by itself.
    pub const fn is_automatic(self) -> bool {
        match self {
            Self::Plug | Self::Schedule => true,
            Self::User(_) => false,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plug => "plug",
            Self::Schedule => "schedule",
            Self::User(_) => "user",
        }
    }
}

/// Where the number of bytes to come is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TotalSource {
    /// It is not known; the total is 0.
    Unknown,
    /// The stream is a regular file, and this is its size.
    File,
    /// The caller said so. It may be wrong.
    Client,
    /// An estimate, from what changed or from how much of a drive is in use.
    Estimate,
}
