//! The state of a drive at one moment, its condition when it was used last, and the options of its enrolment.

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::problem::Problem;

/// The state of a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DriveState {
    /// Attached; neither encrypted nor mounted by the service.
    #[default]
    Present,
    /// Encrypted, and not unlocked.
    Locked,
    /// Unlocked, and not mounted.
    Unlocked,
    /// Mounted by the service; no job uses it.
    Mounted,
    /// A job uses it.
    Busy,
    /// It can be unplugged; nothing is lost.
    Safe,
    /// Enrolled, and not attached.
    Away,
}

/// How the last use of a drive ended: what is worse comes later.
///
/// A filesystem that cannot write becomes read-only, and writes nothing more. Whether the drive is still safe to unplug depends on
/// what was reported:
///
/// * A job succeeds only after everything that it wrote is on the drive (the last step of `receive`, and the token's write), and fails
///   otherwise. So no data that a job reported as done is missing, whenever the filesystem became read-only. Unmounting is all that is
///   left to do: the drive is safe, with a problem.
/// * Files that a user wrote to a drive mounted with `Drive.Mount` were never confirmed, and may be missing, also if the drive is
///   unplugged while it is mounted so. Reporting the drive as safe would confirm them, so this is an error.
///
/// It is recorded, and is a problem of the drive until the next mount that writes its token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It took all writes.
    #[default]
    Sound,
    /// It had become read-only, and only jobs had used it.
    ReadOnly,
    /// It was unplugged while a user had it mounted.
    Unplugged,
    /// It had become read-only, and a user may have written to it.
    Unsaved,
}

impl Condition {
    /// Of a drive that had become read-only.
    pub(crate) fn of_read_only(was_mounted_by_a_user: bool) -> Self {
        if was_mounted_by_a_user { Self::Unsaved } else { Self::ReadOnly }
    }

    /// Whether it took all writes.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(crate) fn is_sound(&self) -> bool {
        *self == Self::Sound
    }

    /// For a person; empty if it is sound.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Sound => "",
            Self::ReadOnly => {
                "the drive became read-only after a write error; it is unmounted now, and has everything that was \
                 reported as done. Check the drive and its cable (dmesg), then plug it in again"
            }
            Self::Unplugged => {
                "the drive was unplugged while it was mounted for you: files that you wrote to it yourself may be missing. \
                 Plug it in again and check your files, and make it safe before you unplug it (butterdock safely-remove)"
            }
            Self::Unsaved => {
                "the drive became read-only after a write error; it is unmounted now, and files that you wrote to it \
                 yourself may be missing. Check the drive and its cable (dmesg), plug it in again and check your \
                 files"
            }
        }
    }
}

/// What is known of a drive. It holds no path. Times are microseconds since 1970, 0 never; sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriveProperties {
    /// The filesystem's label; empty where there is none or it is locked.
    pub label: String,
    /// What commands call it: its id, its label, and its label at the enrolment; of an enrolled one the configuration too.
    pub names: Vec<String>,
    /// Maker and model; empty unknown.
    pub model: String,
    /// The hardware's serial number; empty where there is none.
    pub serial: String,
    /// How it is attached: `usb`, `ata`, `nvme` …; empty unknown.
    pub bus: String,
    /// The kernel's name of it, such as `sdb1`; empty while it is not attached.
    pub device: String,
    /// The kernel's name of the disk that it is on, `device` itself where that has no partitions; empty while it is not attached.
    pub disk: String,
    /// Bytes that the disk has.
    pub disk_size: u64,
    /// The names of all its devices that are attached.
    pub devices: Vec<String>,
    /// How many devices its filesystem has.
    pub device_count: u64,
    /// Bytes that all its devices have.
    pub size: u64,
    /// `btrfs`, `ext4` …; empty where it is unknown or locked.
    pub filesystem_type: String,
    /// The filesystem's UUID; empty where it is unknown.
    pub filesystem_uuid: String,
    /// Whether LUKS is on it.
    pub encrypted: bool,
    /// Its state.
    pub state: DriveState,
    /// Whether another program has it mounted.
    pub mounted_by_others: bool,
    /// What is wrong with it; what is wrong with its backups is a problem of the destination.
    pub problems: Vec<Problem>,
    /// What changed about it without being a problem, for a person; empty where nothing did.
    pub note: String,
    /// Whether it belongs to this machine.
    pub enrolled: bool,
    /// When an enrolled one was attached last, as far as that is recorded; 0 of another.
    pub last_seen: u64,
    /// What is known of its health.
    pub health: DriveHealth,
}

/// What is known of the health of a drive; of one that is not enrolled only what its disks say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DriveHealth {
    /// When the last verify of all its devices ended, in microseconds since 1970.
    pub verified: Option<u64>,
    /// The blocks that verifies found without a good copy.
    pub verify_errors: Option<u64>,
    /// The errors that the counters of its devices had counted when it was used last.
    pub device_errors: Option<u64>,
    /// Whether one of its disks says that it is failing (SMART), as far as another program knows that now.
    pub smart_failing: Option<bool>,
}

/// What a disk says of itself (SMART), as another program read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmartReading {
    /// The kernel's name of the disk, such as `sdb`.
    pub disk: String,
    /// Its serial number; empty without one.
    pub serial: String,
    /// Whether it says that it is failing.
    pub is_failing: bool,
}

impl DriveProperties {
    /// What is wrong with it, for a person; empty while nothing is.
    #[must_use]
    pub fn problem(&self) -> String {
        Problem::sentence(&self.problems)
    }
}

/// How a drive is enrolled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnrolOptions {
    /// Erase everything that is on the drive first, and make a new btrfs filesystem.
    pub format: bool,
    /// Erase the whole disk that the drive is a partition of.
    pub whole_disk: bool,
    /// The size in bytes of what is erased, said once more; must be right wherever it is given.
    pub size: Option<u64>,
    /// The drive's serial number, said once more; empty where it has none.
    pub serial: Option<String>,
    /// The new filesystem's label.
    pub label: Option<String>,
    /// Unmount it first, if another program has it mounted and the user may unmount that.
    pub unmount: bool,
    /// Begin no backup, also where one is due.
    pub no_backup: bool,
    /// Make a key file for an encrypted drive, with which it is unlocked when it is plugged in.
    pub keep_key: bool,
    /// The user who asks.
    pub uid: u32,
}

impl EnrolOptions {
    /// Compares what was said once more with what the drive has.
    ///
    /// # Errors
    /// `InvalidArgs` with both.
    pub fn confirm(&self, drive: &DriveProperties) -> Result<(), Error> {
        let DriveProperties { size, disk_size, serial, .. } = drive;
        let (what, size) = if self.whole_disk { ("disk", *disk_size) } else { ("drive", *size) };
        if let Some(said) = self.size.filter(|said| *said != size) {
            return Err(Error::InvalidArgs(format!(
                "the {what} has {size} bytes, not {said}; check that it is the right drive"
            )));
        }
        if let Some(said) = self.serial.as_deref().filter(|said| said != serial) {
            return Err(Error::InvalidArgs(format!(
                "the drive's serial number is \"{}\", not \"{}\"; check that it is the right drive",
                serial.escape_debug(),
                said.escape_debug()
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_user_wrote_can_be_missing_unreported() {
        assert_eq!([false, true].map(Condition::of_read_only), [Condition::ReadOnly, Condition::Unsaved]);
    }

    #[test]
    fn a_condition_says_what_to_do_without_a_path() {
        for condition in [Condition::ReadOnly, Condition::Unplugged, Condition::Unsaved] {
            let text = condition.sentence();
            assert!(text.to_lowercase().contains("plug it in again") && !text.contains('/'), "{text}");
        }
        assert!(Condition::Sound.sentence().is_empty());
    }

    #[test]
    fn size_and_serial_must_match_the_drive() {
        let drive = |size, disk_size, serial: &str| DriveProperties {
            size,
            disk_size,
            serial: serial.to_owned(),
            ..DriveProperties::default()
        };
        let options = EnrolOptions { size: Some(7), serial: Some("WX1".to_owned()), ..EnrolOptions::default() };
        assert_eq!(options.confirm(&drive(7, 9, "WX1")), Ok(()));
        for (size, serial) in [(8, "WX1"), (7, ""), (7, "wx1")] {
            assert!(matches!(options.confirm(&drive(size, 7, serial)), Err(Error::InvalidArgs(_))), "{size} {serial}");
        }
        let options = EnrolOptions { whole_disk: true, ..options };
        assert_eq!(options.confirm(&drive(5, 7, "WX1")), Ok(()));
        assert!(matches!(options.confirm(&drive(7, 9, "WX1")), Err(Error::InvalidArgs(_))));
    }
}
