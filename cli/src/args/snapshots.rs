//! The arguments of `snapshots` and its verbs.

use std::ffi::OsString;

use clap::Subcommand;

/// Arguments of `snapshots`.
#[derive(Debug, clap::Args)]
pub(crate) struct Snapshots {
    #[command(subcommand)]
    pub(crate) change: Option<SnapshotsVerb>,

    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME", required_unless_present_any = ["drive", "source"])]
    pub(crate) volume: Option<String>,

    /// List the snapshots on this destination instead: a drive, or the name of a configured destination
    #[arg(long, value_name = "DESTINATION", conflicts_with = "volume")]
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
    /// On this destination: its configured name; or a drive's id, its first letters, its label (now or at its enrolment) or its
    /// device
    #[arg(long, value_name = "DESTINATION")]
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
