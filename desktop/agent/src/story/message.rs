//! What the story puts out.

use std::time::Duration;

/// What a message is about. A newer message about the same replaces the older one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// The drive at this path: its backup, its problem, or that it can be unplugged.
    Drive(String),
    /// A problem of the destination at this path, which is no drive.
    Destination(String),
    /// A problem of the backup at this path, whatever its destination.
    Backup(String),
    /// The backup at this path is overdue.
    Overdue(String),
    /// Whether the drive at this path is to be used for backups.
    Question(String),
    /// What an action on the object at this path led to.
    Answer(String),
}

/// An output of the story, in the order in which it is to be shown.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// A backup begins or goes on.
    Activity(Activity),
    /// The backup has ended, and its drive with it. A message about the drive, or its end, follows.
    ActivityEnded {
        /// As in [`Activity`].
        key: Key,
        /// Why it did not succeed.
        error: Option<String>,
    },
    /// A message.
    Show(Message),
    /// The message is not true any more.
    Close(Key),
    /// The story has to look again after this time, also if nothing changes.
    LookAgain(Duration),
}

/// A message. The texts are plain, one line each, and have no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) key: Key,
    pub(crate) title: String,
    pub(crate) body: String,
    pub(crate) buttons: Vec<Button>,
    pub(crate) tone: Tone,
    /// Whether it stays until it is closed by a person or by the story.
    pub(crate) stays: bool,
}

/// A button of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Button {
    pub(crate) label: String,
    pub(crate) action: Action,
}

/// What a button does; all paths are of the service's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Cancels a job.
    Cancel { job: String },
    /// Runs a backup, on each destination or on one.
    Run { backup: String, destination: Option<String> },
    /// Runs all backups of a destination.
    RunAll { destination: String },
    /// Verifies a destination.
    Verify { destination: String },
    /// Makes a drive safe to unplug.
    SafelyRemove { drive: String },
    /// Asks for the passphrase of a drive.
    Unlock { drive: String },
    /// Opens the window's enrolment of a drive; without a window enrols it as it is, and unmounts it first.
    Enrol { drive: String },
    /// Does not ask about the drive until it is plugged in again.
    NotNow { drive: String },
    /// Never asks about the drive again.
    Never { drive: String },
}

impl Action {
    /// The object that it is about.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Cancel { job } => job,
            Self::Run { backup, .. } => backup,
            Self::RunAll { destination } | Self::Verify { destination } => destination,
            Self::SafelyRemove { drive }
            | Self::Unlock { drive }
            | Self::Enrol { drive }
            | Self::NotNow { drive }
            | Self::Never { drive } => drive,
        }
    }
}

/// How a message looks and sounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// The drive can be unplugged.
    Safe,
    /// For information.
    Neutral,
    /// A person should do something.
    Warning,
    /// A backup failed, or data is in danger.
    Error,
}

/// A backup that runs, and what a progress bar shows of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Activity {
    pub(crate) key: Key,
    pub(crate) title: String,
    /// The name of the backup.
    pub(crate) backup: String,
    /// How far it is, as a sentence.
    pub(crate) body: String,
    /// Per cent, if a total is known. Never 100: the end is when the drive is safe.
    pub(crate) percent: Option<u32>,
    pub(crate) bytes: u64,
    /// 0 if unknown.
    pub(crate) total: u64,
    /// Bytes per second.
    pub(crate) rate: u64,
    /// The button that stops it, while that is possible.
    pub(crate) stop: Option<Button>,
}
