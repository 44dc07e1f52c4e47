//! The arguments of the verbs about drives.

use std::path::PathBuf;

/// Arguments of `enrol`.
#[derive(Debug, clap::Args)]
pub(crate) struct Enrol {
    /// The drive's id, its first letters, its label (now or at its enrolment) or its device
    #[arg(value_name = "DRIVE")]
    pub(crate) drive: String,

    /// Erase everything on the drive, or on a disk with all its partitions, and make a new btrfs filesystem first; asks for the
    /// drive's serial number
    #[arg(long)]
    pub(crate) format: bool,

    /// Encrypt it (LUKS2) before the new filesystem is made; asks for a new passphrase, twice
    #[arg(long, requires = "format")]
    pub(crate) encrypt: bool,

    /// Read the passphrase of the encrypted drive, or its key, from this file (- is standard input); a newline at the end is part of it
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// Make a key file that only root can read, with which the service unlocks the encrypted drive when it is plugged in
    #[arg(long)]
    pub(crate) keep_key: bool,

    /// The new filesystem's label
    #[arg(long, value_name = "LABEL", requires = "format")]
    pub(crate) label: Option<String>,

    /// The drive's serial number (its size in bytes if it has none); skips the question
    #[arg(long, value_name = "SERIAL", requires = "format")]
    pub(crate) yes_erase: Option<String>,

    /// Unmount it first, if another program has it mounted: as root, or what your desktop mounted; not while files are open
    #[arg(long)]
    pub(crate) unmount: bool,

    /// Only enrol it: begin no backup, also where one is due
    #[arg(long)]
    pub(crate) no_backup: bool,
}

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The name of a configured destination; or a drive's id, its first letters, its label (now or at its enrolment) or its device
    #[arg(value_name = "DESTINATION")]
    pub(crate) destination: String,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Arguments of `safely-remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct SafelyRemove {
    /// The drive's id, its first letters, its label (now or at its enrolment) or its device
    #[arg(value_name = "DRIVE")]
    pub(crate) drive: String,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,

    /// Wait for the job that runs on the drive; no other begins on it, and queued ones end when the drive is safe
    #[arg(long)]
    pub(crate) when_idle: bool,
}
