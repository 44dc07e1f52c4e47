//! This room backs up a subvolume to a drive: a snapshot, what changed since the last one that both sides have, and what is
//! kept of it.
//!
//! ```text
//! run         the worker's way from the check of the source to the thinning
//! source      whether the source is what was meant       fresh     the new snapshot, hidden until it was sent
//! deliver     transfer, make room, again                 send      the kernel's half, and the pipe to the receiver
//! prospect    estimate and room, before and beside it    estimate  how much will come
//! room        whether it fits (pure)
//! common      what both sides have (pure)                keep      what is kept, and why (pure)
//! thin        deletes what is not                        deleted   whose space comes back in the background
//! shared      what both sides share, for the daemon to remember
//! owner       whose a snapshot on a drive is             drive_folder  the one on the drive that no other machine uses
//! seen        since when each snapshot is there, for the daemon to remember
//! task        what the worker is told, and tells         task_time what it is told of time
//! places      opens what the order needs, for the daemon  source_locks  who may thin beside the source, for the daemon
//! folder      opens or makes the folder for snapshots
//! restore     the way back                           last      what became of a drive's last backup
//! ```
//!
//! All of it happens in a worker, because any of it may hang as long as a drive does; in one, but for the thinning beside
//! the source: [`source_locks`] says why.
//!
//! # What is never deleted
//! Only what this backup of this machine made is thinned, and a name is no proof of that: see [`snapshot::made_by_us`]. On a drive
//! it is told by records ([`owner`]), so that several machines can use one. What a drive needs for
//! its next increment is pinned on both sides, however long the drive is away. The newest stays, and what is younger than
//! `protect`, by its date or by when it was seen first. Nothing is deleted while the clock is in doubt ([`crate::clock`]).
//!
//! # The folder for snapshots
//! It is best a subvolume of its own inside the source, as snapper has it: then making and deleting snapshots does not
//! change the source, and a source in which nothing else changed needs no backup, which shows in a moment.
//!
//! Root alone may change what is in it, and it is found without a link that others can exchange: see [`folder`]. A user who
//! owns the source can still rename it. Then the next backup makes a new one. What is in the old one stays there: it is a
//! parent like any other snapshot of this filesystem, and it is not thinned until the folder has its name again.

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
