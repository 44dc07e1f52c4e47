//! `org.butterdock.Butterdock1.Drive`.

use std::collections::HashMap;

use zbus::{Fd, OwnedObjectPath, Variant, proxy};

use crate::backup::{SnapshotRow, StreamRow};
use crate::drive::DriveState;
use crate::error::Error;

/// Something attached that backups can go to.
#[proxy(
    interface = "org.butterdock.Butterdock1.Drive",
    default_service = "org.butterdock.Butterdock1",
    assume_defaults = false
)]
pub trait Drive {
    /// Lets the drive take this machine's backups. The options are those of [`EnrolOptions`](crate::EnrolOptions).
    #[zbus(allow_interactive_auth)]
    fn enrol(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// The drive takes no more backups; what is on it stays. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn forget(&self, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Unlocks it with the passphrase or key that comes out of the descriptor, which is read to its end and must have at
    /// most [`SECRET_MAX`](crate::SECRET_MAX) bytes. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn unlock(&self, secret: Fd<'_>, options: HashMap<&str, Variant<'_>>) -> Result<(), Error>;

    /// Mounts it where root alone may look, and says where. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn mount(&self, options: HashMap<&str, Variant<'_>>) -> Result<String, Error>;

    /// Makes it safe to unplug; returns the job. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn safely_remove(&self, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// Runs the backups that go to it; returns the first job. The options are those of
    /// [`BackupOptions`](crate::BackupOptions).
    #[zbus(allow_interactive_auth)]
    fn backup(&self, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// Reads everything on it and compares checksums; returns the job. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn verify(&self, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// The snapshots on it that can be restored. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn list_snapshots(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<SnapshotRow>, Error>;

    /// Sends the snapshot with this UUID into a volume; returns the job. The options are those of
    /// [`RestoreOptions`](crate::RestoreOptions).
    #[zbus(allow_interactive_auth)]
    fn restore(
        &self,
        snapshot: &str,
        volume: &str,
        options: HashMap<&str, Variant<'_>>,
    ) -> Result<OwnedObjectPath, Error>;

    /// The stream files on it, in the order in which they can be received. There are no options yet.
    #[zbus(allow_interactive_auth)]
    fn list_streams(&self, options: HashMap<&str, Variant<'_>>) -> Result<Vec<StreamRow>, Error>;

    /// Receives stream files on it into a volume; returns the job. The options are those of
    /// [`ImportOptions`](crate::ImportOptions).
    #[zbus(allow_interactive_auth)]
    fn import(&self, volume: &str, options: HashMap<&str, Variant<'_>>) -> Result<OwnedObjectPath, Error>;

    /// The filesystem's label.
    #[zbus(property)]
    fn label(&self) -> zbus::Result<String>;

    /// Maker and model.
    #[zbus(property(emits_changed_signal = "const"))]
    fn model(&self) -> zbus::Result<String>;

    /// The hardware's serial number.
    #[zbus(property(emits_changed_signal = "const"))]
    fn serial(&self) -> zbus::Result<String>;

    /// How it is attached.
    #[zbus(property)]
    fn bus(&self) -> zbus::Result<String>;

    /// The kernel's name of it.
    #[zbus(property)]
    fn device(&self) -> zbus::Result<String>;

    /// Bytes that it has.
    #[zbus(property)]
    fn size(&self) -> zbus::Result<u64>;

    /// Bytes that were free when it was last mounted here; 0 unknown.
    #[zbus(property)]
    fn free(&self) -> zbus::Result<u64>;

    /// What filesystem is on it.
    #[zbus(property)]
    fn filesystem_type(&self) -> zbus::Result<String>;

    /// The filesystem's UUID.
    #[zbus(property)]
    fn filesystem_uuid(&self) -> zbus::Result<String>;

    /// Whether LUKS is on it.
    #[zbus(property)]
    fn encrypted(&self) -> zbus::Result<bool>;

    /// Where it stands.
    #[zbus(property)]
    fn state(&self) -> zbus::Result<DriveState>;

    /// What is wrong with it, for a person; empty while nothing is.
    #[zbus(property)]
    fn problem(&self) -> zbus::Result<String>;

    /// Whether it belongs to this machine.
    #[zbus(property)]
    fn enrolled(&self) -> zbus::Result<bool>;

    /// When the last backup to it succeeded, in microseconds since 1970; 0 never.
    #[zbus(property)]
    fn last_backup(&self) -> zbus::Result<u64>;

    /// The names of the configured backups that go to it.
    #[zbus(property)]
    fn backups(&self) -> zbus::Result<Vec<String>>;
}
