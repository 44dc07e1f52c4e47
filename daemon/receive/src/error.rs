//! Errors: what failed, where in the stream, on which name, and what a user can do about it.

use std::fmt;
use std::os::fd::AsFd;

use butterdock_btrfs::{Errno, Error as Fault};
use butterdock_stream::{ErrorKind as StreamError, Identity, Position};

use crate::control::Counts;
use crate::name::NameError;
use crate::observer::Published;
use crate::payload::Problem;
use crate::space_cause::SpaceCause;

/// How the names of POSIX ACLs begin.
const ACL: &[u8] = b"system.posix_acl_";
const COMPRESSION: &[u8] = b"btrfs.compression";

/// An error of a run.
#[derive(Debug)]
pub struct Error {
    /// The command at which it happened, if it happened at one.
    pub place: Option<Position>,
    /// The name on which it happened, as the stream has it.
    pub name: Option<Vec<u8>>,
    /// What happened.
    pub cause: Cause,
}

/// What happened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its variant means")]
#[non_exhaustive]
pub enum Cause {
    #[error("{0}")]
    Stream(#[source] butterdock_stream::Error),
    #[error("the stream names {0}")]
    Name(#[source] NameError),
    #[error("the payload is damaged: {0}")]
    Payload(#[source] Problem),
    #[error("cannot {doing}: {fault}")]
    Call { doing: &'static str, fault: Fault },
    #[error("cannot set the extended attribute \"{}\" of {size} bytes: {fault}", .attribute.escape_ascii())]
    Attribute { attribute: Vec<u8>, size: u64, fault: Fault },
    #[error("{cause}, because {space}")]
    NoSpace { cause: Box<Self>, space: SpaceCause },
    #[error(
        "the subvolume has its name, but the filesystem did not confirm that it is on the device: cannot {doing}: {fault}"
    )]
    Unconfirmed { doing: &'static str, fault: Fault },
    #[error("cannot read the stream: {0}")]
    Read(#[source] std::io::Error),
    #[error("{0}")]
    Order(&'static str),
    #[error("--as gives one name, and the input has several subvolumes")]
    OneName,
    #[error("the stream was made without file data (btrfs send --no-data) and cannot be received")]
    WithoutData,
    #[error("a value does not fit: {0}")]
    Value(&'static str),
    #[error("the name \"{}\" cannot be used for a received subvolume", .0.escape_ascii())]
    SubvolumeName(Vec<u8>),
    #[error("\"{}\" exists in the destination already", .0.escape_ascii())]
    Exists(Vec<u8>),
    #[error("the destination is not on a btrfs filesystem")]
    NotBtrfs,
    #[error("\".butterdock-staging\" in the destination {0}")]
    Staging(&'static str),
    #[error("the {role} with uuid {} and ctransid {} is missing here: {there}", .wanted.uuid, .wanted.ctransid)]
    SubvolumeMissing { role: &'static str, wanted: Identity, there: String },
    #[error("the record \"{}\" in \".butterdock-staging\" is damaged or of another version", .0.escape_ascii())]
    Record(Vec<u8>),
    #[error(
        "the filesystem lost {bytes} bytes of inode {ino} from offset {offset}: they were written, and are missing after a sync"
    )]
    Lost { ino: u64, offset: u64, bytes: u64 },
    #[error(
        "the device {device} reported {writes} failed writes and {flushes} failed flushes during the run (the cause may lie elsewhere on the filesystem)"
    )]
    Device { device: String, writes: u64, flushes: u64 },
    #[error(
        "the filesystem has little room left for metadata, and a reserve must stay free: the stream clones more than fits"
    )]
    MetadataFull,
    #[error("this kernel has no fs-verity on btrfs: {0}")]
    NoVerity(#[source] Fault),
    #[error("{count} errors, the first: {first}")]
    Several { count: u64, first: Box<Error> },
    #[error("the stream differs from the one whose transfer was interrupted")]
    CheckpointDiffers,
    #[error("cancelled")]
    Cancelled,
}

/// The kinds of [`Error`], as a service names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the bus contract")]
pub enum ErrorKind {
    InvalidStream,
    TruncatedStream,
    UnsupportedStream,
    ParentMissing,
    NoSpace,
    ReadOnly,
    Exists,
    Busy,
    DeviceGone,
    Cancelled,
    Failed,
}

/// A run that failed.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub error: Error,
    /// The subvolumes that were published before the error; they stay.
    pub published: Vec<Published>,
    /// The hidden subvolume of the failed one could not be deleted.
    pub left_hidden: bool,
    /// How much was done.
    pub counts: Counts,
}

impl Error {
    pub(crate) fn new(cause: Cause) -> Self {
        Self { place: None, name: None, cause }
    }

    /// An error of a kernel call; `doing` completes "cannot …".
    pub(crate) fn call(doing: &'static str, fault: Fault) -> Self {
        Self::new(Cause::Call { doing, fault })
    }

    /// An extended attribute could not be set.
    pub(crate) fn attribute(name: &[u8], value: &[u8], fault: Fault) -> Self {
        let size = u64::try_from(name.len().saturating_add(value.len())).unwrap_or(u64::MAX);
        Self::new(Cause::Attribute { attribute: name.to_vec(), size, fault })
    }

    /// Adds why the filesystem under `fd` refused to write, if it did for lack of space.
    pub(crate) fn with_space_cause(self, fd: impl AsFd) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "only a call of the kernel is refused for lack of space")]
        let space = match &self.cause {
            Cause::Call { fault, .. } => SpaceCause::of(fd, *fault, None),
            Cause::Attribute { size, fault, .. } => SpaceCause::of(fd, *fault, Some(*size)),
            _ => None,
        };
        match space {
            Some(space) => Self { cause: Cause::NoSpace { cause: Box::new(self.cause), space }, ..self },
            None => self,
        }
    }

    /// Why the filesystem refused to write, if it did for lack of space and the cause is known.
    #[must_use]
    pub fn space_cause(&self) -> Option<SpaceCause> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the other causes are not about space")]
        match &self.cause {
            Cause::NoSpace { space, .. } => Some(*space),
            Cause::MetadataFull => Some(SpaceCause::Metadata),
            Cause::Several { first, .. } => first.space_cause(),
            _ => None,
        }
    }

    pub(crate) fn at(mut self, place: Position) -> Self {
        self.place.get_or_insert(place);
        self
    }

    pub(crate) fn on(mut self, name: &[u8]) -> Self {
        self.name.get_or_insert_with(|| name.to_vec());
        self
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Stream(error) if is_truncated(error) => ErrorKind::TruncatedStream,
            Cause::Stream(error) if is_unsupported(error) => ErrorKind::UnsupportedStream,
            Cause::Stream(_) | Cause::Name(_) | Cause::Payload(_) | Cause::Order(_) | Cause::Value(_) => {
                ErrorKind::InvalidStream
            }
            Cause::SubvolumeName(_) => ErrorKind::InvalidStream,
            Cause::Call { fault, .. } | Cause::Attribute { fault, .. } | Cause::Unconfirmed { fault, .. } => {
                errno_kind(fault.errno)
            }
            Cause::NoSpace { space, .. } if !space.is_full() => ErrorKind::Failed,
            Cause::NoSpace { .. } => ErrorKind::NoSpace,
            Cause::MetadataFull => ErrorKind::NoSpace,
            Cause::Exists(_) => ErrorKind::Exists,
            Cause::SubvolumeMissing { .. } => ErrorKind::ParentMissing,
            Cause::Lost { .. } | Cause::Device { .. } => ErrorKind::DeviceGone,
            Cause::NoVerity(_) | Cause::WithoutData => ErrorKind::UnsupportedStream,
            Cause::Several { first, .. } => first.kind(),
            Cause::Cancelled => ErrorKind::Cancelled,
            Cause::Read(_)
            | Cause::NotBtrfs
            | Cause::Staging(_)
            | Cause::Record(_)
            | Cause::OneName
            | Cause::CheckpointDiffers => ErrorKind::Failed,
        }
    }

    /// Whether the subvolume has its name, and may be missing after a power cut.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        matches!(self.cause, Cause::Unconfirmed { .. })
    }

    /// What a user can do about it.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match &self.cause {
            Cause::Stream(error) if error.kind == StreamError::Empty => {
                "check the sending side: it may have failed before it sent anything"
            }
            Cause::OneName => "receive without --as, or one subvolume at a time",
            Cause::WithoutData => "send again without --no-data",
            Cause::Attribute { fault, .. } if fault.errno == Errno::ENOSPC => {
                "the attribute may be larger than this filesystem's metadata blocks, or the filesystem is full"
            }
            Cause::Attribute { attribute, fault, .. } if fault.errno == Errno::EOPNOTSUPP => {
                if attribute.starts_with(ACL) {
                    "the destination is mounted without ACLs (noacl), and without its ACL other users could have access to the \
                     file; mount the destination without noacl, then send again"
                } else {
                    "this kernel or filesystem has no such attributes; remove it at the source (setfattr -x), then send again"
                }
            }
            Cause::Attribute { attribute, fault, .. } if fault.errno == Errno::EINVAL && attribute == COMPRESSION => {
                "this kernel does not know the compression; set another one at the source (btrfs property set), then send again"
            }
            Cause::Stream(error) if is_truncated(error) => "the transfer was cut off; send the subvolume again",
            Cause::Stream(error) if is_unsupported(error) => {
                "send with an older protocol (btrfs send --proto) or update butterdock"
            }
            Cause::Stream(_) | Cause::Payload(_) => {
                "the stream was damaged or not made by btrfs send; send the subvolume again"
            }
            Cause::Name(_) | Cause::SubvolumeName(_) => {
                "no btrfs send makes such a name; do not trust the origin of this stream"
            }
            Cause::Order(_) | Cause::Value(_) => "no btrfs send makes such a stream; do not trust its origin",
            Cause::Call { fault, .. } | Cause::Attribute { fault, .. } => errno_advice(fault.errno),
            Cause::NoSpace { space, .. } => space.advice(),
            Cause::Unconfirmed { .. } => {
                "check the drive and its cable (btrfs device stats, dmesg) and mount it again; if the subvolume exists then, it is \
                 complete, otherwise send it again"
            }
            Cause::Read(_) => "check the file or the sending side and try again",
            Cause::Exists(_) => "delete or rename it, or choose another name with --as",
            Cause::NotBtrfs => "choose a directory on a mounted btrfs filesystem",
            Cause::Staging(_) => {
                "rename or delete it: only a directory that belongs to root and that no other user can enter may have this name"
            }
            Cause::Record(_) => "delete it; increments to its subvolume then need a full stream first",
            Cause::SubvolumeMissing { .. } => "send a full stream, or receive the missing subvolume first",
            Cause::Lost { .. } | Cause::Device { .. } => {
                "check the drive and its cable (btrfs device stats, dmesg), then send again"
            }
            Cause::MetadataFull => {
                "delete old snapshots or add a device (btrfs filesystem usage shows the room), then send again"
            }
            Cause::NoVerity(_) => "receive with --no-verity to leave fs-verity out",
            Cause::Several { first, .. } => first.advice(),
            Cause::CheckpointDiffers => "its checkpoint is deleted; send again, and the transfer starts over",
            Cause::Cancelled => "start it again at any time",
        }
    }
}

/// Makes an error of a kernel call; `what` completes "cannot …".
pub(crate) fn doing(what: &'static str) -> impl Fn(Fault) -> Error {
    move |fault| Error::call(what, fault)
}

fn is_truncated(error: &butterdock_stream::Error) -> bool {
    matches!(error.kind, StreamError::Truncated { .. } | StreamError::Empty)
}

fn is_unsupported(error: &butterdock_stream::Error) -> bool {
    use StreamError::{
        CommandOfLaterVersion, UnknownAttribute, UnknownCommand, UnknownCompression, UnsupportedVersion,
    };
    matches!(
        error.kind,
        UnsupportedVersion(_)
            | UnknownCommand(_)
            | UnknownAttribute(_)
            | UnknownCompression(_)
            | CommandOfLaterVersion { .. }
    )
}

fn errno_kind(errno: Errno) -> ErrorKind {
    #[expect(clippy::wildcard_enum_match_arm, reason = "errno has a hundred and thirty values")]
    match errno {
        Errno::ENOSPC | Errno::EDQUOT => ErrorKind::NoSpace,
        Errno::EROFS => ErrorKind::ReadOnly,
        Errno::EIO | Errno::ENODEV | Errno::ENXIO | Errno::ESHUTDOWN => ErrorKind::DeviceGone,
        Errno::EXDEV | Errno::ELOOP | Errno::ENOTDIR => ErrorKind::InvalidStream,
        Errno::EAGAIN => ErrorKind::Busy,
        _ => ErrorKind::Failed,
    }
}

fn errno_advice(errno: Errno) -> &'static str {
    #[expect(clippy::wildcard_enum_match_arm, reason = "errno has a hundred and thirty values")]
    match errno {
        Errno::ENOSPC => "the destination filesystem is full; make room and send again",
        Errno::EDQUOT => "a quota of the destination is used up; raise it and send again",
        Errno::EROFS => {
            "the destination is read-only (a mount option, or an error forced it); see dmesg, remount and send again"
        }
        Errno::EIO => "the drive failed; check it and its cable (btrfs device stats, dmesg), then send again",
        Errno::EPERM | Errno::EACCES => "run as root, or check the attributes (lsattr) of its directory",
        Errno::EXDEV | Errno::ELOOP => {
            "the name leads out of the received subvolume; do not trust the origin of this stream"
        }
        Errno::ENOENT | Errno::EEXIST | Errno::ENOTDIR | Errno::EISDIR | Errno::ENOTEMPTY => {
            "the stream does not match the files here; send a full stream"
        }
        Errno::EAGAIN => "another program changed the same directory at the same time; try again",
        Errno::EMFILE | Errno::ENFILE => "raise the limit of open files (ulimit -n) and try again",
        Errno::ENOMEM => "free some memory and try again",
        _ => "see dmesg for the kernel's reason and send again",
    }
}

impl fmt::Display for Error {
    /// One line: what happened, on which name, where in the stream, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Cause::Several { .. } = self.cause {
            return write!(f, "{}", self.cause);
        }
        write!(f, "{}", self.cause)?;
        if let Some(name) = &self.name {
            write!(f, ", on \"{}\"", name.escape_ascii())?;
        }
        if let (Some(place), false) = (self.place, matches!(self.cause, Cause::Stream(_))) {
            write!(f, ", at command {} (byte {})", place.command, place.at)?;
        }
        write!(f, "; {}", self.advice())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)?;
        if self.left_hidden {
            f.write_str("; a hidden subvolume is left in the destination; the next receive there deletes it")?;
        } else if self.error.kind() == ErrorKind::Cancelled {
            f.write_str("; no incomplete subvolume is left")?;
        }
        if !self.published.is_empty() {
            f.write_str("; received before the error and kept:")?;
            for subvolume in &self.published {
                write!(f, " \"{}\"", subvolume.name.escape_ascii())?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_whether_a_hidden_subvolume_is_left() {
        let message = |cause, left_hidden| {
            let error = Error::new(cause);
            Failure { error, published: Vec::new(), left_hidden, counts: Counts::default() }.to_string()
        };
        assert!(message(Cause::Cancelled, false).ends_with("no incomplete subvolume is left"));
        for cause in [Cause::Cancelled, Cause::OneName] {
            let message = message(cause, true);
            assert!(message.contains("a hidden subvolume is left") && !message.contains("no incomplete"), "{message}");
        }
    }
}
