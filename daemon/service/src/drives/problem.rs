//! What is wrong with a drive: errors for callers, and why it takes no writes. Messages of drives and tools may contain file names,
//! which only the journal may have.

use crate::types::{Error, ErrorCode};

use super::DriveId;
use crate::catalogue;
use crate::device::Error as Fault;

/// Why a drive is read, and takes no writes. It is the drive's problem until a mount that writes its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unwritable {
    /// The kernel refuses every write.
    WriteProtected,
    /// It has no room for its token. It is mounted writable: a backup deletes old snapshots.
    Full,
    /// Writing failed.
    Failed,
    /// The kernel refuses every write, also that of the log which a crash left.
    LogOnWriteProtected,
    /// A crash left a log that cannot be replayed.
    LogDamaged,
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
            Fault::System { .. } | Fault::Refused(_) | Fault::InUse(_) | Fault::WrongSecret(_) => Self::Failed,
        }
    }

    /// The same of a drive that is mounted without the log which a crash left. The kernel neither sends nor scrubs it then.
    pub(super) fn without_log(self) -> Self {
        match self {
            Self::WriteProtected | Self::LogOnWriteProtected => Self::LogOnWriteProtected,
            Self::Full | Self::Failed | Self::Unrecorded | Self::LogDamaged => Self::LogDamaged,
            Self::Degraded(missing) => Self::Degraded(format!("{missing}; also, {LOG}")),
        }
    }

    /// Whether the drive is mounted without the log which a crash left.
    pub(super) fn is_without_log(&self) -> bool {
        match self {
            Self::LogOnWriteProtected | Self::LogDamaged => true,
            Self::Degraded(sentence) => sentence.ends_with(LOG),
            Self::WriteProtected | Self::Full | Self::Failed | Self::Unrecorded => false,
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
            Self::LogOnWriteProtected => {
                "the drive is write-protected, and a crash or an unplug left a log on it, which can only be replayed by writing: \
                 its snapshots can be listed, and it can be mounted (butterdock mount), but the kernel restores and verifies \
                 nothing, and it takes no backup; switch its write protection off (on the drive, its adapter or its enclosure), \
                 then plug it in again"
            }
            Self::LogDamaged => LOG,
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
            Self::WriteProtected
            | Self::Full
            | Self::Failed
            | Self::LogOnWriteProtected
            | Self::LogDamaged
            | Self::Unrecorded => None,
        }
    }

    /// Refuses a job that writes, where it could not.
    ///
    /// # Errors
    /// The sentence.
    pub(super) fn allow_writes(&self) -> Result<(), Error> {
        let code = match self {
            Self::Full => return Ok(()),
            Self::WriteProtected | Self::Failed | Self::LogOnWriteProtected | Self::LogDamaged => ErrorCode::ReadOnly,
            Self::Unrecorded | Self::Degraded(_) => ErrorCode::Failed,
        };
        Err(Error::new(code, self.sentence()))
    }
}

/// What is said of a drive with a log that cannot be replayed.
const LOG: &str = "a crash or an unplug left a log on the drive that cannot be replayed: its snapshots can be listed, and it can be mounted \
     (butterdock mount), but the kernel restores and verifies nothing, and it takes no backup. The log has only what was written \
     in the last seconds before; snapshots of backups that succeeded are complete without it. To remove it, run btrfs rescue \
     zero-log as root on a device of the unmounted drive, then plug it in again; if that does not help, the drive or its cable \
     fails (dmesg)";

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

/// For a caller that needs an enrolled drive of this label, which is away.
pub(super) fn away(label: &str) -> Error {
    let text = format!("the drive \"{}\" is not attached; plug it in, then try again", label.escape_debug());
    Error::new(ErrorCode::DeviceGone, text)
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
    fn an_unresponsive_drive_is_device_gone() {
        let id = DriveId::from(uuid::Uuid::nil());
        let fault = Fault::system("reading /dev/sdb1")(nix::Error::ENXIO);
        let Error::Named(name, text) = for_caller(&id, &fault) else { panic!("it has a name") };
        assert_eq!(name, ErrorCode::DeviceGone);
        assert!(text.contains("unplugged") && text.ends_with("plug it in again"), "{text}");
    }
}
