//! What the service sends.

use serde::{Deserialize, Serialize};

use super::Subject;
use crate::backups::{Identity, SharedSnapshot, Task};
use crate::files;
use crate::hex;
use crate::priority::Priority;

/// The first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The order.
    pub order: Order,
    /// The worker's priority.
    pub priority: Priority,
}

/// An order of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Receive a stream into a directory. Descriptors: the stream, the directory.
    Receive {
        /// The subvolume's name (default: the name in the stream).
        #[serde(with = "hex::optional")]
        name: Option<Vec<u8>>,
        /// Decode every compressed extent and refuse one that does not decode.
        verify: bool,
        /// Write compressed extents decompressed.
        force_decompress: bool,
        /// Do not enable fs-verity.
        no_verity: bool,
        /// How many threads write data (default: one for each core).
        writer_threads: Option<usize>,
        /// Refuse a parent whose number differs from the one in the stream.
        strict_parent: bool,
        /// The user who started the job. Only subvolumes that records of root or of this user name can be parents.
        asked_by: u32,
        /// A subvolume without a record can also be a parent, if only root can have made it.
        #[serde(default)]
        unrecorded_if_roots: bool,
        /// The first descriptor is a socket that contains the stream's descriptor.
        #[serde(default)]
        quarantined: bool,
    },
    /// Make a snapshot of a source and send it to a drive. Descriptors: the source, the folder for its snapshots, the
    /// directory on the drive.
    Backup(Task),
    /// Prune the snapshots beside the source. Descriptor: the folder for its snapshots.
    Prune(Task),
    /// Delete snapshots that a person chose, or only find out what that frees. Descriptor: a directory of their filesystem.
    Delete {
        /// Their uuids.
        snapshots: Vec<Identity>,
        /// Delete nothing.
        measure: bool,
    },
    /// Send a snapshot on a drive, with those of the subvolumes below its source, into a directory. Descriptors: the snapshot, the
    /// folder on the drive that has it, the directory.
    Restore {
        /// The subvolume's name (default: the snapshot's name).
        #[serde(with = "hex::optional")]
        name: Option<Vec<u8>>,
        /// How many threads write data (default: one for each core).
        writer_threads: Option<usize>,
        /// The snapshots that this machine and the drive share: only these can be parents.
        #[serde(default)]
        shared: Vec<SharedSnapshot>,
    },
    /// Compare all data on a drive with its checksums. Descriptor: the top of the drive's filesystem.
    Verify,
    /// Receive the stream files in a folder into a directory. Descriptors: the folder, the directory.
    Import {
        /// Only the file with this name.
        #[serde(with = "hex::optional")]
        only: Option<Vec<u8>>,
        /// Decode every compressed extent and refuse one that does not decode.
        verify: bool,
        /// The user who started the job. Only subvolumes that records of root or of this user name can be parents.
        asked_by: u32,
        /// How many threads write data (default: one for each core).
        writer_threads: Option<usize>,
    },
    /// List the stream files in a folder. Descriptor: the folder.
    Streams,
    /// List, read or restore files in a snapshot. Descriptors: those of the [task](files::FilesTask).
    Files(files::FilesOrder),
    /// Delete the hidden leftovers of crashed runs in a directory. Descriptor: the directory.
    Sweep,
    /// Cancel the job; only after a start.
    Cancel,
    /// Write up to this many bytes per second from now on; only after the start of a backup.
    MaxRate(Option<u64>),
}

impl Order {
    /// The rate limit that the worker begins with, in bytes per second.
    pub fn max_rate(&self) -> Option<u64> {
        match self {
            Self::Backup(task) => task.max_rate,
            Self::Receive { .. }
            | Self::Prune(_)
            | Self::Delete { .. }
            | Self::Restore { .. }
            | Self::Verify
            | Self::Import { .. }
            | Self::Streams
            | Self::Files(_)
            | Self::Sweep
            | Self::Cancel
            | Self::MaxRate(_) => None,
        }
    }

    /// The user in whose identity the worker runs; none for root.
    pub fn user(&self) -> Option<u32> {
        match self {
            Self::Files(order) => order.caller.as_ref().map(|caller| caller.uid),
            Self::Receive { .. }
            | Self::Backup(_)
            | Self::Prune(_)
            | Self::Delete { .. }
            | Self::Restore { .. }
            | Self::Verify
            | Self::Import { .. }
            | Self::Streams
            | Self::Sweep
            | Self::Cancel
            | Self::MaxRate(_) => None,
        }
    }

    /// The subject of the order.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Receive { .. } => Subject::Stream,
            Self::Backup(_) | Self::Prune(_) | Self::Restore { .. } => Subject::Snapshots,
            Self::Delete { .. } => Subject::Deletion,
            Self::Verify => Subject::Drive,
            Self::Import { .. } | Self::Streams => Subject::StreamFiles,
            Self::Files(order) if order.is_sweep() => Subject::Leftovers,
            Self::Files(_) => Subject::Files,
            Self::Sweep | Self::Cancel | Self::MaxRate(_) => Subject::Leftovers,
        }
    }
}
