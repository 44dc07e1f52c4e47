//! The plain types of the service's API; front ends such as the D-Bus server map them.

mod destination;
mod drive;
mod error;
mod job;
mod problem;

pub use destination::{
    DestinationId, DestinationKind, DestinationProperties, DestinationState, Maker, SnapshotsOfMachine,
};
pub use drive::{Condition, DriveHealth, DriveProperties, DriveState, EnrolOptions};
pub use error::{Error, ErrorCode};
pub use job::{BackupOptions, JobKind, JobResult, JobState, TotalSource};
pub use problem::{Attempt, AttemptEnd, Problem};

/// More of a secret than this is not read, in bytes.
pub const SECRET_MAX: usize = 65536;
/// More subvolumes of a volume than this are not listed.
pub const SUBVOLUMES_MAX: usize = 10_000;

/// The state of a configured backup on one enrolled drive; without a drive if it goes to none. It holds no file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupStatus {
    /// The configured name of the backup.
    pub name: String,
    /// Whether it would run if the drive were plugged in now.
    pub due: bool,
    /// The drive's id.
    pub drive: Option<String>,
    /// The drive's label.
    pub drive_label: Option<String>,
    /// What the configuration and commands call the drive.
    pub drive_names: Option<Vec<String>>,
    /// Whether the drive is attached.
    pub attached: Option<bool>,
    /// When it last succeeded on this drive, in microseconds since 1970; 0 never.
    pub last_good: Option<u64>,
    /// Why it cannot run, or did not; empty where nothing is wrong.
    pub problems: Vec<Problem>,
    /// How many bytes would be sent at most, where an estimate was asked for and could be made.
    pub estimate: Option<u64>,
    /// Whether only what changed would be sent. Only with `estimate`.
    pub incremental: Option<bool>,
    /// Why a full transfer would be needed, for a person.
    pub note: Option<String>,
    /// What a person has to know although it can run.
    pub warnings: Vec<Warning>,
    /// How many snapshots the backup has beside its source, when that was found out last.
    pub source_snapshots: Option<u64>,
    /// What deleting all of them would free, in bytes of data.
    pub source_held: Option<u64>,
}

impl Warning {
    /// Subvolumes below the source are not part of the backup.
    pub(crate) const LEFT_OUT: &str = "nested-left-out";

    pub(crate) fn left_out(sentence: Option<String>) -> Option<Self> {
        sentence.map(|english| Self { code: Self::LEFT_OUT, english })
    }
}

/// Something about a backup that a person has to know although it can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What it is, for a program.
    pub code: &'static str,
    /// The same in a sentence.
    pub english: String,
}
