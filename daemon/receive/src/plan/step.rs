//! The steps that the planner gives to the applier; each command is checked here for values that no file can have.

use butterdock_stream::{Command, Extent, Identity, Place, Shared, Time};

use crate::error::{Cause, Error};
use crate::name::{NameError, StreamPath};

/// One thing to do, and the command it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// The first of the commands that it was folded from.
    pub place: Place,
    /// What to do.
    pub action: Action,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Begin a subvolume.
    Begin(Begin),
    /// The subvolume is whole: make it durable and publish it.
    End,
    /// Work on one inode.
    Work(Work),
    /// Move a name.
    Rename {
        /// The old name.
        from: StreamPath,
        /// The new one; an existing one is replaced.
        to: StreamPath,
    },
    /// Give an inode another name.
    Link {
        /// The name it has.
        existing: StreamPath,
        /// The name it gets.
        path: StreamPath,
    },
    /// Remove a name that is no directory.
    Unlink(StreamPath),
    /// Remove an empty directory.
    Rmdir(StreamPath),
}

/// How a subvolume begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begin {
    /// The name in the stream.
    pub name: Box<[u8]>,
    /// What it is marked with at the end.
    pub identity: Identity,
    /// The subvolume that it begins as a snapshot of.
    pub parent: Option<Identity>,
}

/// Changes to one inode, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Work {
    /// Set where the inode is made first.
    pub creation: Option<Creation>,
    /// The name of the inode once it is made.
    pub path: StreamPath,
    /// The changes, each with its command.
    pub changes: Vec<(Place, Change)>,
}

/// How an inode is made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Creation {
    /// The name that the stream gives it at first.
    pub temporary: StreamPath,
    /// The command that renames it to the work's path; none where it keeps its first name.
    pub renamed: Option<Place>,
    /// What it is.
    pub new: NewInode,
    /// The mode that it ends with, where the window knew.
    pub mode: Option<u32>,
}

/// What a new inode is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewInode {
    File,
    Directory,
    Symlink { target: Box<[u8]> },
    Fifo,
    Socket,
    CharDevice { rdev: u64 },
    BlockDevice { rdev: u64 },
}

/// One change to an inode. See `butterdock_stream::Command` for the fields.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// `parts` one after another, from `offset` on.
    Write {
        offset: u64,
        parts: Vec<Shared>,
    },
    Encoded {
        extent: Extent,
        payload: Shared,
    },
    Clone {
        offset: u64,
        len: u64,
        source: Identity,
        source_path: StreamPath,
        source_offset: u64,
    },
    Truncate {
        size: u64,
    },
    Punch {
        offset: u64,
        len: u64,
    },
    Chmod {
        mode: u32,
    },
    Chown {
        uid: u32,
        gid: u32,
    },
    Utimes {
        atime: Time,
        mtime: Time,
    },
    SetXattr {
        name: Box<[u8]>,
        data: Shared,
    },
    RemoveXattr {
        name: Box<[u8]>,
    },
    Fileattr {
        attr: u64,
    },
    Verity(Box<Verity>),
}

/// What fs-verity is switched on with (`struct fsverity_enable_arg`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verity {
    pub algorithm: u8,
    pub block_size: u32,
    pub salt: Box<[u8]>,
    pub signature: Box<[u8]>,
}

impl Change {
    /// How many bytes of the stream it keeps alive, copies of them included.
    #[must_use]
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Write { parts, .. } => parts.iter().fold(0, |sum, part| sum.saturating_add(part.len())),
            Self::Encoded { payload, .. } => payload.len(),
            Self::SetXattr { name, data } => name.len().saturating_add(data.len()),
            Self::RemoveXattr { name } => name.len(),
            Self::Clone { source_path, .. } => source_path.as_bytes().len(),
            Self::Verity(verity) => verity.salt.len().saturating_add(verity.signature.len()),
            Self::Truncate { .. }
            | Self::Punch { .. }
            | Self::Chmod { .. }
            | Self::Chown { .. }
            | Self::Utimes { .. }
            | Self::Fileattr { .. } => 0,
        }
    }
}

/// The mode bits that a stream may set.
const MODE_BITS: u32 = 0o7777;
const FILE_TYPE: u64 = 0o170_000;
const CHAR_DEVICE: u64 = 0o020_000;
const BLOCK_DEVICE: u64 = 0o060_000;
/// `FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE`, the only mode that the kernel sends.
const PUNCH_HOLE_KEEP_SIZE: u32 = 3;
/// Limits of `setxattr(2)`.
const XATTR_NAME_MAX: usize = 255;
const XATTR_SIZE_MAX: usize = 65_536;
/// Limits of `FS_IOC_ENABLE_VERITY`.
const SALT_MAX: usize = 32;
const SIGNATURE_MAX: usize = 16_128;

/// The changes that fold with nothing.
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest makes, moves or removes names")]
pub(super) fn change<'a>(
    command: &Command<'a>,
    share: impl Fn(&[u8]) -> Shared,
) -> Result<Option<(&'a [u8], Change)>, Error> {
    let (path, change) = match *command {
        Command::EncodedWrite { path, extent, data } => (path, Change::Encoded { extent, payload: share(data) }),
        Command::Clone { path, offset, len, source, source_path, source_offset } => {
            // ioctl(2) clones up to the end of the source then, which is not what the command says.
            if len == 0 {
                return Err(value("a clone has no bytes"));
            }
            let ends = [offset.checked_add(len), source_offset.checked_add(len)];
            if ends.iter().any(|end| end.is_none_or(|end| i64::try_from(end).is_err())) {
                return Err(value("a clone ends beyond the largest file"));
            }
            (path, Change::Clone { offset, len, source, source_path: named(source_path)?, source_offset })
        }
        Command::Truncate { path, size } => {
            i64::try_from(size).map_err(|_error| value("a size is beyond the largest file"))?;
            (path, Change::Truncate { size })
        }
        Command::Chmod { path, mode } => {
            let mode = u32::try_from(mode).map_err(|_error| value("a mode has more than 32 bits"))?;
            (path, Change::Chmod { mode: mode & MODE_BITS })
        }
        Command::Chown { path, uid, gid } => match (owner(uid), owner(gid)) {
            (Some(uid), Some(gid)) => (path, Change::Chown { uid, gid }),
            _ => return Err(value("an owner is no 32-bit id")),
        },
        Command::Utimes { path, atime, mtime, .. } => {
            if atime.nanoseconds >= 1_000_000_000 || mtime.nanoseconds >= 1_000_000_000 {
                return Err(value("a time has a second or more of nanoseconds"));
            }
            (path, Change::Utimes { atime, mtime })
        }
        Command::SetXattr { path, name, data } => {
            xattr_name(name)?;
            if data.len() > XATTR_SIZE_MAX {
                return Err(value("an extended attribute is larger than 64 KiB"));
            }
            (path, Change::SetXattr { name: name.into(), data: share(data) })
        }
        Command::RemoveXattr { path, name } => {
            xattr_name(name)?;
            (path, Change::RemoveXattr { name: name.into() })
        }
        Command::Fallocate { path, mode, offset, len } => {
            if mode != PUNCH_HOLE_KEEP_SIZE {
                return Err(value("a fallocate mode other than punching a hole"));
            }
            if len == 0 || offset.checked_add(len).is_none_or(|end| i64::try_from(end).is_err()) {
                return Err(value("a hole is empty or ends beyond the largest file"));
            }
            (path, Change::Punch { offset, len })
        }
        Command::Fileattr { path, attr } => (path, Change::Fileattr { attr }),
        Command::EnableVerity { path, algorithm, block_size, salt, signature } => {
            if salt.len() > SALT_MAX || signature.len() > SIGNATURE_MAX {
                return Err(value("the salt or the signature of fs-verity is too long"));
            }
            let verity = Verity { algorithm, block_size, salt: salt.into(), signature: signature.into() };
            (path, Change::Verity(Box::new(verity)))
        }
        _ => return Ok(None),
    };
    Ok(Some((path, change)))
}

/// -1 means "leave it" to `chown(2)`: no inode has it.
fn owner(id: u64) -> Option<u32> {
    u32::try_from(id).ok().filter(|&id| id != u32::MAX)
}

fn xattr_name(name: &[u8]) -> Result<(), Error> {
    if name.is_empty() || name.len() > XATTR_NAME_MAX || name.contains(&0) {
        return Err(value("the name of an extended attribute is empty, too long, or has a NUL"));
    }
    Ok(())
}

pub(super) fn device(mode: u64, rdev: u64) -> Result<NewInode, Error> {
    u32::try_from(rdev).map_err(|_error| value("a device number has more than 32 bits"))?;
    u32::try_from(mode).map_err(|_error| value("a mode has more than 32 bits"))?;
    match mode & FILE_TYPE {
        CHAR_DEVICE => Ok(NewInode::CharDevice { rdev }),
        BLOCK_DEVICE => Ok(NewInode::BlockDevice { rdev }),
        _ => Err(value("MKNOD makes something that is no device")),
    }
}

/// A path that names something below the root.
pub(super) fn named(path: &[u8]) -> Result<StreamPath, Error> {
    match StreamPath::new(path) {
        Ok(path) if path.is_root() => Err(Error::new(Cause::Name(NameError::Root))),
        Ok(path) => Ok(path),
        Err(error) => Err(Error::new(Cause::Name(error))),
    }
}

pub(super) fn value(what: &'static str) -> Error {
    Error::new(Cause::Value(what))
}
