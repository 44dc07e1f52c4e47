//! What is wrong with a drive: errors for callers, and why it takes no writes. Messages of drives and tools may contain file names,
//! which only the journal may have.

use crate::types::{DriveProblem, DriveProblemCode, Error, ErrorCode};

use super::DriveId;
use crate::catalogue;
use crate::device::{Error as Fault, Sentence};

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
    /// Devices are missing.
    Degraded {
        /// Which, and what to do.
        missing: DriveProblem,
        /// It is mounted without the log which a crash left.
        is_without_log: bool,
    },
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
            Self::Degraded { missing, is_without_log: _ } => Self::Degraded { missing, is_without_log: true },
        }
    }

    /// Whether the drive is mounted without the log which a crash left.
    pub(super) fn is_without_log(&self) -> bool {
        match self {
            Self::LogOnWriteProtected | Self::LogDamaged => true,
            Self::Degraded { is_without_log, .. } => *is_without_log,
            Self::WriteProtected | Self::Full | Self::Failed | Self::Unrecorded => false,
        }
    }

    /// What it says.
    pub(super) fn problems(&self) -> Vec<DriveProblem> {
        let (code, english) = match self {
            Self::WriteProtected => (
                DriveProblemCode::WriteProtected,
                "the drive is write-protected: its snapshots can be listed, restored and verified, but it takes no backup; \
                 switch its write protection off (on the drive, its adapter or its enclosure), then plug it in again; a drive \
                 without such a switch may be worn out, and is to be replaced",
            ),
            Self::Full => (
                DriveProblemCode::Full,
                "the drive is full, and cannot even take its new token: its snapshots can be listed, restored and verified, and \
                 a backup first deletes old ones by the retention rule; if that frees too little, keep fewer snapshots, or \
                 mount the drive (butterdock mount) and delete files on it",
            ),
            Self::Failed => (
                DriveProblemCode::NotWritable,
                "the drive cannot be written: its snapshots can be listed, restored and verified, but it takes no backup; check \
                 the drive and its cable (dmesg), then plug it in again; if that does not help, it is worn out or fails, and is \
                 to be replaced",
            ),
            Self::LogOnWriteProtected => (
                DriveProblemCode::LogWriteProtected,
                "the drive is write-protected, and a crash or an unplug left a log on it, which can only be replayed by writing: \
                 its snapshots can be listed, and it can be mounted (butterdock mount), but the kernel restores and verifies \
                 nothing, and it takes no backup; switch its write protection off (on the drive, its adapter or its enclosure), \
                 then plug it in again",
            ),
            Self::LogDamaged => (DriveProblemCode::LogDamaged, LOG),
            Self::Unrecorded => (
                DriveProblemCode::Unrecorded,
                "the state directory of butterdock cannot be written, so that no backup to the drive would be recorded: its \
                 snapshots can be listed, restored and verified, but it takes no backup; make room on the filesystem of the state \
                 directory, or make it writable (the journal of butterdockd says what failed), then plug the drive in again",
            ),
            Self::Degraded { missing, is_without_log } => {
                let log = is_without_log.then(|| Self::LogDamaged.problems()).unwrap_or_default();
                return std::iter::once(missing.clone()).chain(log).collect();
            }
        };
        vec![DriveProblem::plain(code, english)]
    }

    /// The same in a sentence.
    pub(super) fn sentence(&self) -> String {
        self.problems().into_iter().map(|problem| problem.english).collect::<Vec<_>>().join("; also, ")
    }

    /// The sentence about missing devices.
    pub(super) fn missing(&self) -> Option<&str> {
        match self {
            Self::Degraded { missing, .. } => Some(&missing.english),
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
            Self::Unrecorded | Self::Degraded { .. } => ErrorCode::Failed,
        };
        let english = self.sentence();
        let problem = self.problems().into_iter().next().unwrap_or_else(|| DriveProblem::other(code, english.as_str()));
        Err(Error::Drive(code, Box::new(DriveProblem { english, ..problem })))
    }
}

/// What is said of a drive with a log that cannot be replayed.
const LOG: &str = "a crash or an unplug left a log on the drive that cannot be replayed: its snapshots can be listed, and it can be mounted \
     (butterdock mount), but the kernel restores and verifies nothing, and it takes no backup. The log has only what was written \
     in the last seconds before; snapshots of backups that succeeded are complete without it. To remove it, run btrfs rescue \
     zero-log as root on a device of the unmounted drive, then plug it in again; if that does not help, the drive or its cable \
     fails (dmesg)";

/// What is wrong with a drive that went while it was mounted.
pub(super) fn unplugged() -> DriveProblem {
    let english =
        "the drive was unplugged while it was in use; plug it in again, and the next backup sends what is missing";
    DriveProblem::plain(DriveProblemCode::Pulled, english)
}

/// The same for a caller.
pub(super) fn device_gone() -> Error {
    Error::Drive(ErrorCode::DeviceGone, Box::new(unplugged()))
}

/// The error of a drive that is to be unlocked first.
pub(super) fn locked() -> Error {
    let english = "the drive is locked; unlock it first (butterdock unlock)";
    Error::Drive(ErrorCode::Failed, Box::new(DriveProblem::plain(DriveProblemCode::Locked, english)))
}

/// The error of a drive that the policy refuses.
pub(super) fn refused(sentence: &Sentence) -> Error {
    Error::Drive(ErrorCode::Failed, Box::new(sentence.problem(ErrorCode::Failed)))
}

/// For a caller. The journal gets all of it.
pub(super) fn for_caller(id: &DriveId, fault: &Fault) -> Error {
    let problem = fault.problem();
    let (event, code) = (catalogue::DRIVE_UNUSABLE, problem.code.word());
    tracing::warn!(MESSAGE_ID = event, BUTTERDOCK_DRIVE = id.as_str(), BUTTERDOCK_PROBLEM = code, "{fault}");
    Error::Drive(fault.code(), Box::new(problem))
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
        let error = for_caller(&id, &fault);
        let text = error.to_string();
        assert_eq!(error.code(), ErrorCode::DeviceGone);
        assert_eq!(DriveProblem::from(&error).code, DriveProblemCode::NotResponding);
        assert!(text.contains("unplugged") && text.ends_with("plug it in again"), "{text}");
    }
}
