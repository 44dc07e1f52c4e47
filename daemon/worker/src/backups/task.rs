//! The order of a backup, and the events that its worker reports.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::first_seen::Seen;
use super::lineage::Lineage;
use super::nested::LeftOut;
use super::retention::{Reason, RetentionRule};
use super::shared_record::{PairUuids, RecordUpdate, SharedSnapshot};
use super::shared_snapshots::FullReason;
use super::snapshot::Identity;
use crate::clock::{Reading, boot_time};
use crate::hex;

/// One backup of one source to one drive. Its descriptors: the source's root directory, the folder for its snapshots, and the
/// destination directory on the drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// The name of the backup, the prefix of the names of its snapshots.
    #[serde(with = "hex")]
    pub name: Vec<u8>,
    /// The names that the backup had before, under which snapshots may still be on drives and beside the source.
    #[serde(default)]
    pub former: Vec<String>,
    /// What is recorded of the source: it must be the recorded one, or descend from it. Without a record any source is accepted
    /// and reported.
    #[serde(default)]
    pub lineage: Lineage,
    /// The retention rule, for both sides.
    pub keep: RetentionRule,
    /// Nothing younger is deleted; in seconds.
    pub protect: u64,
    /// The snapshots that all drives, including this one, need for their next increment.
    pub pins: Vec<PairUuids>,
    /// The uuid of the last backup on this drive; `None` before the first.
    #[serde(default)]
    pub last: Option<Identity>,
    /// The id of this machine on drives.
    pub machine: Identity,
    /// The sources of this backup's snapshots on this drive, from the service's record.
    #[serde(default)]
    pub sources: Vec<Identity>,
    /// The service's record of the snapshots that this machine and the drive share: only these can be parents.
    #[serde(default)]
    pub shared: Vec<SharedSnapshot>,
    /// How many of these are this backup's: the first ones.
    #[serde(default)]
    pub own: usize,
    /// The uuids of snapshots on the drive in which a verify found damage: they are no parents, and the retention rule counts
    /// the others without them.
    #[serde(default)]
    pub damaged: Vec<Identity>,
    /// The service's record is of version 1: snapshots on the drive may have no record yet.
    #[serde(default)]
    pub adopt: bool,
    /// How many threads write data (default: one for each core).
    pub writer_threads: Option<usize>,
    /// Write up to this many bytes per second (default: no limit).
    #[serde(default)]
    pub max_rate: Option<u64>,
    /// Only report what would be sent and deleted.
    pub dry_run: bool,
    /// Back up the writable subvolumes below the source too.
    #[serde(default)]
    pub nested: bool,
    /// The paths of the subvolumes below the source that exist, if they are backed up: the newest run on the drive with one of
    /// them is kept, because a later run may leave it out. The worker sets them.
    #[serde(skip)]
    pub existing: BTreeSet<Vec<u8>>,
    /// Send everything, also if nothing changed: no shared snapshot is a parent or a clone source.
    #[serde(default)]
    pub full: bool,
    /// The service's clock.
    #[serde(default)]
    pub time: TaskTime,
    /// Snapshots beside the source that a drive needed for its next increment, and that were unpinned: they are deleted.
    #[serde(default)]
    pub unpinned: Vec<Identity>,
    /// Why this drive's shared snapshot was unpinned, if it was.
    #[serde(default)]
    pub unpin_reason: Option<UnpinReason>,
    /// What is deleted beside the source.
    #[serde(default)]
    pub source_pruning: SourcePruning,
    /// After pruning, find out how much the snapshots beside the source hold.
    #[serde(default)]
    pub measure: bool,
}

/// Why a shared snapshot was unpinned, so that the next backup to its drive is a full one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnpinReason {
    /// The drive was away for longer than `keep_shared_for`.
    Away,
    /// An administrator unpinned it.
    Command,
}

/// Which snapshots beside the source are deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourcePruning {
    /// Those that the rule does not keep.
    #[default]
    Rule,
    /// All but the newest and the pinned ones: the source is running full.
    ToNewest,
    /// None.
    Nothing,
}

impl Task {
    /// The snapshots that this backup made, as far as the service's record has them: the shared ones of this drive, and the pins of
    /// all drives.
    pub(super) fn own_pairs(&self) -> impl Iterator<Item = PairUuids> {
        self.shared.iter().take(self.own).map(SharedSnapshot::uuids).chain(self.pins.iter().copied())
    }

    /// Whether a subvolume of this machine is a snapshot that this backup made, or one that was restored from a snapshot of it.
    pub(super) fn is_ours(&self, uuid: Identity) -> bool {
        let is_on_drive = |there: Identity| self.own_pairs().any(|pair| pair.there == there);
        let restored = self.shared.iter().map(SharedSnapshot::uuids);
        self.own_pairs().any(|pair| pair.here == uuid)
            || restored.filter(|pair| pair.here == uuid).any(|pair| is_on_drive(pair.there))
    }
}

impl Task {
    /// A task to prune beside the source of this lineage, with defaults.
    pub fn pruning(name: &[u8], machine: Identity, lineage: Lineage) -> Self {
        Self {
            name: name.to_vec(),
            former: Vec::new(),
            lineage,
            keep: RetentionRule::default(),
            protect: 0,
            pins: Vec::new(),
            last: None,
            machine,
            sources: Vec::new(),
            shared: Vec::new(),
            damaged: Vec::new(),
            own: 0,
            adopt: false,
            writer_threads: None,
            max_rate: None,
            dry_run: false,
            nested: false,
            existing: BTreeSet::new(),
            full: false,
            time: TaskTime::default(),
            unpinned: Vec::new(),
            unpin_reason: None,
            source_pruning: SourcePruning::default(),
            measure: false,
        }
    }

    /// A task with defaults.
    #[cfg(test)]
    pub fn of(name: &[u8], machine: Identity) -> Self {
        Self::pruning(name, machine, Lineage::default())
    }
}

/// Events of a backup, beside the reports of every receive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupEvent {
    /// The source passed its check: the first event.
    Source {
        /// The subvolume's own uuid.
        uuid: Identity,
    },
    /// The lineage of the source, for the service's record.
    Lineage(Lineage),
    /// The source replaced the recorded one, and descends from it.
    Continued,
    /// A snapshot of the source was made.
    Snapshot {
        /// Its final name, as bytes.
        #[serde(with = "hex")]
        name: Vec<u8>,
        /// The subvolume's own uuid.
        uuid: Identity,
    },
    /// The transfer is an increment or a full one.
    Parent {
        /// The uuid of the parent on the sender's side; `None` for a full transfer.
        uuid: Option<Identity>,
        /// The reason for a full transfer.
        why: Option<FullReason>,
    },
    /// The estimated size of the stream. It is rarely larger, and smaller if files of the source share extents.
    Estimated {
        /// In bytes.
        bytes: u64,
    },
    /// The source has not changed since the last backup on this drive: nothing is sent or deleted.
    Unchanged {
        /// For the service's record.
        learned: RecordUpdate,
    },
    /// New files and directories of the snapshot have flags of chattr(1) that the kernel does not send for new ones.
    FlagsNotSent {
        /// Their number.
        count: u64,
    },
    /// The drive has the snapshot, which is needed for its next increment.
    Pinned {
        /// For the service's record.
        learned: RecordUpdate,
    },
    /// The volume has the snapshot of the drive, which can be a parent from now on.
    Restored {
        /// For the service's record.
        shared: SharedSnapshot,
    },
    /// The restored snapshot has snapshots of the subvolumes below its source.
    RestoredNested {
        /// Their number on the drive.
        count: u64,
        /// So many of them have no place in the restored one.
        missing: u64,
    },
    /// Snapshots on the drive are not the ones that were sent with these uuids, and are not used.
    Replaced {
        /// The uuids on the drive.
        there: Vec<Identity>,
    },
    /// A piece of the list of this backup's snapshots on one side.
    Seen {
        /// On the drive, otherwise beside the source.
        drive: bool,
        /// A piece of the list.
        snapshots: Vec<Seen>,
        /// This is the last piece.
        last: bool,
    },
    /// Snapshots of this backup on one side are dated in the future. The rule does not count them.
    FromFuture {
        /// On the drive, otherwise beside the source.
        drive: bool,
        /// Their number.
        count: usize,
    },
    /// What the snapshots of this backup beside the source hold.
    Freeable {
        /// Their number.
        snapshots: u64,
        /// What deleting all of them would free, in bytes of data; `None` if it takes too long to find out.
        bytes: Option<u64>,
    },
    /// The subvolumes below the source that are not part of the backup; also if there are none.
    LeftOut(LeftOut),
    /// Subvolumes below the source are part of the run.
    Nested {
        /// Their number.
        count: u64,
        /// For so many of them everything is sent.
        full: u64,
    },
    /// The rule does not keep a snapshot. It was deleted; in a dry run it would be.
    Pruned {
        /// On the drive, otherwise beside the source.
        drive: bool,
        /// The name, as bytes.
        #[serde(with = "hex")]
        name: Vec<u8>,
    },
    /// A snapshot is kept; only in a dry run.
    Kept {
        /// On the drive, otherwise beside the source.
        drive: bool,
        /// The name, as bytes.
        #[serde(with = "hex")]
        name: Vec<u8>,
        /// The reason.
        reason: Reason,
    },
}

/// The service's clock. By default the worker uses the kernel's wall time, and protects all snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskTime {
    /// The time of the order.
    pub given: Option<Given>,
    /// The clock is not trusted: nothing is deleted.
    pub stopped: bool,
    /// Snapshots beside the source up to this transaction were first seen at least `protect` ago.
    pub settled_source: u64,
    /// The same on the drive, in its own transactions.
    pub settled_drive: u64,
}

/// A time on both clocks, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub wall: i64,
    pub boot: u64,
}

impl TaskTime {
    /// From a reading of the clocks; `stopped` if the clock is not trusted.
    pub fn of(reading: &Reading, stopped: bool) -> Self {
        let Reading { wall, boot, .. } = *reading;
        Self { given: Some(Given { wall, boot }), stopped, ..Self::default() }
    }

    /// Wall time now, in seconds since 1970: the given wall time plus the boot time since then.
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
    fn the_workers_time_starts_at_the_given_time() {
        let reading = Reading { wall: 1000, boot: boot_time(), boot_id: Uuid::nil(), synchronised: Some(false) };
        let time = TaskTime::of(&reading, true);
        assert!((1000..1100).contains(&time.now()) && time.stopped);
        let past = TaskTime::of(&Reading { boot: boot_time() - 50, ..reading }, false);
        assert!((1050..1150).contains(&past.now()), "boot time since then is added");
    }
}
