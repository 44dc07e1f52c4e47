//! A destination of backups at one moment.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::drive::DriveState;
use super::problem::Problem;

/// The id of a destination: of an enrolled drive that of the drive, of another destination its configured name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationId(pub String);

impl DestinationId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DestinationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DestinationKind {
    /// An enrolled drive.
    #[default]
    Drive,
    /// A volume of this machine.
    Volume,
}

/// The state of a destination; of an enrolled drive that of the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DestinationState {
    /// It is there, and no job uses it.
    Present,
    /// Encrypted, and not unlocked.
    Locked,
    /// Unlocked, and not mounted.
    Unlocked,
    /// Mounted by the service; no job uses it.
    Mounted,
    /// A job uses it.
    Busy,
    /// It can be unplugged; nothing is lost.
    Safe,
    /// It is not there.
    #[default]
    Away,
}

impl From<DriveState> for DestinationState {
    fn from(state: DriveState) -> Self {
        match state {
            DriveState::Present => Self::Present,
            DriveState::Locked => Self::Locked,
            DriveState::Unlocked => Self::Unlocked,
            DriveState::Mounted => Self::Mounted,
            DriveState::Busy => Self::Busy,
            DriveState::Safe => Self::Safe,
            DriveState::Away => Self::Away,
        }
    }
}

/// What is known of a destination. It holds no path. Times are microseconds since 1970; sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DestinationProperties {
    /// What callers call it.
    pub id: DestinationId,
    /// Its name for display: the label of a drive, which may be empty; the configured name of another destination.
    pub name: String,
    /// What it is.
    pub kind: DestinationKind,
    /// Its state.
    pub state: DestinationState,
    /// What is wrong with it, and with the backups to it.
    pub problems: Vec<Problem>,
    /// Bytes that were free when it was used last; 0 unknown.
    pub free: u64,
    /// Bytes that it has; 0 unknown.
    pub size: u64,
    /// When the last backup to it succeeded; 0 never.
    pub last_backup: u64,
    /// When the last verify of all its devices ended; 0 never.
    pub last_verify: u64,
    /// When the next verify of it begins by itself; 0 without `verify_every`.
    pub next_verify: u64,
    /// When the next backup to it is scheduled; 0 without a scheduled time.
    pub next_run: u64,
    /// Whether a backup to it is overdue.
    pub overdue: bool,
    /// The names of the configured backups that go to it, in the order in which they run.
    pub backups: Vec<String>,
    /// Which machines made the snapshots on it, as of its last use.
    pub origins: Vec<SnapshotsOfMachine>,
}

/// How many snapshots on a destination one machine made. It holds no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotsOfMachine {
    /// The machine; none of snapshots without a record, for example because another program made them.
    pub machine: Option<Maker>,
    /// How many.
    pub snapshots: u64,
    /// When the newest was made, in microseconds since 1970; 0 unknown.
    pub newest: u64,
}

/// A machine that made snapshots on a destination.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// This one.
    This,
    /// Another one, with its id on destinations.
    Other(String),
}

impl DestinationProperties {
    /// What is wrong with it, for a person; empty while nothing is.
    #[must_use]
    pub fn problem(&self) -> String {
        Problem::sentence(&self.problems)
    }
}
