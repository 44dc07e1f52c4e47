//! Backs up a subvolume to a drive: a snapshot, a transfer of what changed since the last shared snapshot, and retention.
//!
//! ```text
//! task              the order of a backup, the time that comes with it, and the events that the worker reports
//! run               a backup, from the check of the source to pruning on the drive
//! source            checks the source: is it the configured subvolume, has it changed, has it active swapfiles
//! lineage           the subvolumes that the source replaced, and those that it descends from
//! runs              the snapshots of a run: of the source, and of the subvolumes below it (pure)
//! nested            the subvolumes below the source
//! nested_tree       which those are, and the order in which they are included (pure)
//! pending_snapshot  the new snapshots of a run, hidden until the drive has all of them
//! transfer          sends the snapshots of a run
//! stream            sends a snapshot, estimates how many bytes that will be, and finds the file that cannot be read
//! space_check       checks whether they fit, before the transfer and during it
//! snapshot          the snapshots of a filesystem
//! name              the names of snapshots, and the calendar
//! owner             which machine and backup a snapshot belongs to
//! shared_record     the record of the snapshots that a source and a drive share; the service keeps it
//! shared_snapshots  which of them are still on both sides (pure), and why there is none
//! retention         which snapshots stay, and why (pure)
//! prune             deletes the others
//! freed_space_wait  waits for the space of deleted subvolumes
//! folders           the folders of snapshots, and the holds in them
//! freeable_space        how much space deleting snapshots frees
//! deletion          deletes the snapshots that a person chose
//! first_seen        when each snapshot was first seen (pure); the service keeps it
//! beside_source     the list of the snapshots beside a source
//! drive_folder      the folder of a backup on a drive, also of a renamed one
//! drive             the list of the snapshots on a drive
//! listed_runs       the runs in that list (pure)
//! restore           sends a snapshot from a drive into a volume
//! error             why a backup failed
//! ```
//!
//! A backup runs in a worker, because each call may block as long as a drive does. Pruning beside the source is a separate
//! worker, so that two drives of one backup do not wait for each other.
//!
//! # What is never deleted
//! Only snapshots that this backup of this machine made are pruned, and a name is no proof of that: see
//! [`owner::made_by_us`]. On a drive the records of [`owner`] prove it, so that several machines can use one drive. The
//! snapshots that a drive needs for its next increment are pinned on both sides, until the drive has been away for too long or
//! an administrator unpins them. The newest snapshot is kept, and each that is younger than `protect`, by its date or by when
//! it was first seen; beside a source that is running full only the newest and the pinned ones. Nothing is deleted while the
//! clock is not trusted ([`crate::clock`]), except what an administrator unpins, and what a killed worker left of a run. The
//! snapshots of a run are kept and deleted together ([`runs`]).
//! A snapshot that a person holds ([`butterdock_receive::Hold`]) is deleted by none of these, and by no shortage of space.
//!
//! # The folder for snapshots
//! The best folder is a subvolume inside the source, as snapper has it: then making and deleting snapshots does not change
//! the source, and the worker sees that an unchanged source needs no backup.
//!
//! Only root may change its content, and it is opened without following links that other users can replace. A user who owns
//! the source can still rename the folder. Then the next backup makes a new folder. Folders are recorded by their inodes: the
//! snapshots in a former one can be parents, and stay under the retention rule. A snapshot that root moved elsewhere can be a
//! parent too, but it is not pruned: it was moved to be kept.

mod beside_source;
mod deletion;
mod drive;
mod drive_folder;
mod error;
mod first_seen;
mod folders;
mod freeable_space;
mod freed_space_wait;
mod lineage;
mod listed_runs;
mod name;
mod nested;
mod nested_tree;
mod owner;
mod pending_snapshot;
mod prune;
mod prune_plan;
mod restore;
mod retention;
mod run;
mod runs;
mod shared_record;
mod shared_snapshots;
mod snapshot;
mod source;
mod space_check;
mod stream;
mod task;
mod transfer;

#[cfg(test)]
mod tests;

pub use beside_source::list_beside;
pub use butterdock_receive::{Hold, LONGEST_REASON};
pub(crate) use deletion::Deletion;
pub use deletion::{DeletionEvent, KeptBecause, MOST_DELETED};
pub use drive::{Backups, MadeBy, OpenSnapshot, SnapshotOnDrive, list_snapshots, open_snapshot};
pub use drive_folder::{beneath, choose_folder, default_folder, make_beneath};
pub(crate) use error::BackupError;
pub use error::{BackupCause, Pruning, SourceProblem};
pub use first_seen::{FirstSeen, Listings, Seen};
pub use folders::set_hold;
pub use lineage::{Lineage, SnapshotFolder, lineage_of};
pub use listed_runs::NestedOnDrive;
pub use name::{LONGEST as LONGEST_NAME, is_snapshot_name};
pub(crate) use nested::{EarlierRuns, NestedSubvolumes};
pub use nested::{LeftOut, NestedPath, nested_in_run, nested_restored};
pub use prune::from_future;
pub(crate) use prune::prune_source;
pub(crate) use restore::{NestedSnapshots, Restore};
pub use retention::RetentionRule;
pub(crate) use run::{BackupDirectories, Run};
pub use shared_record::{
    MOST_PINS, MOST_SOURCES, PairUuids, RecordUpdate, RecordV1, SharedRecord, SharedSnapshot, for_order, remember,
};
pub use shared_snapshots::FullReason;
pub use snapshot::Identity;
pub(crate) use source::active_in;
pub use source::usable_source;
pub(crate) use space_check::ESTIMATE_TIMEOUT;
pub use task::{BackupEvent, SourcePruning, Task, TaskTime, UnpinReason};
