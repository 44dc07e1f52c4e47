//! The arguments of `settings`, `volume` and `destination`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

/// Arguments of `settings`.
#[derive(Debug, clap::Args)]
#[command(disable_help_subcommand = true, subcommand_value_name = "CHANGE", subcommand_help_heading = "Changes")]
pub(crate) struct Settings {
    #[command(subcommand)]
    pub(crate) change: Option<SettingsChange>,
}

/// Changes of the settings outside of the lists.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingsChange {
    /// Change general settings (not those of a backup, volume or destination)
    Set {
        /// The keys as in butterdock.toml(5), those of a table with its name, such as `max_jobs=2` or
        /// `drives.on_finish=keep` or worker.nice=10; KEY= returns to the default
        #[arg(value_name = "KEY=VALUE", required = true)]
        values: Vec<String>,

        /// Only if the settings have this revision; `butterdock settings` shows it
        #[arg(long, value_name = "REVISION")]
        revision: Option<String>,
    },
}

/// Changes of the configured volumes.
#[derive(Debug, Subcommand)]
pub(crate) enum VolumeChange {
    /// Add a volume, into which streams are received and snapshots are restored, to the administrator's settings
    Add(AddVolume),

    /// Change settings of a volume
    Set(SetTable),

    /// Remove a volume; what is in it stays
    Remove(RemoveTable),
}

/// Changes of the configured destinations.
#[derive(Debug, Subcommand)]
pub(crate) enum DestinationChange {
    /// Add a destination of backups to the administrator's settings: a directory on a second btrfs filesystem of this machine, or
    /// another name for an enrolled drive
    Add(AddDestination),

    /// Change settings of a destination
    Set(SetTable),

    /// Remove a destination; its snapshots stay
    Remove(RemoveTable),
}

/// Arguments of `volume add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddVolume {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Its directory, on a btrfs filesystem; other programs mount it
    #[arg(value_name = "PATH", value_hint = ValueHint::DirPath)]
    pub(crate) path: PathBuf,

    /// The UUID of its filesystem: nothing is received while another one is mounted there (default: not compared)
    #[arg(long, value_name = "UUID")]
    pub(crate) uuid: Option<String>,
}

/// Arguments of `destination add`.
#[derive(Debug, clap::Args)]
pub(crate) struct AddDestination {
    /// Its name, for `--to` of a backup and for other commands
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// A directory on a btrfs filesystem of this machine; other programs mount it
    #[arg(long, value_name = "PATH", value_hint = ValueHint::DirPath, conflicts_with = "drive")]
    #[arg(required_unless_present = "drive")]
    pub(crate) volume: Option<PathBuf>,

    /// The UUID of the filesystem (default: that of the one that is mounted there now)
    #[arg(long, value_name = "UUID", requires = "volume")]
    pub(crate) uuid: Option<String>,

    /// The id or the label of an enrolled drive
    #[arg(long, value_name = "DRIVE")]
    pub(crate) drive: Option<String>,

    /// More settings, as of `destination set`
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) more: Vec<String>,
}

/// Arguments of `set` of a volume or a destination.
#[derive(Debug, clap::Args)]
pub(crate) struct SetTable {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// The keys as in butterdock.toml(5), such as path=/srv/pool; KEY= returns to the default
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) values: Vec<String>,

    /// Only if the settings have this revision; `butterdock settings` shows it
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
}

/// Arguments of `remove`.
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveTable {
    /// Its name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Only if the settings have this revision; `butterdock settings` shows it
    #[arg(long, value_name = "REVISION")]
    pub(crate) revision: Option<String>,
}
