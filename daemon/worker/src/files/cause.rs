//! Why files could not be listed, read or restored.

use std::fmt;

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_receive::ErrorKind;
use serde::{Deserialize, Serialize};

use crate::descriptors::DescriptorError;

/// A cause that the service words for all users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileCause {
    /// There is no such snapshot.
    NoSnapshot,
    /// The snapshot has no such path.
    NotFound,
    /// The path leads through a symbolic link, a file or another subvolume, or out of the snapshot.
    Outside,
    /// The user may not read it.
    Denied,
    /// The user may not reach the source of the backup.
    SourceDenied,
    /// It is no regular file.
    NotAFile,
    /// The reader closed the pipe before the end.
    ReaderGone,
    /// The reader read nothing for a long time.
    ReaderIdle,
    /// A file has the name already.
    Occupied,
    /// A directory has the name of a file that is restored, or the reverse.
    OtherType,
    /// The user may not write there.
    TargetDenied,
    /// A directory on the way is a symbolic link, a file or another subvolume now.
    TargetOutside,
    /// A directory is too deep, or its path too long.
    TooDeep,
    /// The user may not read this many of the selected files. All others are restored.
    Incomplete {
        /// The number of files and directories.
        denied: u64,
    },
}

/// An error about files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileError {
    pub kind: ErrorKind,
    /// The cause, if it is one that the service knows.
    pub cause: Option<FileCause>,
    /// The complete message, with names.
    pub message: String,
}

/// The side on which a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The snapshot.
    Snapshot,
    /// The directory that files are restored to.
    Target,
}

impl FileError {
    /// The job was cancelled.
    pub(crate) fn cancelled() -> Self {
        Self { kind: ErrorKind::Cancelled, cause: None, message: "cancelled".to_owned() }
    }

    /// A known cause; `path` is what it is about.
    pub(crate) fn because(cause: FileCause, path: &[u8]) -> Self {
        Self { kind: cause.kind(), cause: Some(cause), message: format!("\"{}\": {cause}", path.escape_ascii()) }
    }

    /// A known cause that is about no path.
    pub(crate) fn of_cause(cause: FileCause) -> Self {
        Self { kind: cause.kind(), cause: Some(cause), message: cause.to_string() }
    }

    /// A call about `path` failed.
    pub(crate) fn of_fault(side: Side, path: &[u8], fault: Fault) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "errno has a hundred and thirty values")]
        let cause = match (side, fault.errno) {
            (Side::Snapshot, Errno::ENOENT) => FileCause::NotFound,
            (Side::Snapshot, Errno::ELOOP | Errno::EXDEV | Errno::ENOTDIR) => FileCause::Outside,
            (Side::Snapshot, Errno::EACCES | Errno::EPERM) => FileCause::Denied,
            (Side::Target, Errno::EACCES | Errno::EPERM) => FileCause::TargetDenied,
            (Side::Target, Errno::ELOOP | Errno::EXDEV | Errno::ENOTDIR) => FileCause::TargetOutside,
            (_, errno) => {
                let (kind, next) = match errno {
                    Errno::ENOSPC => (ErrorKind::NoSpace, "free some space there and restore again"),
                    Errno::EDQUOT => (ErrorKind::NoSpace, "raise the quota there and restore again"),
                    Errno::EROFS => (ErrorKind::ReadOnly, "see dmesg, remount it writable and restore again"),
                    Errno::EIO | Errno::ENODEV | Errno::ENXIO | Errno::ESHUTDOWN => (
                        ErrorKind::DeviceGone,
                        "check the device and its cable (btrfs device stats, dmesg); if only this file is damaged, take it from \
                         another snapshot",
                    ),
                    _ => (ErrorKind::Failed, "see dmesg for the kernel's reason and try again"),
                };
                let place = match side {
                    Side::Snapshot => "in the snapshot",
                    Side::Target => "at the place that it is restored to",
                };
                let message = format!("\"{}\" {place}: {fault}; {next}", path.escape_ascii());
                return Self { kind, cause: None, message };
            }
        };
        Self::because(cause, path)
    }

    /// Whether the user may not read the file.
    pub(crate) fn is_denied(&self) -> bool {
        self.cause == Some(FileCause::Denied)
    }
}

/// Descriptors that cannot be used.
impl From<DescriptorError> for FileError {
    fn from(error: DescriptorError) -> Self {
        Self { kind: ErrorKind::Failed, cause: None, message: error.0.to_owned() }
    }
}

/// For `map_err`: a call about this path in the snapshot failed.
pub(crate) fn reading(path: &[u8]) -> impl Fn(Fault) -> FileError {
    move |fault| FileError::of_fault(Side::Snapshot, path, fault)
}

/// For `map_err`: a call about this path at the target failed.
pub(crate) fn writing(path: &[u8]) -> impl Fn(Fault) -> FileError {
    move |fault| FileError::of_fault(Side::Target, path, fault)
}

impl FileCause {
    fn kind(self) -> ErrorKind {
        match self {
            Self::Occupied | Self::OtherType => ErrorKind::Exists,
            Self::ReaderGone | Self::ReaderIdle => ErrorKind::Cancelled,
            Self::NoSnapshot
            | Self::NotFound
            | Self::Outside
            | Self::Denied
            | Self::SourceDenied
            | Self::NotAFile
            | Self::TargetDenied
            | Self::TargetOutside
            | Self::TooDeep
            | Self::Incomplete { .. } => ErrorKind::Failed,
        }
    }
}

impl fmt::Display for FileCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSnapshot => "there is no such snapshot there; list the snapshots with butterdock ls",
            Self::NotFound => "the snapshot has no such file; list its directory with butterdock ls",
            Self::Outside => {
                "the path leads through a symbolic link, a file or another subvolume; links are never followed: name the \
                 directory that the link leads to"
            }
            Self::Denied => {
                "you may not read it, because of the owner and the permissions that it has in the snapshot; an administrator can \
                 (--as-root)"
            }
            Self::SourceDenied => {
                "you may not enter the directory that was backed up, so you may not read its snapshots; an administrator can \
                 (--as-root)"
            }
            Self::NotAFile => "it is no regular file, so there is nothing to read; list a directory with butterdock ls, or restore it",
            Self::ReaderGone => "the reader closed the pipe before the end of the file",
            Self::ReaderIdle => "the reader read less than 1 MiB in five minutes, and the drive was in use meanwhile; read it again",
            Self::Occupied => {
                "a file with that name exists at the place that it is restored to; move it away, or choose to keep both or to \
                 replace it"
            }
            Self::OtherType => {
                "a directory cannot replace a file, nor a file a directory; move away what has the name, or choose to keep both"
            }
            Self::TargetDenied => {
                "you may not write to the place that it is restored to; an administrator can (--as-root), or restore it to another \
                 place"
            }
            Self::TargetOutside => {
                "a directory on the way to its original place is a symbolic link, a file or another subvolume now; restore it into a \
                 volume and move it from there"
            }
            Self::TooDeep => {
                "a directory is more than 256 levels below the selected one, or its path is longer than 4095 bytes; select a directory \
                 further down, or restore the whole snapshot"
            }
            Self::Incomplete { denied } => {
                return write!(
                    f,
                    "{denied} of the selected files and directories are not restored, because you may not read them; all others \
                     are; an administrator can restore them (--as-root)"
                );
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_reasons_have_their_causes() {
        let of = |side, errno| FileError::of_fault(side, b"a\n\xff", Fault { call: "openat2", errno });
        for (side, errno, cause) in [
            (Side::Snapshot, Errno::ENOENT, Some(FileCause::NotFound)),
            (Side::Snapshot, Errno::ELOOP, Some(FileCause::Outside)),
            (Side::Snapshot, Errno::EXDEV, Some(FileCause::Outside)),
            (Side::Snapshot, Errno::EACCES, Some(FileCause::Denied)),
            (Side::Target, Errno::EACCES, Some(FileCause::TargetDenied)),
            (Side::Target, Errno::ENOTDIR, Some(FileCause::TargetOutside)),
            (Side::Target, Errno::ENOSPC, None),
        ] {
            let error = of(side, errno);
            assert_eq!(error.cause, cause, "{side:?} {errno}");
            assert!(error.message.starts_with(r#""a\n\xff""#), "{}", error.message);
        }
        assert_eq!(of(Side::Target, Errno::ENOSPC).kind, ErrorKind::NoSpace);
        assert_eq!(of(Side::Snapshot, Errno::EIO).kind, ErrorKind::DeviceGone);
    }
}
