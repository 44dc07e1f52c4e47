//! What a button does.

/// A button, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// Its words.
    pub label: String,
    /// What a screen reader says: the same, and what it is about.
    pub accessible: String,
    /// What it does.
    pub action: Action,
    /// Whether it is what a person most likely wants.
    pub is_suggested: bool,
}

/// What a button does; all paths are of the service's objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Opens the dialog that enrols a drive.
    AskEnrol {
        /// The drive.
        drive: String,
    },
    /// Opens the dialog that asks for the passphrase of a drive.
    AskUnlock {
        /// The drive.
        drive: String,
    },
    /// Makes a drive safe to unplug, after the job that runs on it.
    SafelyRemove {
        /// The drive.
        drive: String,
    },
    /// Runs the backups of a destination.
    RunAll {
        /// The destination.
        destination: String,
    },
    /// Runs a backup on a destination.
    Run {
        /// The backup.
        backup: String,
        /// The destination; without one on each.
        destination: Option<String>,
    },
    /// Verifies a destination.
    Verify {
        /// The destination.
        destination: String,
    },
    /// Cancels a job.
    Cancel {
        /// The job.
        job: String,
    },
}
