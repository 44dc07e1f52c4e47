//! The drives: which are attached, what they are, and what is going on with each. What is done with a drive the policy decides.
//!
//! ```text
//! udev → follow → table → policy's decisions ┬→ shown   a watch channel for each drive; it closes when the drive goes
//!                                            └→ the next step with a drive: unlock, mount, begin the backups of its plug
//! bus, jobs → handle → the step → table
//! ```
//!
//! * `table` has all that is known, behind a lock that is never held while anything is waited for; `review` asks the policy
//!   about it after every event and every step.
//! * `drive_lock` lets one thing at a time be done with a drive. What may hang as long as a drive does is done on a thread of its
//!   own: callers wait up to a limit, and the lock is held until the thread is back.
//! * `mounting` (and unlocking), `enrolling` (and formatting), `release` are what can be done; `mount` makes the system calls.
//! * `reservation` counts who needs a drive; the end of the last one releases it. `lease` is a reservation of a mounted drive, and
//!   `reading` one of a drive that has no btrfs.
//! * `records` writes down what backups and restores learned. `journal` logs the drives that come; `secret` reads the secret that
//!   a caller unlocks a drive with; `condition` and `replaced` are problems that last.
//!
//! The policy never waits, and nothing here decides: it carries out the next step and asks again. What went wrong with a drive
//! is its `problem` until its devices change or a user asks for something: nothing is tried twice by itself.

mod condition;
mod drive_lock;
mod enrolling;
mod fault;
mod follow;
mod handle;
mod id;
#[cfg(test)]
mod inspect;
mod journal;
mod lease;
mod mount;
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

use tokio::sync::watch;

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
    /// Turns true when it is pulled.
    pub gone: watch::Receiver<bool>,
}

/// Sorted, each once.
fn once(mut marks: Vec<Mark>) -> Vec<Mark> {
    marks.sort_unstable();
    marks.dedup();
    marks
}
