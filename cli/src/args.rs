//! The command line. build.rs makes the man page and the completions from this file, so it depends only on clap.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};

/// Back up to drives and receive btrfs streams through butterdock's service
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

    /// List the subvolumes of a volume, or the snapshots on a drive or beside a source; delete, hold and release snapshots
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Snapshots(Snapshots),

    /// List the drives: attached ones, and enrolled ones that are away
    Drives,

    /// Enrol a drive for this machine's backups, and begin those that are due
    Enrol(Enrol),

    /// Unenrol a drive, attached or away (its data stays)
    Forget {
        /// The drive's id, its first letters, its label (now or at its enrolment) or its device
        #[arg(value_name = "DRIVE")]
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

    /// Run the backups of a drive, or one backup on its attached drives, and watch the jobs; or add, change and remove backups
    ///
    /// A backup that is called add, set or remove runs with `butterdock backup -- add`.
    Backup(Backup),

    /// Make a drive safe to unplug; returns when it is
    SafelyRemove(SafelyRemove),

    /// Check all data on a drive against its checksums, and watch the job
    Verify(OnDrive),

    /// List the backups: which are due, and the last good one on each drive
    Backups {
        /// Also estimate how much would be sent; this reads the changes and may take minutes
        #[arg(long)]
        dry_run: bool,
    },

    /// Give up the snapshots that the sources keep for a drive; the next backup to it sends everything
    Unpin {
        /// The drive's id, its first letters or its label; also while it is away
        #[arg(value_name = "DRIVE")]
        drive: String,

        /// Only for the backup with this name
        #[arg(long, value_name = "NAME")]
        backup: Option<String>,
    },

    /// Confirm that the clock is right, so that pruning resumes
    TrustClock,

    /// Show the settings, and where each is from: the maker of the system, the administrator or the default
    Settings,

    /// Restore a snapshot into a volume, or files from a snapshot, and watch the job
    Restore(Restore),

    #[command(flatten)]
    Files(FilesVerb),

    /// Receive the stream files on a drive into a volume, and watch the job
    Import(Import),
}

/// The verbs about files in snapshots.
#[derive(Debug, Subcommand)]
pub(crate) enum FilesVerb {
    /// List the files in a snapshot; without a snapshot, list the snapshots
    Ls(Ls),

    /// Print a file in a snapshot
    Cat(Cat),

    /// List the snapshots in which a file exists; equal neighbours are one version
    Versions(Versions),
}

/// Arguments of `snapshots`.
#[derive(Debug, clap::Args)]
pub(crate) struct Snapshots {
    #[command(subcommand)]
    pub(crate) change: Option<SnapshotsVerb>,

    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME", required_unless_present_any = ["drive", "source"])]
    pub(crate) volume: Option<String>,

    /// List the snapshots on this drive instead
    #[arg(long, value_name = "DRIVE", conflicts_with = "volume")]
    pub(crate) drive: Option<String>,

    /// List the snapshots beside the source of the backup with this name instead
    #[arg(long, value_name = "NAME", conflicts_with_all = ["volume", "drive"])]
    pub(crate) source: Option<String>,
}

/// The verbs of `snapshots`.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotsVerb {
    /// Delete snapshots of this machine, after a question, and watch the job; held ones are never deleted
    Delete(DeleteSnapshots),

    /// Hold a snapshot: no retention rule and no shortage of space deletes it, on no machine
    Hold(HoldSnapshot),

    /// Release a held snapshot: the rules may delete it from now on
    Release(ReleaseSnapshot),
}

/// Where the snapshots are.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SnapshotPlace {
    /// On this drive: its id, its first letters, its label (now or at its enrolment) or its device
    #[arg(long, value_name = "DRIVE")]
    pub(crate) drive: Option<String>,

    /// Beside the source of the backup with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
}

/// Arguments of `snapshots delete`.
#[derive(Debug, clap::Args)]
pub(crate) struct DeleteSnapshots {
    #[command(flatten)]
    pub(crate) place: SnapshotPlace,

    /// The snapshots' names, their UUIDs or the first digits of these; `butterdock snapshots` lists them
    #[arg(value_name = "SNAPSHOT", required = true)]
    pub(crate) snapshots: Vec<OsString>,

    /// Also delete a snapshot that is the parent of the next increment
    #[arg(long)]
    pub(crate) force: bool,

    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Arguments of `snapshots hold`.
#[derive(Debug, clap::Args)]
pub(crate) struct HoldSnapshot {
    #[command(flatten)]
    pub(crate) place: SnapshotPlace,

    /// The snapshot's name, its UUID or the first digits of its UUID
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: OsString,

    /// Why: a line that the list shows
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// Arguments of `snapshots release`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseSnapshot {
    #[command(flatten)]
    pub(crate) place: SnapshotPlace,

    /// The snapshot's name, its UUID or the first digits of its UUID
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: OsString,
}

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

    /// Read the passphrase of the encrypted drive, or its key, from this file (- is standard input); a line's end belongs to it
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

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "CHANGE", subcommand_help_heading = "Changes")]
pub(crate) struct Backup {
    #[command(subcommand)]
    pub(crate) change: Option<BackupChange>,

    /// The drive's label, its device or its id; or the name of a backup; or the first letters of a drive's id
    #[arg(value_name = "DRIVE|NAME", required = true)]
    pub(crate) target: Option<String>,

    /// Run only the backup with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) backup: Option<String>,

    /// Send everything again, also if nothing changed
    #[arg(long)]
    pub(crate) full: bool,

    /// Accept the subvolume that is at the source's path now, although another one was backed up before; needs the backup's name.
    /// The rule of the backup prunes the snapshots of both
    #[arg(long)]
    pub(crate) new_source: bool,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Changes of the configured backups.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupChange {
    /// Add a backup to the administrator's settings
    Add(AddBackup),

    /// Change settings of a backup
    Set(SetBackup),

    /// Remove a backup; its snapshots stay
    Remove {
        /// The name of the backup
        #[arg(value_name = "NAME")]
        name: String,

        /// Only if the settings have this revision; `butterdock settings` shows it
        #[arg(long, value_name = "REVISION")]
        revision: Option<String>,
    },
}

/// Arguments of `backup add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddBackup {
    /// Its name; the names of its snapshots begin with it
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The subvolume to back up
    #[arg(value_name = "SOURCE", value_hint = ValueHint::DirPath)]
    pub(crate) source: PathBuf,

    /// More settings, as of `backup set`
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) more: Vec<String>,

    /// The ids or labels of the drives to back up to
    #[arg(long, value_name = "DRIVE", required = true, num_args = 1..)]
    pub(crate) to: Vec<String>,

    /// When it runs: on-plug, hourly, "every 6h", "daily 02:00", "weekly sun 03:00", "monthly 1 03:00", or manual alone; may be repeated
    /// (default: on-plug)
    #[arg(long, value_name = "WHEN")]
    pub(crate) schedule: Vec<String>,

    /// Run it every day at this time
    #[arg(long, value_name = "HH:MM")]
    pub(crate) daily: Option<String>,

    /// How many snapshots to keep per period, such as daily=7,weekly=4
    #[arg(long, value_name = "PERIOD=COUNT,...")]
    pub(crate) keep: Option<String>,
}

/// Arguments of `backup set`.
#[derive(Debug, clap::Args)]
pub(crate) struct SetBackup {
    /// The name of the backup
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The keys as in butterdock.toml(5), such as to=Blue,Red or schedule=manual or keep=daily=7; KEY= returns to the default
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) values: Vec<String>,

    /// Only if the settings have this revision; `butterdock settings` shows it
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
}

/// Arguments of a verb that starts a job on a drive.
#[derive(Debug, clap::Args)]
pub(crate) struct OnDrive {
    /// The drive's id, its first letters, its label (now or at its enrolment) or its device
    #[arg(value_name = "DRIVE")]
    pub(crate) drive: String,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Arguments of `safely-remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct SafelyRemove {
    #[command(flatten)]
    pub(crate) on: OnDrive,

    /// Wait for the job that runs on the drive; no other begins on it, and queued ones end when the drive is safe
    #[arg(long)]
    pub(crate) when_idle: bool,
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

    /// List only jobs on this drive: its id or its label; it need not be attached
    #[arg(long, value_name = "DRIVE")]
    pub(crate) drive: Option<String>,

    /// List only jobs of the backup with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) backup: Option<String>,
}

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The drive's id, its first letters, its label (now or at its enrolment) or its device; with --file also the name of a backup,
    /// for the snapshots beside its source
    #[arg(value_name = "DRIVE|BACKUP")]
    pub(crate) drive: String,

    /// The snapshot's name, its UUID or the first digits of its UUID; `butterdock snapshots` lists them. With --file also
    /// `latest`
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: OsString,

    /// The volume's name in the configuration (with --file the default is the original places)
    #[arg(value_name = "VOLUME", required_unless_present = "file")]
    pub(crate) volume: Option<String>,

    /// Restore only this file or directory, by its path in the snapshot; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Vec<OsString>,

    /// If a file exists at its original place: `keep-both` (default; the restored one is named NAME.restored-DAY), `replace` or
    /// `fail`
    #[arg(long, value_name = "WHAT", requires = "file", conflicts_with = "volume")]
    #[arg(value_parser = ["keep-both", "replace", "fail"])]
    pub(crate) conflict: Option<String>,

    /// Name of the new subvolume (default: the snapshot's name), or with --file of the new folder in the volume (default:
    /// restored-DAY)
    #[arg(long = "as", value_name = "NAME", requires = "volume")]
    pub(crate) name: Option<OsString>,

    /// Read and write with the rights of root, not with yours
    #[arg(long, requires = "file")]
    pub(crate) as_root: bool,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Arguments of `ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// The drive's id, its first letters, its label (now or at its enrolment) or its device; or the name of a backup, for the
    /// snapshots beside its source
    #[arg(value_name = "DRIVE|BACKUP")]
    pub(crate) place: String,

    /// The snapshot's name, its UUID, the first digits of its UUID, or `latest` (default: list the snapshots)
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<OsString>,

    /// The directory's path in the snapshot (default: its root)
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<OsString>,

    /// Read with the rights of root, not with yours, and also snapshots that this machine did not make
    #[arg(long)]
    pub(crate) as_root: bool,
}

/// Arguments of `cat`.
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// The drive's id, its first letters, its label (now or at its enrolment) or its device; or the name of a backup, for the
    /// snapshots beside its source
    #[arg(value_name = "DRIVE|BACKUP")]
    pub(crate) place: String,

    /// The snapshot's name, its UUID, the first digits of its UUID, or `latest`
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: OsString,

    /// The file's path in the snapshot
    #[arg(value_name = "PATH")]
    pub(crate) path: OsString,

    /// Read with the rights of root, not with yours, and also snapshots that this machine did not make
    #[arg(long)]
    pub(crate) as_root: bool,
}

/// Arguments of `versions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Versions {
    /// The drive's id, its first letters, its label (now or at its enrolment) or its device; or the name of a backup, for the
    /// snapshots beside its source
    #[arg(value_name = "DRIVE|BACKUP")]
    pub(crate) place: String,

    /// The file's path in the snapshots
    #[arg(value_name = "PATH")]
    pub(crate) path: OsString,

    /// Only in snapshots of the backup with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) backup: Option<String>,

    /// Read with the rights of root, not with yours, and also snapshots that this machine did not make
    #[arg(long)]
    pub(crate) as_root: bool,
}

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The drive's id, its first letters, its label (now or at its enrolment) or its device
    #[arg(value_name = "DRIVE")]
    pub(crate) drive: String,

    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME", required_unless_present = "list")]
    pub(crate) volume: Option<String>,

    /// List the stream files and import nothing
    #[arg(long, conflicts_with_all = ["volume", "file", "verify", "detach"])]
    pub(crate) list: bool,

    /// Import only the file with this name in the drive's folder
    #[arg(long, value_name = "NAME")]
    pub(crate) file: Option<OsString>,

    /// Decompress every extent, and refuse a stream with one that does not decompress
    #[arg(long)]
    pub(crate) verify: bool,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Arguments of `receive`.
#[derive(Debug, clap::Args)]
pub(crate) struct Receive {
    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME")]
    pub(crate) volume: String,

    /// The stream file; - is standard input
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Name of the new subvolume (default: the name in the stream)
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<OsString>,

    /// Decompress every extent, and refuse a stream with one that does not decompress; always on for callers other than root
    #[arg(long)]
    pub(crate) verify: bool,

    /// Decompress compressed extents before writing them
    #[arg(long)]
    pub(crate) force_decompress: bool,

    /// Refuse a parent whose generation number differs from the one in the stream, even if it has not changed
    #[arg(long)]
    pub(crate) strict_parent: bool,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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
        let add = ["add", "home", "/home", "protect=2d", "--to", "Blue", "Red", "--daily", "02:00"];
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
