//! The order of a backup worker, and the events that it reports.

use serde::{Deserialize, Serialize};

use super::retention::{Reason, RetentionRule};
use super::seen::Seen;
use super::shared::{Learned, Mark, SharedSnapshot};
use super::shared_snapshots::Why;
use super::snapshot::Identity;
use crate::bytes;
use crate::clock::{Reading, boot_time};

/// One backup of one source to one drive. With it come three descriptors: the source's root directory, the folder for its
/// snapshots, and the destination directory on the drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The name of the backup, with which those of its snapshots begin.
    #[serde(with = "bytes")]
    pub name: Vec<u8>,
    /// The uuid that the source must have; if none is given, the worker reports the one that it has.
    pub source: Option<Identity>,
    /// What is kept beside the source, and on the drive.
    pub keep: RetentionRule,
    /// Nothing younger is deleted; in seconds.
    pub protect: u64,
    /// What drives need for their next increment, this one with them.
    pub pins: Vec<Mark>,
    /// The uuid that this drive's last backup has there; none before the first.
    #[serde(default)]
    pub last: Option<Identity>,
    /// This machine, as records on drives have it.
    pub machine: Identity,
    /// The sources that this backup's snapshots on this drive are of, as far as the daemon remembers.
    #[serde(default)]
    pub sources: Vec<Identity>,
    /// What this machine and the drive share, as far as the daemon remembers: nothing else is a parent.
    #[serde(default)]
    pub shared: Vec<SharedSnapshot>,
    /// The daemon remembers no more than version 1 did: snapshots on the drive may have no record yet.
    #[serde(default)]
    pub adopt: bool,
    /// How many threads write data; one for each core where nothing is said.
    pub writer_threads: Option<usize>,
    /// Only report what would be sent and deleted.
    pub dry_run: bool,
    /// What the daemon knows of time.
    #[serde(default)]
    pub time: TaskTime,
}

#[cfg(test)]
impl Task {
    /// Of a backup of this name on this machine, that keeps what a rule without words keeps.
    pub fn of(name: &[u8], machine: Identity) -> Self {
        Self {
            name: name.to_vec(),
            source: None,
            keep: RetentionRule::default(),
            protect: 0,
            pins: Vec::new(),
            last: None,
            machine,
            sources: Vec::new(),
            shared: Vec::new(),
            adopt: false,
            writer_threads: None,
            dry_run: false,
            time: TaskTime::default(),
        }
    }
}

/// Events of a backup, beside the reports of every receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupEvent {
    /// The source is there and is what it should be: the first of all.
    Source {
        /// The subvolume's own uuid.
        uuid: Identity,
    },
    /// A snapshot of the source was made; it gets this name when it was sent.
    Snapshot {
        /// The name, as bytes.
        #[serde(with = "bytes")]
        name: Vec<u8>,
        /// The subvolume's own uuid.
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
    Estimated {
        /// In bytes.
        bytes: u64,
    },
    /// Nothing changed since the last backup on this drive: nothing is sent and nothing deleted.
    Unchanged {
        /// What the service is to remember.
        learned: Learned,
    },
    /// The drive has the snapshot: what it needs for its next increment from now on.
    Pinned {
        /// What the service is to remember.
        learned: Learned,
    },
    /// The volume has the snapshot of the drive, which may be a parent from now on.
    Restored {
        /// The pair of the source's snapshot and its counterpart.
        shared: SharedSnapshot,
    },
    /// Snapshots on the drive are not what was sent there under these uuids, and are not used.
    Replaced {
        /// The uuids on the drive.
        there: Vec<Identity>,
    },
    /// The snapshots of this backup on one side, in pieces; the last piece says so.
    Seen {
        /// Whether it is on the drive, and not beside the source.
        drive: bool,
        /// A piece of the list.
        snapshots: Vec<Seen>,
        /// The list ends with this piece.
        last: bool,
    },
    /// This many snapshots of this backup on one side are dated in the future. The rule does not count them.
    FromFuture {
        /// Whether it is on the drive, and not beside the source.
        drive: bool,
        /// How many.
        count: usize,
    },
    /// A snapshot was deleted because the rule keeps it no longer; in a dry run it would be.
    Pruned {
        /// On the drive, or else beside the source.
        drive: bool,
        /// The name, as bytes.
        #[serde(with = "bytes")]
        name: Vec<u8>,
    },
    /// A snapshot is kept; only in a dry run.
    Kept {
        /// Whether it is on the drive, and not beside the source.
        drive: bool,
        /// The name, as bytes.
        #[serde(with = "bytes")]
        name: Vec<u8>,
        /// Why.
        reason: Reason,
    },
}

/// What the daemon knows of time. As it is by default a worker has the kernel's wall time, and protects everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskTime {
    /// Wall time when the order was given, in seconds since 1970, and boot time then, from where the worker counts on.
    pub given: Option<Given>,
    /// The clock is in doubt: nothing is deleted.
    pub stopped: bool,
    /// Snapshots beside the source that were made before this transaction were seen first at least `protect` ago.
    pub settled_source: u64,
    /// The same on the drive, in its own transactions.
    pub settled_drive: u64,
}

/// A moment by both clocks, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub wall: i64,
    pub boot: u64,
}

impl TaskTime {
    /// What the clocks say, and whether that is in doubt.
    pub fn of(reading: &Reading, stopped: bool) -> Self {
        let Reading { wall, boot, .. } = *reading;
        Self { given: Some(Given { wall, boot }), stopped, ..Self::default() }
    }

    /// Wall time now, in seconds since 1970: the one that was given, and boot time since.
    pub fn now(&self) -> i64 {
        self.given.map_or_else(wall_time, |given| {
            let passed = boot_time().saturating_sub(given.boot);
            given.wall.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
        })
    }
}

/// The kernel's wall time.
fn wall_time() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_worker_has_the_time_that_it_is_given() {
        let reading = Reading { wall: 1000, boot: boot_time(), boot_id: Uuid::nil(), synchronised: Some(false) };
        let time = TaskTime::of(&reading, true);
        assert!((1000..1100).contains(&time.now()) && time.stopped);
        let past = TaskTime::of(&Reading { boot: boot_time() - 50, ..reading }, false);
        assert!((1050..1150).contains(&past.now()), "what passed since then is counted");
    }
}
