//! The arguments of `backup` and its changes.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use super::settings::RemoveTable;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "CHANGE", subcommand_help_heading = "Changes")]
pub(crate) struct Backup {
    #[command(subcommand)]
    pub(crate) change: Option<BackupChange>,

    /// The name of a configured destination; or a drive's label, its device or its id; or the name of a backup; or the first letters
    /// of a drive's id
    #[arg(value_name = "DESTINATION|BACKUP", required = true)]
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

    /// Give a backup another name; its snapshots, also those on drives that are away, and its history keep belonging to it
    Rename {
        /// The name of the backup
        #[arg(value_name = "NAME")]
        name: String,

        /// Its new name
        #[arg(value_name = "NEW_NAME")]
        new_name: String,

        /// Only if the settings have this revision; `butterdock settings` shows it
        #[arg(long, value_name = "REVISION")]
        revision: Option<String>,
    },

    /// Remove a backup; its snapshots stay
    Remove(RemoveTable),
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

    /// Where to back up to: the id or label of an enrolled drive, or the name of a configured destination; may be repeated
    #[arg(long, value_name = "DESTINATION", required = true)]
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
