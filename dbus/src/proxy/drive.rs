//! The proxy of the `Drive` interface.

use std::collections::HashMap;

use zbus::{Fd, OwnedObjectPath, Variant, proxy};

use crate::drive::{DriveHealth, DriveState, MountRow, StreamRow};
use crate::error::Error;
use crate::problem::Problem;

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
