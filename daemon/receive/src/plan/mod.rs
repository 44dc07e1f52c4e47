//! Turns commands into steps, without any I/O.
//!
//! The planner folds a window of commands before they are applied:
//!
//! * `MKFILE tmp` + `RENAME tmp → final` → one creation under the final name. Likewise the other kinds of inode.
//! * consecutive commands on one path → one [`Work`], applied through one descriptor;
//! * `CHMOD` of an inode created in the same window → its mode from the beginning;
//! * `WRITE`s that touch → one write.
//!
//! A fold is an offer. It must not be visible: the target must be absent, and the final directory and the root must hand
//! down the same attributes. Only the volume knows this, so the applier decides, and applies the commands one by one
//! otherwise.

mod planner;

#[cfg(test)]
mod tests;

use butterdock_stream::{Extent, Identity, Place, Shared, Time};

use crate::name::StreamPath;

pub(crate) use planner::Planner;

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
