//! Turns commands into steps, without any I/O.
//!
//! The planner folds the commands of a window:
//!
//! * `MKFILE tmp` + `RENAME tmp → final` → one creation under the final name; likewise for the other kinds of inode;
//! * consecutive commands on one path → one [`Work`], applied through one descriptor;
//! * `CHMOD` of an inode created in the same window → the mode of its creation;
//! * adjacent `WRITE`s → one write.
//!
//! A fold must not be visible in the result: the final name must be free, and a new inode must inherit the same attributes
//! from the final directory and from the root. Only the volume knows this, so the applier decides; otherwise it applies the
//! commands one by one.

mod planner;

#[cfg(test)]
mod tests;

use butterdock_stream::{Extent, Identity, Position, Shared, Time};

use crate::name::StreamPath;

pub(crate) use planner::Planner;

/// An action, and the command that it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    /// The place of the first command that it was folded from.
    pub place: Position,
    /// The action.
    pub action: Action,
}

/// An action on the volume.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Action {
    /// Begin a subvolume.
    Begin(Begin),
    /// The subvolume is complete: make it durable and publish it.
    End,
    /// Create or change one inode.
    Work(Work),
    /// Rename.
    Rename {
        /// The old name.
        from: StreamPath,
        /// The new name; an existing file of this name is replaced.
        to: StreamPath,
    },
    /// Give an inode another name.
    Link {
        /// The existing name.
        existing: StreamPath,
        /// The new name.
        path: StreamPath,
    },
    /// Remove the name of a file that is not a directory.
    Unlink(StreamPath),
    /// Remove an empty directory.
    Rmdir(StreamPath),
}

/// The beginning of a subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begin {
    /// The name in the stream.
    pub name: Box<[u8]>,
    /// The identity that it is marked with at the end.
    pub identity: Identity,
    /// The parent, of which it begins as a snapshot.
    pub parent: Option<Identity>,
}

/// Changes to one inode, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Work {
    /// Set if the inode is created first.
    pub creation: Option<Creation>,
    /// The path of the inode after its creation.
    pub path: StreamPath,
    /// The changes, each with the place of its command.
    pub changes: Vec<(Position, Change)>,
}

/// The creation of an inode.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Creation {
    /// Its first path in the stream.
    pub temporary: StreamPath,
    /// The command that renames it to the path of the [`Work`]; none if it keeps its first path.
    pub renamed: Option<Position>,
    /// Its type.
    pub new: NewInode,
    /// Its final mode, if a command of the same window sets it.
    pub mode: Option<u32>,
}

/// The type of a new inode.
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
    /// Writes `parts` one after another, from `offset` on.
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

/// The parameters of fs-verity (`struct fsverity_enable_arg`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verity {
    pub algorithm: u8,
    pub block_size: u32,
    pub salt: Box<[u8]>,
    pub signature: Box<[u8]>,
}

impl Change {
    /// How many bytes of the stream it keeps in memory, with copies of them.
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
