//! The command line. build.rs makes the man page and the completions from it, so this file knows clap alone.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};

/// Back up to plugged-in drives and receive btrfs backups through butterdock's service
///
/// Without a verb, `butterdock` shows the status.
#[derive(Debug, Parser)]
#[command(name = "butterdock", version, args_override_self = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) struct Args {
    /// Print JSON: one object, or one a line while watching
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the volumes, the drives and the jobs that are not done; the default
    Status,

    /// Receive a stream that btrfs send made into a volume, and watch
    Receive(Receive),

    /// List the jobs, those that ended minutes ago included
    Jobs,

    /// Watch one job, or every job, to the end
    Watch {
        /// The job's id, or its first digits; without it every job, until none is left
        #[arg(value_name = "JOB")]
        job: Option<String>,
    },

    /// Cancel a job; returns when nothing half-made is left
    Cancel {
        /// The job's id, or its first digits
        #[arg(value_name = "JOB")]
        job: String,
    },

    /// List the jobs that ended, the newest first
    History,

    /// List the volumes
    Volumes,

    /// List the subvolumes of a volume, or the snapshots on a drive
    Snapshots {
        /// The volume's name in the configuration
        #[arg(value_name = "VOLUME", required_unless_present = "drive")]
        volume: Option<String>,

        /// List what is on this drive instead
        #[arg(long, value_name = "DRIVE", conflicts_with = "volume")]
        drive: Option<String>,
    },

    /// List the drives that are attached
    Drives,

    /// Let a drive take this machine's backups
    Enrol(Enrol),

    /// Let a drive take no more backups; what is on it stays
    Forget {
        /// The drive's id, its first letters, its label or its device; also of a drive that is away
        #[arg(value_name = "DRIVE")]
        drive: String,
    },

    /// Unlock an encrypted drive
    Unlock {
        /// The drive's id, its first letters, its label or its device
        #[arg(value_name = "DRIVE")]
        drive: String,

        /// Read the key from this file, as it is, a newline at its end included; - is standard input
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key_file: Option<PathBuf>,
    },

    /// Mount an enrolled drive for root to look at, and print where; safely-remove ends it
    Mount {
        /// The drive's id, its first letters, its label or its device
        #[arg(value_name = "DRIVE")]
        drive: String,
    },

    /// Run the backups that go to a drive, and watch
    Backup {
        /// Only the backup of this name
        #[arg(long, value_name = "NAME")]
        backup: Option<String>,

        #[command(flatten)]
        on: OnDrive,
    },

    /// Make a drive safe to unplug, and say when it is
    SafelyRemove(OnDrive),

    /// Check everything on a drive against its checksums, and watch
    Verify(OnDrive),

    /// List the backups: what is due, and when was the last good one on which drive
    Backups {
        /// Work out what would be sent, too; this reads what changed and may take minutes
        #[arg(long)]
        dry_run: bool,
    },

    /// Say that the clock is right, so that old snapshots are deleted again
    TrustClock,

    /// Bring a snapshot from a drive into a volume, and watch
    Restore(Restore),

    /// Receive the stream files on a drive into a volume, and watch
    Import(Import),
}

/// What `enrol` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Enrol {
    /// The drive's id, its first letters, its label or its device
    #[arg(value_name = "DRIVE")]
    pub(crate) drive: String,

    /// Erase everything on the drive first, and make a new btrfs; asks for the drive's serial number
    #[arg(long)]
    pub(crate) format: bool,

    /// The new filesystem's label
    #[arg(long, value_name = "LABEL", requires = "format")]
    pub(crate) label: Option<String>,

    /// The drive's serial number (its size in bytes where it has none), in place of being asked for it
    #[arg(long, value_name = "SERIAL", requires = "format")]
    pub(crate) yes_erase: Option<String>,
}

/// What a verb that starts a job on a drive takes.
#[derive(Debug, clap::Args)]
pub(crate) struct OnDrive {
    /// The drive's id, its first letters, its label or its device
    #[arg(value_name = "DRIVE")]
    pub(crate) drive: String,

    /// Print the job's id and do not wait for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// What `restore` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The drive's id, its first letters, its label or its device
    #[arg(value_name = "DRIVE")]
    pub(crate) drive: String,

    /// The snapshot's name, its UUID or the first digits of that; `butterdock snapshots` lists them
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: OsString,

    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME")]
    pub(crate) volume: String,

    /// Give the subvolume this name instead of the snapshot's
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<OsString>,

    /// Print the job's id and do not wait for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// What `import` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The drive's id, its first letters, its label or its device
    #[arg(value_name = "DRIVE")]
    pub(crate) drive: String,

    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME", required_unless_present = "list")]
    pub(crate) volume: Option<String>,

    /// List what there is to import, and do nothing
    #[arg(long, conflicts_with_all = ["volume", "file", "verify", "detach"])]
    pub(crate) list: bool,

    /// Only the file of this name in the drive's folder
    #[arg(long, value_name = "NAME")]
    pub(crate) file: Option<OsString>,

    /// Decompress everything and refuse what does not decompress
    #[arg(long)]
    pub(crate) verify: bool,

    /// Print the job's id and do not wait for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// What `receive` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Receive {
    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME")]
    pub(crate) volume: String,

    /// The stream; - is standard input
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Give the subvolume this name instead of the sender's
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<OsString>,

    /// Decompress everything and refuse what does not decompress; always so for callers other than root
    #[arg(long)]
    pub(crate) verify: bool,

    /// Write compressed extents decompressed
    #[arg(long)]
    pub(crate) force_decompress: bool,

    /// Refuse a parent whose number differs from the one in the stream, also if it was not changed
    #[arg(long)]
    pub(crate) strict_parent: bool,

    /// Print the job's id and do not wait for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds() {
        Args::command().debug_assert();
    }

    #[test]
    fn without_a_verb_there_is_none_and_json_stands_anywhere() {
        let args = Args::try_parse_from(["butterdock"]).expect("understood");
        assert!(args.verb.is_none() && !args.json);
        assert!(Args::try_parse_from(["butterdock", "jobs", "--json"]).expect("understood").json);
        assert!(Args::try_parse_from(["butterdock", "--json", "jobs"]).expect("understood").json);
    }

    #[test]
    fn a_stream_comes_from_standard_input_unless_a_file_is_named() {
        let file = |words: &[&str]| match Args::try_parse_from(words).expect("understood").verb {
            Some(Verb::Receive(receive)) => receive.file,
            other => panic!("{other:?}"),
        };
        assert_eq!(file(&["butterdock", "receive", "tank"]), PathBuf::from("-"));
        assert_eq!(file(&["butterdock", "receive", "tank", "-"]), PathBuf::from("-"));
        assert_eq!(file(&["butterdock", "receive", "tank", "a", "--verify"]), PathBuf::from("a"));
    }
}
