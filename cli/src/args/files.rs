//! The arguments of the verbs about files in snapshots, and of `restore`.

use std::ffi::OsString;

use clap::Subcommand;

/// The verbs about files in snapshots.
#[derive(Debug, Subcommand)]
pub(crate) enum FilesVerb {
    /// List the files in a snapshot; without a snapshot, list the snapshots
    Ls(Ls),

    /// Print a file in a snapshot
    Cat(Cat),

    /// List the versions of a file in the snapshots; successive snapshots with the same version are one row
    Versions(Versions),
}

/// Arguments of `ls`.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// The name of a configured destination; or a drive's id, its first letters, its label (now or at its enrolment) or its device;
    /// or the name of a backup, for the snapshots beside its source
    #[arg(value_name = "DESTINATION|BACKUP")]
    pub(crate) place: String,

    /// The snapshot's name, its UUID, the first digits of its UUID, or `latest` (default: list the snapshots)
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: Option<OsString>,

    /// The directory's path in the snapshot (default: its root)
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<OsString>,

    /// Read with the rights of root, not with yours, and on a drive also snapshots that this machine did not make
    #[arg(long)]
    pub(crate) as_root: bool,
}

/// Arguments of `cat`.
#[derive(Debug, clap::Args)]
pub(crate) struct Cat {
    /// The name of a configured destination; or a drive's id, its first letters, its label (now or at its enrolment) or its device;
    /// or the name of a backup, for the snapshots beside its source
    #[arg(value_name = "DESTINATION|BACKUP")]
    pub(crate) place: String,

    /// The snapshot's name, its UUID, the first digits of its UUID, or `latest`
    #[arg(value_name = "SNAPSHOT")]
    pub(crate) snapshot: OsString,

    /// The file's path in the snapshot
    #[arg(value_name = "PATH")]
    pub(crate) path: OsString,

    /// Read with the rights of root, not with yours, and on a drive also snapshots that this machine did not make
    #[arg(long)]
    pub(crate) as_root: bool,
}

/// Arguments of `versions`.
#[derive(Debug, clap::Args)]
pub(crate) struct Versions {
    /// The name of a configured destination; or a drive's id, its first letters, its label (now or at its enrolment) or its device;
    /// or the name of a backup, for the snapshots beside its source
    #[arg(value_name = "DESTINATION|BACKUP")]
    pub(crate) place: String,

    /// The file's path in the snapshots
    #[arg(value_name = "PATH")]
    pub(crate) path: OsString,

    /// Only in snapshots of the backup with this name
    #[arg(long, value_name = "NAME")]
    pub(crate) backup: Option<String>,

    /// Read with the rights of root, not with yours, and on a drive also snapshots that this machine did not make
    #[arg(long)]
    pub(crate) as_root: bool,
}

/// Arguments of `restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The name of a configured destination; or a drive's id, its first letters, its label (now or at its enrolment) or its device;
    /// with --file also the name of a backup, for the snapshots beside its source
    #[arg(value_name = "DESTINATION|BACKUP")]
    pub(crate) drive: String,

    /// The snapshot's name, its UUID, the first digits of its UUID, or `latest`; `butterdock snapshots` lists them
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
