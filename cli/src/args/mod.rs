//! The command line. build.rs makes the man page and the completions from this folder, so it depends only on clap.

pub(crate) mod backup;
pub(crate) mod drives;
pub(crate) mod files;
pub(crate) mod settings;
pub(crate) mod snapshots;
pub(crate) mod streams;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};

use backup::Backup;
use drives::{Enrol, SafelyRemove, Verify};
use files::{FilesVerb, Restore};
use settings::{DestinationChange, Settings, VolumeChange};
use snapshots::Snapshots;
use streams::{Import, Receive};

/// Back up to drives and other filesystems, and receive btrfs streams, through butterdock's service
///
/// Without a verb, `butterdock` shows the status.
#[derive(Debug, Parser)]
#[command(name = "butterdock", version, args_override_self = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) struct Args {
    /// Print JSON: one object, or one per line while watching
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the volumes, the drives and the unfinished jobs (default)
    Status,

    /// Receive a stream of btrfs send into a volume, and watch the job
    Receive(Receive),

    /// List the jobs, including those that ended a few minutes ago
    Jobs,

    /// Watch one job or all jobs to the end
    Watch {
        /// The job's id or its first digits (default: all jobs, until none is left)
        #[arg(value_name = "JOB")]
        job: Option<String>,
    },

    /// Cancel a job; returns when no incomplete subvolume is left
    Cancel {
        /// The job's id, or its first digits
        #[arg(value_name = "JOB")]
        job: String,
    },

    /// List the finished jobs, newest first
    History(History),

    /// List the volumes
    Volumes,

    /// List the subvolumes of a volume, or the snapshots on a destination or beside a source; delete, hold and release snapshots
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Snapshots(Snapshots),

    /// List the drives: attached ones, and enrolled ones that are away
    Drives,

    /// Enrol a drive for this machine's backups, and begin those that are due
    Enrol(Enrol),

    /// Unenrol a drive, attached or away (its data stays); or forget what is recorded of another destination
    Forget {
        /// The name of a configured destination; or a drive's id, its first letters, its label (now or at its enrolment) or its device
        #[arg(value_name = "DESTINATION")]
        drive: String,
    },

    /// Unlock an encrypted drive
    Unlock {
        /// The drive's id, its first letters, its label (now or at its enrolment) or its device
        #[arg(value_name = "DRIVE")]
        drive: String,

        /// Read the key from this file; all bytes are the key, including a newline at the end; - is standard input
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        key_file: Option<PathBuf>,
    },

    /// Mount an enrolled drive for root and print the mount point; safely-remove unmounts it
    Mount {
        /// The drive's id, its first letters, its label (now or at its enrolment) or its device
        #[arg(value_name = "DRIVE")]
        drive: String,
    },

    /// Run the backups to a destination, or one backup to each of its destinations that is attached, and watch the jobs; or add,
    /// change, rename and remove backups
    ///
    /// A backup that is called add, set, rename or remove runs with `butterdock backup -- add`.
    Backup(Backup),

    /// Make a drive safe to unplug, and return when it is
    SafelyRemove(SafelyRemove),

    /// Check all data on a destination against its checksums, and watch the job
    Verify(Verify),

    /// List the backups: which are due, and the last good one on each destination
    Backups {
        /// Also estimate how much would be sent; this reads the changes and may take minutes
        #[arg(long)]
        dry_run: bool,
    },

    /// Unpin the snapshots that the sources keep for a destination; the next backup to it sends more, or everything
    Unpin {
        /// The name of a configured destination; or a drive's id, its first letters or its label; also while it is away
        #[arg(value_name = "DESTINATION")]
        drive: String,

        /// Only for the backup with this name
        #[arg(long, value_name = "NAME")]
        backup: Option<String>,
    },

    /// Confirm that the clock is right, so that pruning resumes
    TrustClock,

    /// Show the settings, and where each is from: the maker of the system, the administrator or the default; or change them
    Settings(Settings),

    /// List the channels for notifications, and test one
    #[command(disable_help_subcommand = true)]
    Notify {
        #[command(subcommand)]
        verb: Option<NotifyVerb>,
    },

    /// Add, change and remove volumes
    #[command(disable_help_subcommand = true, subcommand_value_name = "CHANGE", subcommand_help_heading = "Changes")]
    Volume {
        #[command(subcommand)]
        change: VolumeChange,
    },

    /// Add, change and remove destinations: volumes, and other names for enrolled drives (a drive needs only enrol)
    #[command(disable_help_subcommand = true, subcommand_value_name = "CHANGE", subcommand_help_heading = "Changes")]
    Destination {
        #[command(subcommand)]
        change: DestinationChange,
    },

    /// Print numbers for Prometheus: backups, destinations and jobs; does not start the service
    Metrics {
        /// Replace this file in one step instead, for the textfile collector of Prometheus: its name ends in .prom
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },

    /// Restore a snapshot into a volume, or files from a snapshot, and watch the job
    Restore(Restore),

    #[command(flatten)]
    Files(FilesVerb),

    /// Receive the stream files on a drive into a volume, and watch the job
    Import(Import),
}

/// Arguments of `history`.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// List up to this many jobs, 1 to 1000 (default: 200)
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<u64>,

    /// List only jobs that ended before this time: 2026-11-22, "2026-11-22 17:30" in local time, or a time as in JSON
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<String>,

    /// List only jobs on this destination: its name, or a drive's id or label; it need not be attached
    #[arg(long, value_name = "DESTINATION")]
    pub(crate) drive: Option<String>,

    /// List only jobs of the backup with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) backup: Option<String>,
}

/// The verbs of `notify`.
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyVerb {
    /// Send a test message over a channel, and say what happened
    Test {
        /// The name of the channel in the configuration
        #[arg(value_name = "NAME")]
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::backup::BackupChange;
    use super::*;

    #[test]
    fn clap_accepts_the_definition() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_verb_is_optional_and_json_may_stand_anywhere() {
        let args = Args::try_parse_from(["butterdock"]).expect("understood");
        assert!(args.verb.is_none() && !args.json);
        assert!(Args::try_parse_from(["butterdock", "jobs", "--json"]).expect("understood").json);
        assert!(Args::try_parse_from(["butterdock", "--json", "jobs"]).expect("understood").json);
    }

    #[test]
    fn a_backup_that_is_called_like_a_change_can_be_run() {
        let backup = |words: &[&str]| {
            let words = ["butterdock", "backup"].iter().chain(words);
            match Args::try_parse_from(words).map(|args| args.verb) {
                Ok(Some(Verb::Backup(backup))) => Some(backup),
                _ => None,
            }
        };
        for words in [&["home"][..], &["--", "add"], &["home", "--full"]] {
            assert!(
                backup(words).is_some_and(|backup| backup.change.is_none() && backup.target.is_some()),
                "{words:?}"
            );
        }
        let add = ["add", "home", "/home", "--to", "Blue", "--to", "Red", "protect=2d", "--daily", "02:00"];
        match backup(&add).and_then(|backup| backup.change) {
            Some(BackupChange::Add(add)) => assert_eq!((add.to.len(), add.more.len()), (2, 1)),
            other => panic!("{other:?}"),
        }
        for words in [&[][..], &["add", "home"], &["add", "home", "/home"], &["set", "home"], &["home", "add"]] {
            assert!(backup(words).is_none(), "{words:?}");
        }
    }

    #[test]
    fn receive_reads_standard_input_by_default() {
        let file = |words: &[&str]| match Args::try_parse_from(words).expect("understood").verb {
            Some(Verb::Receive(receive)) => receive.file,
            other => panic!("{other:?}"),
        };
        assert_eq!(file(&["butterdock", "receive", "tank"]), PathBuf::from("-"));
        assert_eq!(file(&["butterdock", "receive", "tank", "-"]), PathBuf::from("-"));
        assert_eq!(file(&["butterdock", "receive", "tank", "a", "--verify"]), PathBuf::from("a"));
    }
}
