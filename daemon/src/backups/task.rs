//! What a worker is told to do, and what it tells of it.

use serde::{Deserialize, Serialize};

use super::common::Why;
use super::identity::Identity;
use super::keep::{Keep, Reason};
use super::seen::Seen;
use super::shared::{Learned, Mark, SharedSnapshot};
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
    /// This machine, as records on drives have it.
    pub(crate) machine: Identity,
    /// The sources that this backup's snapshots on this drive are of, as far as the daemon remembers.
    #[serde(default)]
    pub(crate) sources: Vec<Identity>,
    /// What this machine and the drive share, as far as the daemon remembers: nothing else is a parent.
    #[serde(default)]
    pub(crate) shared: Vec<SharedSnapshot>,
    /// The daemon remembers no more than version 1 did: snapshots on the drive may have no record yet.
    #[serde(default)]
    pub(crate) adopt: bool,
    /// How many threads write data; one for each core where nothing is said.
    pub(crate) lanes: Option<usize>,
    /// Tell what would be sent and deleted, and do nothing.
    pub(crate) dry_run: bool,
    /// What the daemon knows of time.
    #[serde(default)]
    pub(crate) time: TaskTime,
}

#[cfg(test)]
impl Task {
    /// Of a backup of this name on this machine, that keeps what a rule without words keeps.
    pub(crate) fn of(name: &[u8], machine: Identity) -> Self {
        Self {
            name: name.to_vec(),
            source: None,
            keep: Keep::default(),
            protect: 0,
            pins: Vec::new(),
            last: None,
            machine,
            sources: Vec::new(),
            shared: Vec::new(),
            adopt: false,
            lanes: None,
            dry_run: false,
            time: TaskTime::default(),
        }
    }
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
    Unchanged { learned: Learned },
    /// The drive has the snapshot: what it needs for its next increment from now on.
    Pinned { learned: Learned },
    /// The volume has the snapshot of the drive, which may be a parent from now on.
    Restored { shared: SharedSnapshot },
    /// Snapshots on the drive are not what was sent there under these uuids, and are not used.
    Replaced { there: Vec<Identity> },
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
