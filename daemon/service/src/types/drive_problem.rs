//! What is wrong with a drive itself, as a code, parameters and a sentence.

use super::error::{Error, ErrorCode};

/// Declares the codes, each with its word.
macro_rules! codes {
    ($($(#[$about:meta])* $name:ident = $word:literal,)*) => {
        /// What is wrong with a drive. The crate of the contract lists the same words, with parameters and remedies.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum DriveProblemCode {
            $($(#[$about])* $name,)*
        }

        impl DriveProblemCode {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

codes! {
    /// A device is not what it was when the drive was recognised.
    Changed = "drive-changed",
    /// Two devices have the same identity.
    Cloned = "drive-cloned",
    /// cryptsetup is not installed.
    CryptsetupMissing = "drive-cryptsetup-missing",
    /// Devices are missing; the drive can be read.
    Degraded = "drive-degraded",
    /// A device was added or replaced after the enrolment.
    DeviceAdded = "drive-device-added",
    /// The filesystem has another number of devices than the drive.
    DeviceCount = "drive-device-count",
    /// The drive was enrolled here again as another drive.
    EnrolledAgain = "drive-enrolled-again",
    /// Anything else.
    Failed = "drive-failed",
    /// There is no room for the token.
    Full = "drive-full",
    /// A program uses the drive.
    InUse = "drive-in-use",
    /// Devices are missing; the drive is not used.
    Incomplete = "drive-incomplete",
    /// Users other than root can read the key file.
    KeyFile = "drive-key-file",
    /// The drive is locked, and something needs it.
    Locked = "drive-locked",
    /// A crash left a log that cannot be replayed.
    LogDamaged = "drive-log-damaged",
    /// A crash left a log on a drive that takes no writes.
    LogWriteProtected = "drive-log-write-protected",
    /// The directory where the drive is to be mounted is in use.
    MountPointInUse = "drive-mount-point-in-use",
    /// Another program has the drive mounted.
    MountedElsewhere = "drive-mounted-elsewhere",
    /// The drive does not answer.
    NotResponding = "drive-not-responding",
    /// Writing failed.
    NotWritable = "drive-not-writable",
    /// The drive is an older copy.
    OlderCopy = "drive-older-copy",
    /// Another filesystem is beside the btrfs of the drive.
    OtherFilesystem = "drive-other-filesystem",
    /// The drive was unplugged while the service used it.
    Pulled = "drive-pulled",
    /// The superblock is not valid.
    SuperblockDamaged = "drive-superblock-damaged",
    /// The drive has no token of this machine.
    TokenMissing = "drive-token-missing",
    /// A device is smaller than its filesystem.
    Truncated = "drive-truncated",
    /// The drive could not be unlocked.
    UnlockFailed = "drive-unlock-failed",
    /// Another program unlocked the drive.
    UnlockedElsewhere = "drive-unlocked-elsewhere",
    /// The drive cannot be read without its missing devices.
    Unreadable = "drive-unreadable",
    /// The state directory cannot be written.
    Unrecorded = "drive-unrecorded",
    /// The filesystem of the drive is not supported.
    Unsupported = "drive-unsupported",
    /// The drive takes no writes, because of a switch on it.
    WriteProtected = "drive-write-protected",
}

/// What the code does not say; which of them a problem has depends on its code. They hold no path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriveProblemParams {
    /// The label of the drive.
    pub label: Option<String>,
    /// The kernel's name of a device,
    pub device: Option<String>,
    /// or of several.
    pub devices: Option<Vec<String>>,
    /// How many devices are missing,
    pub missing: Option<u64>,
    /// of how many.
    pub count: Option<u64>,
    /// The formats whose signatures are on the device.
    pub formats: Option<Vec<String>>,
    /// The kind of the error.
    pub error: Option<ErrorCode>,
    /// Why, and what to do, where the code does not say it.
    pub reason: Option<String>,
}

/// What is wrong with a drive itself. It holds no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriveProblem {
    /// What it is, for a program.
    pub code: DriveProblemCode,
    /// What the code does not say.
    pub params: DriveProblemParams,
    /// In English: why, and what to do.
    pub english: String,
}

impl DriveProblem {
    /// One without parameters.
    pub(crate) fn plain(code: DriveProblemCode, english: impl Into<String>) -> Self {
        Self { code, params: DriveProblemParams::default(), english: english.into() }
    }

    /// One that has no code of its own.
    pub(crate) fn other(error: ErrorCode, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        let params =
            DriveProblemParams { error: Some(error), reason: Some(reason.clone()), ..DriveProblemParams::default() };
        Self { code: DriveProblemCode::Failed, params, english: reason }
    }
}

impl From<&Error> for DriveProblem {
    fn from(error: &Error) -> Self {
        match error {
            Error::Drive(_, problem) => (**problem).clone(),
            Error::Named(code, text) => Self::other(*code, text),
            Error::InvalidArgs(text) => Self::other(ErrorCode::Failed, text),
        }
    }
}
