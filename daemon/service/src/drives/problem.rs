//! What is wrong with a drive: errors for callers, and the condition of a drive when it was unmounted.
//!
//! Messages of drives and tools may contain file names, which only the journal may have.
//!
//! A filesystem that cannot write becomes read-only, and writes nothing more. Whether the drive is still safe to
//! unplug depends on what was reported:
//!
//! * A job succeeds only after everything that it wrote is on the drive (the last step of `receive`, and the token's
//!   write), and fails otherwise. So no data that a job reported as done is missing, whenever the filesystem became
//!   read-only. Unmounting is all that is left to do: the drive is safe, with a problem.
//! * Files that a user wrote to a drive mounted with `Drive.Mount` were never confirmed, and may be missing. Reporting
//!   the drive as safe would confirm them, so this is an error.
//!
//! Both are shown as the drive's problem until the next mount that writes its token.

use crate::types::{Error, ErrorCode};

use super::DriveId;
use crate::catalogue;
use crate::device::Error as Fault;

/// Sound, or read-only: what is worse comes later.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// It took all writes.
    #[default]
    Sound,
    /// It had become read-only, and only jobs had used it.
    ReadOnly,
    /// It had become read-only, and a person may have written to it.
    Unsaved,
}

impl Condition {
    /// Of a drive that had become read-only.
    pub(super) fn of_read_only(was_mounted_by_a_person: bool) -> Self {
        if was_mounted_by_a_person { Self::Unsaved } else { Self::ReadOnly }
    }

    /// Public; empty if there is none.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Sound => "",
            Self::ReadOnly => {
                "the drive became read-only after a write error; it is unmounted now, and has everything that was \
                 reported as done. Check the drive and its cable (dmesg), then plug it in again"
            }
            Self::Unsaved => {
                "the drive became read-only after a write error; it is unmounted now, and files that you wrote to it \
                 yourself may be missing. Check the drive and its cable (dmesg), plug it in again and check your \
                 files"
            }
        }
    }
}

/// Why a drive is read, and takes no writes. It is the drive's problem until a mount that writes its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unwritable {
    /// The kernel refuses every write.
    WriteProtected,
    /// It has no room for its token. It is mounted writable: a backup deletes old snapshots.
    Full,
    /// Writing failed.
    Failed,
    /// The state directory cannot be written: a backup would not be recorded.
    Unrecorded,
    /// Devices are missing: the sentence of the policy.
    Degraded(String),
}

impl Unwritable {
    /// By the error of the write.
    pub(super) fn of(error: &Fault) -> Self {
        match error {
            Fault::WriteProtected { .. } => Self::WriteProtected,
            Fault::System { .. } if error.code() == ErrorCode::NoSpace => Self::Full,
            Fault::System { .. } | Fault::Refused(_) | Fault::InUse(_) => Self::Failed,
        }
    }

    /// Public.
    pub(super) fn sentence(&self) -> &str {
        match self {
            Self::WriteProtected => {
                "the drive is write-protected: its snapshots can be listed, restored and verified, but it takes no backup; \
                 switch its write protection off (on the drive, its adapter or its enclosure), then plug it in again; a drive \
                 without such a switch may be worn out, and is to be replaced"
            }
            Self::Full => {
                "the drive is full, and cannot even take its new token: its snapshots can be listed, restored and verified, and \
                 a backup first deletes old ones by the retention rule; if that frees too little, keep fewer snapshots, or \
                 mount the drive (butterdock mount) and delete files on it"
            }
            Self::Failed => {
                "the drive cannot be written: its snapshots can be listed, restored and verified, but it takes no backup; check \
                 the drive and its cable (dmesg), then plug it in again; if that does not help, it is worn out or fails, and is \
                 to be replaced"
            }
            Self::Unrecorded => {
                "the state directory of butterdock cannot be written, so that no backup to the drive would be recorded: its \
                 snapshots can be listed, restored and verified, but it takes no backup; make room on the filesystem of the state \
                 directory, or make it writable (the journal of butterdockd says what failed), then plug the drive in again"
            }
            Self::Degraded(sentence) => sentence,
        }
    }

    /// The sentence about missing devices.
    pub(super) fn missing(&self) -> Option<&str> {
        match self {
            Self::Degraded(sentence) => Some(sentence),
            Self::WriteProtected | Self::Full | Self::Failed | Self::Unrecorded => None,
        }
    }

    /// Refuses a job that writes, where it could not.
    ///
    /// # Errors
    /// The sentence.
    pub(super) fn allow_writes(&self) -> Result<(), Error> {
        let code = match self {
            Self::Full => return Ok(()),
            Self::WriteProtected | Self::Failed => ErrorCode::ReadOnly,
            Self::Unrecorded | Self::Degraded(_) => ErrorCode::Failed,
        };
        Err(Error::new(code, self.sentence()))
    }
}

/// What is said of a drive that went while it was mounted.
pub(super) const PULLED: &str =
    "the drive was unplugged while it was in use; plug it in again, and the next backup sends what is missing";

/// For a caller. The journal gets all of it.
pub(super) fn for_caller(id: &DriveId, fault: &Fault) -> Error {
    tracing::warn!(MESSAGE_ID = catalogue::DRIVE_UNUSABLE, BUTTERDOCK_DRIVE = id.as_str(), "{fault}");
    Error::new(fault.code(), fault.public())
}

pub(super) fn no_such_drive(id: &DriveId) -> Error {
    Error::new(
        ErrorCode::NotFound,
        format!("there is no drive \"{}\"; it may have been unplugged", id.as_str().escape_debug()),
    )
}

pub(super) fn failed(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::Failed, text)
}

pub(super) fn busy(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::Busy, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_person_wrote_can_be_missing_unreported() {
        assert_eq!([false, true].map(Condition::of_read_only), [Condition::ReadOnly, Condition::Unsaved]);
    }

    #[test]
    fn errors_say_what_to_do_without_a_path() {
        for condition in [Condition::ReadOnly, Condition::Unsaved] {
            let text = condition.sentence();
            assert!(text.contains("read-only") && text.contains("plug it in again") && !text.contains('/'), "{text}");
        }
        assert!(Condition::Sound.sentence().is_empty());
    }

    #[test]
    fn an_unresponsive_drive_is_device_gone() {
        let id = DriveId::from(uuid::Uuid::nil());
        let fault = Fault::system("reading /dev/sdb1")(nix::Error::ENXIO);
        let Error::Named(name, text) = for_caller(&id, &fault) else { panic!("it has a name") };
        assert_eq!(name, ErrorCode::DeviceGone);
        assert!(text.contains("unplugged") && text.ends_with("plug it in again"), "{text}");
    }
}
