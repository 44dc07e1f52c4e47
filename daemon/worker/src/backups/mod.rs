//! Backs up a subvolume to a drive: a snapshot, a transfer of what changed since the last shared snapshot, and retention.
//!
//! ```text
//! run               the worker's way from the check of the source to pruning
//! source            whether the source is the configured one and has changed
//! pending_snapshot  the new snapshot, hidden until it was sent
//! transfer          sends it; frees space once and tries again
//! estimate          how many bytes will come
//! space_check       whether they fit, before the transfer and beside it
//! shared_snapshots  the snapshots that both sides have (pure)
//! shared            the record of them, which the daemon keeps
//! retention         which snapshots stay, and why (pure)
//! prune             deletes the others
//! owner             which machine and backup a snapshot on a drive belongs to
//! drive_folder      the folder on a drive that no other machine uses
//! seen              when each snapshot was seen first, and how the last backup on a drive ended; the daemon keeps it
//! task              the order, the time that comes with it, and the events that are reported
//! restore           the way back
//! ```
//!
//! All of it runs in a worker, because each call may hang as long as a drive does. Pruning beside the source is a worker of
//! its own, so that two drives of one backup do not wait for each other.
//!
//! # What is never deleted
//! Only snapshots that this backup of this machine made are pruned, and a name is no proof of that: see
//! [`snapshot::made_by_us`]. On a drive the records of [`owner`] prove it, so that several machines can use one drive. What
//! a drive needs for its next increment is pinned on both sides, however long the drive is away. The newest snapshot stays,
//! and so does each that is younger than `protect`, by its date or by when it was seen first. Nothing is deleted while the
//! clock is in doubt ([`crate::clock`]).
//!
//! # The folder for snapshots
//! The best folder is a subvolume inside the source, as snapper has it: then creating and deleting snapshots does not
//! change the source, and it shows at once that an unchanged source needs no backup.
//!
//! Only root may change its content, and it is opened without following links that others can exchange. A user who owns the
//! source can still rename it. Then the next backup makes a new folder. The snapshots in the old one remain: each can be a
//! parent like any other snapshot of this filesystem, and none is pruned until the folder has its name again.

mod cause;
mod drive_folder;
mod error;
mod estimate;
mod name;
mod on_drive;
mod owner;
mod pending_snapshot;
mod prune;
mod restore;
mod retention;
mod run;
mod seen;
mod shared;
mod shared_snapshots;
mod snapshot;
mod source;
mod space_check;
mod task;
mod transfer;
mod utc;

#[cfg(test)]
mod clock_simulation;
#[cfg(test)]
mod interleaved;
#[cfg(test)]
mod privileged_retention;
#[cfg(test)]
mod privileged_room;
#[cfg(test)]
mod privileged_two_drives;
#[cfg(test)]
mod simulation;

pub use cause::{BackupCause, Pruning, SourceProblem};
pub use drive_folder::{beneath, choose, default_folder, make_beneath};
pub(crate) use error::BackupError;
pub use name::LONGEST as LONGEST_NAME;
pub use on_drive::{Backups, From, OnDrive, on_drive};
pub use prune::from_future;
pub(crate) use prune::prune_source;
pub(crate) use restore::Restore;
pub use restore::find;
pub use retention::RetentionRule;
pub(crate) use run::{Ends, Run};
pub use seen::{FirstSeen, Listings, Seen};
pub use shared::{Known, Learned, MOST_PINS, Mark, Pin, SharedSnapshot, for_order, remember};
pub use shared_snapshots::Why;
pub use snapshot::Identity;
pub(crate) use space_check::PATIENCE;
pub use task::{BackupEvent, Task, TaskTime};
