//! The proxies: one Rust method for each method, property and signal of an interface.
//!
//! Calls fail with [`Error`]; [`Error::Named`] has the service's reason. Calls that may need a password set the flag that
//! allows polkit to ask for it.

use std::collections::HashMap;

use zbus::{Fd, OwnedFd, OwnedObjectPath, OwnedVariant, Variant, proxy};

use crate::authority::Permission;
use crate::deletion::DeletionEstimate;
use crate::destination::{DestinationKind, DestinationState, SnapshotRow, SnapshotsOfMachine};
use crate::drive::{DriveHealth, DriveState, MountRow, StreamRow};
use crate::error::Error;
use crate::files::{FileRow, FileVersionRow};
use crate::job::{ErrorDetails, JobKind, JobResult, JobState, TotalSource, Trigger};
use crate::manager::{BackupRow, HistoryEntry};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::volume::SubvolumeRow;

/// Start jobs by a volume's name, read the history, list the backups.
#[proxy(
    interface = "org.butterdock.Butterdock1.Manager",
    default_service = "org.butterdock.Butterdock1",
    default_path = "/org/butterdock/Butterdock1"
)]
pub trait Manager {
    /// Receives a stream into the volume with this name; returns the job, which may be queued. The options are
    /// [`ReceiveOptions`](crate::ReceiveOptions).
    #[zbus(allow_interactive_auth)]
    fn receive(
        &self,
        volume: &str,
        stream: Fd<'_>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<OwnedObjectPath, Error>;

    /// A page of the finished jobs, newest first. The options are [`ListHistoryOptions`](crate::ListHistoryOptions).
    fn list_history(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<HistoryEntry>, Error>;

    /// Whether the caller may do what each action guards, by the action's id without the prefix of the service; opens no password
    /// dialog. There are no options yet.
    fn get_permissions(&self, options: HashMap<&str, Variant<'_>>) -> Result<HashMap<String, Permission>, Error>;

    /// The configured backups, one row for each backup and drive. The options are
    /// [`ListBackupsOptions`](crate::ListBackupsOptions); an estimate may take minutes.
    #[zbus(allow_interactive_auth)]
    fn list_backups(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<BackupRow>, Error>;

    /// Reloads the configuration. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn reload(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Confirms that the clock is right, so that pruning resumes. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn trust_clock(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// The settings of both files, and the revision of the administrator's. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn get_settings(&self, options: HashMap<&str, Variant<'_>>) -> Result<(Settings, String), Error>;

    /// Changes keys of a `[[backup]]`, or makes one; returns the file's revision, and warnings. The options are
    /// [`SetOptions`](crate::SetOptions).
    #[zbus(allow_interactive_auth)]
    fn set_backup(
        &self,
        name: &str,
        values: HashMap<&str, Variant<'_>>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<(String, Vec<Problem>), Error>;

    /// Removes a `[[backup]]`; returns the file's revision. The options are [`RemoveOptions`](crate::RemoveOptions).
    #[zbus(allow_interactive_auth)]
    fn remove_backup(&self, name: &str, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// Changes keys of a `[[volume]]`, or makes one; returns the file's revision, and warnings. The options are
    /// [`SetOptions`](crate::SetOptions).
    #[zbus(allow_interactive_auth)]
    fn set_volume(
        &self,
        name: &str,
        values: HashMap<&str, Variant<'_>>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<(String, Vec<Problem>), Error>;

    /// Removes a `[[volume]]`; returns the file's revision. The options are [`RemoveOptions`](crate::RemoveOptions).
    #[zbus(allow_interactive_auth)]
    fn remove_volume(&self, name: &str, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// Changes keys of a `[[destination]]`, or makes one; returns the file's revision, and warnings. The options are
    /// [`SetOptions`](crate::SetOptions).
    #[zbus(allow_interactive_auth)]
    fn set_destination(
        &self,
        name: &str,
        values: HashMap<&str, Variant<'_>>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<(String, Vec<Problem>), Error>;

    /// Removes a `[[destination]]`; returns the file's revision. The options are [`RemoveOptions`](crate::RemoveOptions).
    #[zbus(allow_interactive_auth)]
    fn remove_destination(&self, name: &str, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// Changes keys outside of the lists; returns the file's revision. The options are [`SetOptions`](crate::SetOptions).
    #[zbus(allow_interactive_auth)]
    fn set_defaults(
        &self,
        values: HashMap<&str, Variant<'_>>,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<String, Error>;

    /// The service's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> zbus::Result<String>;

    /// Features beyond the first version of the contract.
    #[zbus(property(emits_changed_signal = "const"))]
    fn features(&self) -> zbus::Result<Vec<String>>;
}

/// A filesystem to receive into.
#[proxy(
    interface = "org.butterdock.Butterdock1.Volume",
    default_service = "org.butterdock.Butterdock1",
    assume_defaults = false
)]
pub trait Volume {
    /// Receives a stream into this volume; returns the job, which may be queued. The options are
    /// [`ReceiveOptions`](crate::ReceiveOptions).
    #[zbus(allow_interactive_auth)]
    fn receive(&self, stream: Fd<'_>, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// The subvolumes in the volume's directory. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn list_subvolumes(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<SubvolumeRow>, Error>;

    /// The configured name.
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> zbus::Result<String>;

    /// Size of the filesystem in bytes; 0 while it is not mounted.
    #[zbus(property)]
    fn size(&self) -> zbus::Result<u64>;

    /// Free bytes; 0 while it is not mounted. Up to one second old when read.
    #[zbus(property)]
    fn free(&self) -> zbus::Result<u64>;

    /// Whether the filesystem is mounted.
    #[zbus(property)]
    fn mounted(&self) -> zbus::Result<bool>;
}

/// A drive: attached, enrolled or not; or enrolled and away.
#[proxy(
    interface = "org.butterdock.Butterdock1.Drive",
    default_service = "org.butterdock.Butterdock1",
    assume_defaults = false
)]
pub trait Drive {
    /// Enrols the drive for this machine's backups. The options are [`EnrolOptions`](crate::EnrolOptions).
    #[zbus(allow_interactive_auth)]
    fn enrol(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Enrols an encrypted drive, or encrypts it first. The secret is as for [`unlock`](Self::unlock), the options are
    /// [`EnrolEncryptedOptions`](crate::EnrolEncryptedOptions).
    #[zbus(allow_interactive_auth)]
    fn enrol_encrypted(&self, secret: Fd<'_>, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Unlocks the drive with the passphrase or key that the service reads from the descriptor: all bytes to the end, up to
    /// [`SECRET_MAX`](crate::SECRET_MAX). There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn unlock(&self, secret: Fd<'_>, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Mounts the drive; returns the mount point, which only root may enter. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn mount(&self, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// Makes the drive safe to unplug; returns the job. The options are [`SafelyRemoveOptions`](crate::SafelyRemoveOptions).
    #[zbus(allow_interactive_auth)]
    fn safely_remove(&self, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// Where other programs have the drive mounted. There are no options yet.
    fn list_mounts(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<MountRow>, Error>;

    /// The stream files on the drive, in dependency order (parents first). There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn list_streams(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<StreamRow>, Error>;

    /// Receives stream files on the drive into a volume; returns the job. The options are
    /// [`ImportOptions`](crate::ImportOptions).
    #[zbus(allow_interactive_auth)]
    fn import(&self, volume: &str, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// The filesystem's label.
    #[zbus(property)]
    fn label(&self) -> zbus::Result<String>;

    /// What commands may call it: its id, its label, and its label at the enrolment.
    #[zbus(property)]
    fn names(&self) -> zbus::Result<Vec<String>>;

    /// Maker and model.
    #[zbus(property)]
    fn model(&self) -> zbus::Result<String>;

    /// The hardware's serial number.
    #[zbus(property)]
    fn serial(&self) -> zbus::Result<String>;

    /// The bus: `usb`, `ata`, `nvme` …
    #[zbus(property)]
    fn bus(&self) -> zbus::Result<String>;

    /// The kernel's name, such as `sdb1`; of several devices the first.
    #[zbus(property)]
    fn device(&self) -> zbus::Result<String>;

    /// The kernel's name of the disk that it is on.
    #[zbus(property)]
    fn disk(&self) -> zbus::Result<String>;

    /// Size of that disk in bytes.
    #[zbus(property)]
    fn disk_size(&self) -> zbus::Result<u64>;

    /// The kernel's names of all its devices that are attached.
    #[zbus(property)]
    fn devices(&self) -> zbus::Result<Vec<String>>;

    /// How many devices its filesystem has.
    #[zbus(property)]
    fn device_count(&self) -> zbus::Result<u64>;

    /// Size of all its devices in bytes.
    #[zbus(property)]
    fn size(&self) -> zbus::Result<u64>;

    /// The filesystem: `btrfs`, `ext4` …
    #[zbus(property)]
    fn filesystem_type(&self) -> zbus::Result<String>;

    /// The filesystem's UUID.
    #[zbus(property)]
    fn filesystem_uuid(&self) -> zbus::Result<String>;

    /// Whether it is encrypted with LUKS.
    #[zbus(property)]
    fn encrypted(&self) -> zbus::Result<bool>;

    /// The drive's state.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<DriveState>;

    /// Whether another program has it mounted.
    #[zbus(property)]
    fn mounted_by_others(&self) -> zbus::Result<bool>;

    /// Why the service does not use it, its last error, and damage on it.
    #[zbus(property)]
    fn problems(&self) -> zbus::Result<Vec<Problem>>;

    /// What changed about it without being a problem; empty without a note.
    #[zbus(property)]
    fn note(&self) -> zbus::Result<String>;

    /// Whether an administrator has enrolled it for this machine's backups.
    #[zbus(property)]
    fn enrolled(&self) -> zbus::Result<bool>;

    /// When an enrolled drive was last seen attached, in microseconds since 1970; 0 if it is not enrolled.
    #[zbus(property)]
    fn last_seen(&self) -> zbus::Result<u64>;

    /// What is known of its health.
    #[zbus(property)]
    fn health(&self) -> zbus::Result<DriveHealth>;
}

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

    /// Gives up the snapshots that the sources keep for the next increment to the destination. The options are
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
    fn source_held(&self) -> zbus::Result<u64>;
}

/// One piece of work with progress and an end.
#[proxy(
    interface = "org.butterdock.Butterdock1.Job",
    default_service = "org.butterdock.Butterdock1",
    assume_defaults = false
)]
pub trait Job {
    /// Cancels the job; returns when the work has stopped and no incomplete subvolume is left. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn cancel(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// The job's error, including names that properties must not contain. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn get_error_details(&self, options: HashMap<&str, Variant<'_>>) -> Result<ErrorDetails, Error>;

    /// The job has ended. Emitted exactly once while the service runs.
    #[zbus(signal)]
    fn completed(&self, result: JobResult, details: HashMap<String, OwnedVariant>) -> zbus::Result<()>;

    /// The job's kind.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> zbus::Result<JobKind>;

    /// Its volume; [`path::NONE`](crate::path::NONE) without one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn volume(&self) -> zbus::Result<OwnedObjectPath>;

    /// Its drive; [`path::NONE`](crate::path::NONE) without one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn drive(&self) -> zbus::Result<OwnedObjectPath>;

    /// The label of its drive at the request; empty without one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn drive_label(&self) -> zbus::Result<String>;

    /// The destination of backups that it writes to or reads from; [`path::NONE`](crate::path::NONE) without one.
    #[zbus(property(emits_changed_signal = "const"))]
    fn destination(&self) -> zbus::Result<OwnedObjectPath>;

    /// The name of the configured backup; empty unless the kind is `backup`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn backup_name(&self) -> zbus::Result<String>;

    /// Why it began.
    #[zbus(property(emits_changed_signal = "const"))]
    fn trigger(&self) -> zbus::Result<Trigger>;

    /// The user who started it; root unless the trigger is `user`.
    #[zbus(property(emits_changed_signal = "const"))]
    fn started_by_uid(&self) -> zbus::Result<u32>;

    /// The time of the request, in microseconds since 1970.
    #[zbus(property(emits_changed_signal = "const"))]
    fn start_time(&self) -> zbus::Result<u64>;

    /// The job's state.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<JobState>;

    /// 0 to 1; never goes back.
    #[zbus(property)]
    fn progress(&self) -> zbus::Result<f64>;

    /// Whether a total is known, and so whether the progress is valid.
    #[zbus(property)]
    fn progress_valid(&self) -> zbus::Result<bool>;

    /// Bytes read of the stream.
    #[zbus(property)]
    fn bytes_received(&self) -> zbus::Result<u64>;

    /// Bytes of the stream that are safe on disk if the drive is unplugged now.
    #[zbus(property)]
    fn bytes_durable(&self) -> zbus::Result<u64>;

    /// Bytes of the whole stream; 0 if unknown.
    #[zbus(property)]
    fn bytes_total(&self) -> zbus::Result<u64>;

    /// The source of the total.
    #[zbus(property)]
    fn total_source(&self) -> zbus::Result<TotalSource>;

    /// Bytes per second, over the last few seconds.
    #[zbus(property)]
    fn rate(&self) -> zbus::Result<u64>;

    /// The estimated end, in microseconds since 1970; 0 if unknown.
    #[zbus(property)]
    fn expected_end_time(&self) -> zbus::Result<u64>;

    /// Compressed extents that were written without decompressing them.
    #[zbus(property)]
    fn encoded_writes(&self) -> zbus::Result<u64>;

    /// Compressed extents that were decompressed because the kernel refused the encoded write, and clones that were copied.
    #[zbus(property)]
    fn fallback_writes(&self) -> zbus::Result<u64>;

    /// Whether the current transfer is an increment.
    #[zbus(property)]
    fn incremental(&self) -> zbus::Result<bool>;

    /// A remark in English; empty without a remark.
    #[zbus(property)]
    fn note(&self) -> zbus::Result<String>;

    /// Whether the job can still be cancelled.
    #[zbus(property)]
    fn cancelable(&self) -> zbus::Result<bool>;

    /// The error's name with its prefix; empty without an error.
    #[zbus(property)]
    fn error_name(&self) -> zbus::Result<String>;

    /// An English sentence without file names; empty without an error.
    #[zbus(property)]
    fn error_message(&self) -> zbus::Result<String>;
}
