//! What a worker is told to do, and what it tells of it.

use serde::{Deserialize, Serialize};

use super::common::Why;
use super::identity::Identity;
use super::keep::{Keep, Reason};
use super::pins::{Mark, Pin};
use super::seen::Seen;
use super::task_time::TaskTime;
use crate::worker::bytes;

/// One backup of one source to one drive. With it come three descriptors: the source's root directory, the folder for its
/// snapshots, and the destination directory on the drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Task {
    /// The name of the backup, with which those of its snapshots begin.
    #[serde(with = "bytes")]
    pub(crate) name: Vec<u8>,
    /// The uuid that the source must have; where none is given, the one that it has is told.
    pub(crate) source: Option<Identity>,
    /// What is kept beside the source, and on the drive.
    pub(crate) keep: Keep,
    /// Nothing younger is deleted; in seconds.
    pub(crate) protect: u64,
    /// What drives need for their next increment, this one with them.
    pub(crate) pins: Vec<Mark>,
    /// The uuid that this drive's last backup has there; none before the first.
    #[serde(default)]
    pub(crate) last: Option<Identity>,
    /// How many threads write data; one for each core where nothing is said.
    pub(crate) lanes: Option<usize>,
    /// Tell what would be sent and deleted, and do nothing.
    pub(crate) dry_run: bool,
    /// What the daemon knows of time.
    #[serde(default)]
    pub(crate) time: TaskTime,
}

/// What is told of a backup, beside what is told of everything that is received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// The source is there and is what it should be: the first of all.
    Source { uuid: Identity },
    /// A snapshot of the source was made; it gets this name when it was sent.
    Snapshot {
        #[serde(with = "bytes")]
        name: Vec<u8>,
        uuid: Identity,
    },
    /// What is sent: the changes since a snapshot that both sides have, or everything.
    Parent {
        /// The uuid of that snapshot beside the source.
        uuid: Option<Identity>,
        /// Why everything is sent.
        why: Option<Why>,
    },
    /// How much the stream will bring, in bytes; hardly more, and less where the source has files that share extents.
    Estimated { bytes: u64 },
    /// Nothing changed since the last backup on this drive: nothing is sent and nothing deleted.
    Unchanged { pin: Pin },
    /// The drive has the snapshot: what it needs for its next increment from now on.
    Pinned { pin: Pin },
    /// The snapshots of this backup on one side, in pieces; the last piece says so.
    Seen { drive: bool, snapshots: Vec<Seen>, last: bool },
    /// So many snapshots of this backup on one side are dated in the future. They take no place of the rule.
    FromFuture { drive: bool, count: usize },
    /// A snapshot was deleted because the rule keeps it no longer; in a dry run it would be.
    Thinned {
        /// On the drive, or else beside the source.
        drive: bool,
        #[serde(with = "bytes")]
        name: Vec<u8>,
    },
    /// A snapshot is kept; told in a dry run.
    Kept {
        drive: bool,
        #[serde(with = "bytes")]
        name: Vec<u8>,
        reason: Reason,
    },
}
