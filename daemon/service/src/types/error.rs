//! Errors of requests and jobs.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::drive_problem::DriveProblem;

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorCode {
    /// The volume, the drive or the queue cannot take this now.
    Busy,
    /// There is no such volume, job, drive, backup or snapshot.
    NotFound,
    /// The name is taken.
    Exists,
    /// The user may not do this.
    NotAuthorized,
    /// The filesystem or a quota is full.
    NoSpace,
    /// The filesystem is read-only.
    ReadOnly,
    /// The stream is damaged, or `btrfs send` did not make it.
    InvalidStream,
    /// The stream ended before its end.
    TruncatedStream,
    /// The stream has what this version, or this kernel, cannot do.
    UnsupportedStream,
    /// The stream builds on a subvolume that is missing.
    ParentMissing,
    /// The stream came more slowly, or took longer, than the configuration allows.
    TooSlow,
    /// The passphrase or the key does not open the drive.
    WrongPassphrase,
    /// The drive failed or was unplugged.
    DeviceGone,
    /// Cancelled by a user or by the end of the service.
    Cancelled,
    /// The service does not do this, for example change what only the file may; the message says how it is done.
    NotAllowed,
    /// The settings were changed since they were read.
    StaleRevision,
    /// A person holds the snapshot.
    Held,
    /// The snapshot is the parent of the next increment.
    Shared,
    /// Anything else; the message says what.
    Failed,
}

impl ErrorCode {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Busy,
        Self::NotFound,
        Self::Exists,
        Self::NotAuthorized,
        Self::NoSpace,
        Self::ReadOnly,
        Self::InvalidStream,
        Self::TruncatedStream,
        Self::UnsupportedStream,
        Self::ParentMissing,
        Self::TooSlow,
        Self::WrongPassphrase,
        Self::DeviceGone,
        Self::Cancelled,
        Self::NotAllowed,
        Self::StaleRevision,
        Self::Held,
        Self::Shared,
        Self::Failed,
    ];

    /// The word for it in the history and for the hook: the last part of the error's name on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Busy => "Busy",
            Self::NotFound => "NotFound",
            Self::Exists => "Exists",
            Self::NotAuthorized => "NotAuthorized",
            Self::NoSpace => "NoSpace",
            Self::ReadOnly => "ReadOnly",
            Self::InvalidStream => "InvalidStream",
            Self::TruncatedStream => "TruncatedStream",
            Self::UnsupportedStream => "UnsupportedStream",
            Self::ParentMissing => "ParentMissing",
            Self::TooSlow => "TooSlow",
            Self::WrongPassphrase => "WrongPassphrase",
            Self::DeviceGone => "DeviceGone",
            Self::Cancelled => "Cancelled",
            Self::NotAllowed => "NotAllowed",
            Self::StaleRevision => "StaleRevision",
            Self::Held => "Held",
            Self::Shared => "Shared",
            Self::Failed => "Failed",
        }
    }
}

/// Why a request was refused or failed, with a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A failure of one of the kinds.
    Named(ErrorCode, String),
    /// The same, because something is wrong with a drive.
    Drive(ErrorCode, Box<DriveProblem>),
    /// An argument is not understood; the sentence names it.
    InvalidArgs(String),
}

impl Error {
    /// A failure of this kind.
    pub fn new(kind: ErrorCode, message: impl Into<String>) -> Self {
        Self::Named(kind, message.into())
    }

    /// The kind of the failure; `Failed` of an argument.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Named(code, _) | Self::Drive(code, _) => *code,
            Self::InvalidArgs(_) => ErrorCode::Failed,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(_, message) | Self::InvalidArgs(message) => f.write_str(message),
            Self::Drive(_, problem) => f.write_str(&problem.english),
        }
    }
}

impl std::error::Error for Error {}
