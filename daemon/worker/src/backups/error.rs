//! Why a backup failed, in a sentence for a person.

use std::fmt;

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_receive::{ErrorKind, Failure};

use super::cause::BackupCause;

/// What ended a backup.
#[derive(Debug)]
pub(crate) enum BackupError {
    /// Something before or after the transfer.
    Said(Said),
    /// The receiver's half of the transfer.
    Receive(Box<Failure>),
}

/// A sentence that names nothing: what happened, to what, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub kind: ErrorKind,
    pub sentence: String,
    /// For what the service does about it, and for everybody.
    pub cause: Option<BackupCause>,
}

impl BackupError {
    /// A sentence of this kind.
    pub(crate) fn said(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Self::Said(Said { kind, sentence: sentence.into(), cause: None })
    }

    /// One of the causes that the service knows.
    pub(crate) fn because(cause: BackupCause) -> Self {
        let kind = match cause {
            BackupCause::NoRoom { .. } => ErrorKind::NoSpace,
            BackupCause::SourceRefused(_)
            | BackupCause::FolderElsewhere
            | BackupCause::DriveNotBtrfs
            | BackupCause::SameFilesystem => ErrorKind::Failed,
        };
        Self::Said(Said { kind, sentence: cause.to_string(), cause: Some(cause) })
    }

    /// A call of the kernel failed on the side of the source; `doing` completes "cannot …". Its kind says nothing: what kinds
    /// say to everybody, and what is done about them, is about the drive.
    pub(crate) fn source(doing: &'static str) -> impl Fn(Fault) -> Self {
        move |fault| match Self::of_fault(doing, "the source's filesystem", fault) {
            Self::Said(said) => Self::said(ErrorKind::Failed, said.sentence),
            trouble @ Self::Receive(_) => trouble,
        }
    }

    /// A call of the kernel failed on the drive.
    pub(crate) fn drive(doing: &'static str) -> impl Fn(Fault) -> Self {
        move |fault| Self::of_fault(doing, "the drive", fault)
    }

    /// A call of the kernel failed on the volume that is restored into.
    pub(crate) fn volume(doing: &'static str) -> impl Fn(Fault) -> Self {
        move |fault| Self::of_fault(doing, "the volume", fault)
    }

    /// Whether the drive was too small.
    pub(crate) fn is_no_space(&self) -> bool {
        match self {
            Self::Said(said) => said.kind == ErrorKind::NoSpace,
            // One that has its name already is not sent again.
            Self::Receive(failure) => failure.error.kind() == ErrorKind::NoSpace && !failure.error.is_unconfirmed(),
        }
    }

    fn of_fault(doing: &str, place: &str, fault: Fault) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "errno has a hundred and thirty values")]
        let (kind, next) = match fault.errno {
            Errno::ENOSPC | Errno::EDQUOT => (ErrorKind::NoSpace, "make room there and start the job again"),
            Errno::EROFS => (ErrorKind::ReadOnly, "see dmesg, remount it writable and start the job again"),
            Errno::EIO | Errno::ENODEV | Errno::ENXIO | Errno::ESHUTDOWN => (
                ErrorKind::DeviceGone,
                "check the device and its cable (btrfs device stats, dmesg), then start the job again",
            ),
            Errno::EAGAIN => {
                (ErrorKind::Busy, "wait until the balance or deduplication there has ended, then start the job again")
            }
            _ => (ErrorKind::Failed, "see dmesg for the kernel's reason and start the job again"),
        };
        Self::said(kind, format!("cannot {doing} on {place}: {fault}; {next}"))
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(said) => f.write_str(&said.sentence),
            Self::Receive(failure) => fmt::Display::fmt(failure, f),
        }
    }
}
