//! The proxy of the `Backup` interface.

use std::collections::HashMap;

use zbus::{OwnedFd, OwnedObjectPath, Variant, proxy};

use crate::deletion::DeletionEstimate;
use crate::destination::SnapshotRow;
use crate::error::Error;
use crate::files::{FileRow, FileVersionRow};
use crate::problem::Problem;

/// A configured backup.
#[proxy(
    interface = "org.butterdock.Butterdock1.Backup",
    default_service = "org.butterdock.Butterdock1",
    assume_defaults = false
)]
pub trait Backup {
    /// Runs this backup, due or not; returns the first job. The options are [`RunOptions`](crate::RunOptions).
    #[zbus(allow_interactive_auth)]
    fn run(&self, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// The snapshots beside the source, newest first. The options are
    /// [`ListSnapshotsOptions`](crate::ListSnapshotsOptions).
    #[zbus(allow_interactive_auth)]
    fn list_snapshots(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<SnapshotRow>, Error>;

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

    /// The configured name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;

    /// Whether it may run.
    #[zbus(property)]
    fn enabled(&self) -> zbus::Result<bool>;

    /// The paths of its destinations, attached or away.
    #[zbus(property)]
    fn destinations(&self) -> zbus::Result<Vec<OwnedObjectPath>>;

    /// When it begins by itself.
    #[zbus(property)]
    fn schedule(&self) -> zbus::Result<Vec<String>>;

    /// Whether it would run on one of its destinations now, or when that is plugged in.
    #[zbus(property)]
    fn due(&self) -> zbus::Result<bool>;

    /// When its schedule begins it next, in microseconds since 1970; 0 if no time is scheduled.
    #[zbus(property)]
    fn next_run(&self) -> zbus::Result<u64>;

    /// The time of the last success by the path of the destination, in microseconds since 1970.
    #[zbus(property)]
    fn last_good(&self) -> zbus::Result<HashMap<OwnedObjectPath, u64>>;

    /// Whether its last success is too long ago.
    #[zbus(property)]
    fn overdue(&self) -> zbus::Result<bool>;

    /// What is wrong with it, and with its destinations as far as that concerns it.
    #[zbus(property)]
    fn problems(&self) -> zbus::Result<Vec<Problem>>;

    /// How many subvolumes below the source the last run left out.
    #[zbus(property)]
    fn left_out(&self) -> zbus::Result<u64>;

    /// How many snapshots it has beside its source.
    #[zbus(property)]
    fn source_snapshots(&self) -> zbus::Result<u64>;

    /// Bytes of data that deleting all of them would free; 0 if unknown.
    #[zbus(property)]
    fn source_freeable(&self) -> zbus::Result<u64>;
}
