//! Files in a snapshot: lists them, finds their versions in several snapshots, reads one, and restores some. This runs in a worker,
//! because an attacker may have made the snapshot.
//!
//! ```text
//! order     the worker's order and its descriptors; opens the snapshots before the worker is confined
//! tree      resolves paths below the root of a snapshot, or of the directory that files are restored to
//! list      lists a directory, and looks for one path in several snapshots
//! read      copies a file into a pipe
//! restore   restores files and directories
//! ```
//!
//! Names are bytes. A path never leads through a symbolic link, into another subvolume, or above its root, and only regular files
//! and directories are opened. On behalf of a user without the right to restore, the worker takes the identity of that user
//! ([`crate::caller`]), and the kernel decides which files can be read and written.
//!
//! A file that is read goes through a pipe. A descriptor of the file itself would keep the drive busy for as long as the reader
//! likes; a job that fills a pipe ends with the drive, by a cancel, and when the reader reads nothing for long.

mod cause;
mod list;
mod order;
mod read;
mod restore;
mod tree;

use serde::{Deserialize, Serialize};

use crate::backups::Identity;
use crate::hex;

pub use cause::FileCause;
pub(crate) use cause::FileError;
pub(crate) use order::FilesJob;
pub use order::{FilesOrder, FilesTask};
pub use restore::{Conflict, MOST_PATHS, RestoreTo, Restored, SELECTION_MAX, day};

/// The largest number of rows in one list.
pub const MOST_ROWS: u32 = 5000;
/// The largest number of snapshots in which one worker looks for a path; each is open meanwhile.
pub const MOST_SNAPSHOTS: usize = 500;
/// The names and the targets of links in one list have up to about this many bytes.
const MOST_BYTES: usize = 1 << 20;

/// A path in an order: bytes, relative, without empty parts, `.` and `..`. The empty path is the root.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FilePath(#[serde(with = "hex")] pub Vec<u8>);

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link. It is never followed.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharacterDevice,
}

/// A row of a list. It contains names, so not all users may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// The name: the last part of the path.
    #[serde(with = "hex")]
    pub name: Vec<u8>,
    /// The type.
    pub kind: FileKind,
    /// The size in bytes.
    pub size: u64,
    /// When its content last changed: microseconds since 1970.
    pub modified: i64,
    /// The permissions: the lower 12 bits of the mode.
    pub mode: u32,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The target of a symbolic link.
    #[serde(with = "hex::optional")]
    pub target: Option<Vec<u8>>,
}

/// An event of a job or a query about files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileEvent {
    /// A row of a list, in the order of names as bytes.
    Row(FileRow),
    /// The end of a list.
    Listed {
        /// There are names after the last row.
        more: bool,
    },
    /// The path exists in this snapshot.
    Version {
        /// The snapshot.
        snapshot: Identity,
        /// The file there.
        row: FileRow,
    },
    /// This many bytes will be read or restored.
    Total {
        /// In bytes.
        bytes: u64,
    },
    /// What was restored, at the end.
    Restored(Restored),
}
