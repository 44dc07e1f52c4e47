//! The dock owns the picture of the drives: which are there, what they are, and what is going on with each.
//!
//! ```text
//! udev → follow → picture → policy's verdicts ┬→ shown   a watch channel for each drive; it closes when the drive goes
//!                                             └→ work    the next step with a drive: unlock, mount, tell of the plug
//! bus, jobs → handle → work → picture
//! ```
//!
//! * `picture` is all that is known, behind a lock that is never held while anything is waited for; `review` asks the
//!   policy about it after every event and every step.
//! * `turn` lets one thing at a time be done with a drive. Whatever may hang as long as a drive does is done on a thread
//!   of its own: callers wait for it within a bound, and the turn is held until the thread is back.
//! * `journal` is what a person reads later of the drives that came.
//! * `secret` reads what a caller unlocks a drive with.
//! * `condition` is what a drive had come to when it was unmounted last.
//! * `mounting`, `unlocking`, `enrolling`, `formatting`, `release` are what can be done; `lease` is how a job holds a drive, and
//!   `reading` how it holds one that has no btrfs.
//! * `reservation` counts who needs a drive. The end of the last one releases it.
//!
//! The policy never waits, and the dock has no opinions: it carries out the next step and asks again. What went wrong with
//! a drive is its `problem` until its devices change or somebody takes it in hand: nothing is tried twice by itself.

mod condition;
mod drive_lock;
mod enrolling;
mod fault;
mod follow;
mod formatting;
mod handle;
mod id;
mod journal;
mod lease;
mod mounting;
mod reading;
mod records;
mod release;
mod replaced;
mod reservation;
mod review;
mod rows;
mod secret;
mod shown;
mod table;
mod unlocking;

use crate::backups::Mark;

pub(crate) use condition::Condition;
pub use handle::DriveManager;
pub use id::DriveId;
pub(crate) use lease::Lease;
pub(crate) use reservation::DriveReservation;
pub use shown::Drive;

/// A drive was plugged in for which backups are configured that begin then.
#[derive(Debug)]
pub(crate) struct Plugged {
    /// It is mounted.
    pub drive: DriveId,
    /// The names of these backups, in the order of the configuration.
    pub backups: Vec<String>,
    /// Keeps it mounted until they are jobs.
    pub reservation: DriveReservation,
}

/// Sorted, each once.
fn once(mut marks: Vec<Mark>) -> Vec<Mark> {
    marks.sort_unstable();
    marks.dedup();
    marks
}
