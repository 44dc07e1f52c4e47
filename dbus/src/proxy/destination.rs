//! The proxy of the `Destination` interface.

use std::collections::HashMap;

use zbus::{OwnedFd, OwnedObjectPath, Variant, proxy};

use crate::deletion::DeletionEstimate;
use crate::destination::{DestinationKind, DestinationState, SnapshotRow, SnapshotsOfMachine};
use crate::error::Error;
use crate::files::{FileRow, FileVersionRow};
use crate::problem::Problem;

/// Where backups go: an enrolled drive, or a volume of this machine.
#[proxy(
    interface = "org.butterdock.Butterdock1.Destination",
    default_service = "org.butterdock.Butterdock1",
    assume_defaults = false
)]
pub trait Destination {
    /// Runs the configured backups of the destination; returns the first job. The options are
    /// [`BackupOptions`](crate::BackupOptions).
    #[zbus(allow_interactive_auth)]
    fn backup(&self, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// Reads all data on the destination and compares checksums; returns the job. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn verify(&self, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// The snapshots on the destination, newest first. The options are
    /// [`ListSnapshotsOptions`](crate::ListSnapshotsOptions).
    #[zbus(allow_interactive_auth)]
    fn list_snapshots(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<SnapshotRow>, Error>;

    /// Restores the snapshot with this UUID into a volume; returns the job. The options are
    /// [`RestoreOptions`](crate::RestoreOptions).
    #[zbus(allow_interactive_auth)]
    fn restore(
        &self,
        snapshot: &str,
        volume: &str,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<OwnedObjectPath, Error>;

    /// Lists a directory in a snapshot; returns the files, and whether there are more. The options are
    /// [`ListFilesOptions`](crate::ListFilesOptions).
    #[zbus(allow_interactive_auth)]
    fn list_files(
        &self,
        snapshot: &str,
        path: &[u8],
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<(Vec<FileRow>, bool), Error>;

    /// The snapshots in which a path exists, newest first. The options are
    /// [`FileVersionsOptions`](crate::FileVersionsOptions).
    #[zbus(allow_interactive_auth)]
    fn file_versions(&self, path: &[u8], options: HashMap<&str, Variant<'_>>) -> Result<Vec<FileVersionRow>, Error>;

    /// Reads a file in a snapshot; returns the end of a pipe, and the job that fills it. The options are
    /// [`OpenFileOptions`](crate::OpenFileOptions).
    #[zbus(allow_interactive_auth)]
    fn open_file(
        &self,
        snapshot: &str,
        path: &[u8],
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<(OwnedFd, OwnedObjectPath), Error>;

    /// Restores files from a snapshot; returns the job. The options are
    /// [`RestoreFilesOptions`](crate::RestoreFilesOptions).
    #[zbus(allow_interactive_auth)]
    fn restore_files(
        &self,
        snapshot: &str,
        paths: &[&[u8]],
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<OwnedObjectPath, Error>;

    /// What deleting the snapshots with these UUIDs frees and costs; deletes nothing. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn estimate_deletion(
        &self,
        snapshots: &[&str],
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<DeletionEstimate, Error>;

    /// Deletes the snapshots with these UUIDs in the background; returns the job. The options are
    /// [`DeleteOptions`](crate::DeleteOptions).
    #[zbus(allow_interactive_auth)]
    fn delete_snapshots(
        &self,
        snapshots: &[&str],
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<OwnedObjectPath, Error>;

    /// Holds the snapshot with this UUID, for a reason. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn hold_snapshot(&self, snapshot: &str, reason: &str, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Releases the snapshot with this UUID. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn release_snapshot(&self, snapshot: &str, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Unenrols the drive, attached or away; its data stays. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn forget(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Unpins the snapshots that the sources keep for the next increment to the destination. The options are
    /// [`UnpinOptions`](crate::UnpinOptions).
    #[zbus(allow_interactive_auth)]
    fn unpin(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Its name for display.
    #[zbus(property)]
    fn name(&self) -> zbus::Result<String>;

    /// What it is.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> zbus::Result<DestinationKind>;

    /// Its state.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<DestinationState>;

    /// What is wrong with it and with the backups to it.
    #[zbus(property)]
    fn problems(&self) -> zbus::Result<Vec<Problem>>;

    /// Free bytes when it was used last; 0 if unknown.
    #[zbus(property)]
    fn free(&self) -> zbus::Result<u64>;

    /// Its size in bytes; 0 if unknown.
    #[zbus(property)]
    fn size(&self) -> zbus::Result<u64>;

    /// The time of the last successful backup to it, in microseconds since 1970; 0 if never.
    #[zbus(property)]
    fn last_backup(&self) -> zbus::Result<u64>;

    /// The time of the end of the last complete verify, in microseconds since 1970; 0 if never.
    #[zbus(property)]
    fn last_verify(&self) -> zbus::Result<u64>;

    /// When its next verify begins by itself, in microseconds since 1970; 0 without `verify_every`.
    #[zbus(property)]
    fn next_verify(&self) -> zbus::Result<u64>;

    /// When its next backup is scheduled, in microseconds since 1970; 0 without a scheduled time.
    #[zbus(property)]
    fn next_run(&self) -> zbus::Result<u64>;

    /// Whether a backup to it is overdue.
    #[zbus(property)]
    fn overdue(&self) -> zbus::Result<bool>;

    /// The names of its configured backups, in the order in which they run.
    #[zbus(property)]
    fn backups(&self) -> zbus::Result<Vec<String>>;

    /// Which machines made the snapshots on it, as of its last use.
    #[zbus(property)]
    fn origins(&self) -> zbus::Result<Vec<SnapshotsOfMachine>>;
}
