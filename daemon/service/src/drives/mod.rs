//! The drives: which are attached, what they are, and what is going on with each. The policy decides what is done with a
//! drive.
//!
//! ```text
//! udev → review → table → policy's decisions ┬→ shown   a watch channel for each drive; it closes when the drive goes, or is
//!                                            │          forgotten; an enrolled drive that is away is shown too
//!                                            └→ the next step with a drive: unlock, mount, begin the backups of its plug
//! bus, jobs → handle → the step → table
//! ```
//!
//! * `table` has all that is known, with an `entry` for each drive, behind a lock that is never held while anything is waited for;
//!   `review` asks the policy about it after every event and every step.
//! * `drive_lock` lets one thing at a time be done with a drive. What may hang as long as a drive does is done on a thread of its
//!   own: callers wait up to a limit, and the lock is held until the thread is back.
//! * `mounting` (and unlocking), `enrolling` (of an encrypted one with `container`), `erasing`, `release` are what can be done;
//!   `mount` makes the system calls.
//! * `reservation` counts who needs a drive; the end of the last one releases it. `lease` is a reservation of a mounted drive, also
//!   of one that has no btrfs and is only read.
//! * `origins` counts whose snapshots are on a drive. `records` writes down what backups and restores learned, `kept_shared` what
//!   sources keep for drives that are away. `attached_log` logs the drives that come; `secret` reads the secret that a caller unlocks a drive with; `awaited` are the backups that begin
//!   when their source appears; `problem` and `replaced` are what is wrong with a drive, `not_done` with its backups, and
//!   `smart` what its disks say of themselves;
//!   `volumes` are the volumes of this machine that backups go to, which the service does not mount;
//!   `verify_due` are the verifies that begin by themselves, `due` the backups that begin at a plug or by their times, and
//!   `not_begun` those that a plug did not begin.
//!
//! The policy never waits, and nothing here decides: it carries out the next step and asks again. What went wrong with a drive
//! is its `problem` until its devices change or a user asks for something: nothing is tried twice by itself.

mod attached_log;
mod awaited;
mod container;
mod damage;
mod drive_lock;
mod due;
mod enrolling;
mod entry;
mod erasing;
mod handle;
#[cfg(test)]
mod inspect;
mod kept_shared;
mod lease;
mod lost_parents;
mod mount;
mod mounting;
mod not_begun;
mod not_done;
mod origins;
mod other_mounts;
mod overdue;
mod problem;
mod records;
mod release;
mod renamed;
mod replaced;
mod reservation;
mod review;
mod rows;
mod secret;
mod shown;
mod smart;
mod table;
mod verify_due;
mod volumes;

use std::fmt;

use tokio::sync::watch;

use crate::backups::PairUuids;
use crate::policy;
use crate::types::DestinationId;

pub(crate) use awaited::AwaitedBackup;
pub(crate) use damage::VerifyResult;
pub(crate) use due::DueNow;
pub use handle::DriveManager;
pub(crate) use kept_shared::NeedingDrive;
pub(crate) use lease::Lease;
pub(crate) use lost_parents::{DeletedOn, LostParent};
pub(crate) use not_begun::NotBegun;
pub(crate) use not_done::LastAttempt;
pub(crate) use reservation::DriveReservation;
pub use shown::Drive;

/// Of an enrolled drive its enrolment's uuid, which stays; of every other the kernel's name and its count of disks, which
/// stay as long as it is attached: `sdb1-27`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriveId(pub String);

impl DriveId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The enrolment's uuid, where it is that of an enrolled drive.
    pub(super) fn enrolment(&self) -> Option<uuid::Uuid> {
        uuid::Uuid::try_parse(&self.0).ok().filter(|id| id.to_string() == self.0)
    }
}

impl From<uuid::Uuid> for DriveId {
    fn from(enrolment: uuid::Uuid) -> Self {
        Self(enrolment.to_string())
    }
}

impl From<&policy::DriveId> for DriveId {
    fn from(id: &policy::DriveId) -> Self {
        match id {
            policy::DriveId::Enrolled(enrolment) => Self::from(*enrolment),
            policy::DriveId::Device(name, count) => Self(format!("{name}-{count}")),
        }
    }
}

impl From<&DriveId> for DestinationId {
    fn from(id: &DriveId) -> Self {
        Self(id.0.clone())
    }
}

impl From<&DestinationId> for DriveId {
    fn from(id: &DestinationId) -> Self {
        Self(id.0.clone())
    }
}

impl fmt::Display for DriveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a drive is mounted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Only to read it: also where it is full, write-protected, or devices of it are missing.
    Read,
    /// To write to it.
    Write,
}

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

/// What the service hears of a plug.
#[derive(Debug)]
pub(crate) enum PlugEvent {
    /// Its backups begin.
    Due(Plugged),
    /// It ended, and its backups never began.
    NotBegun(NotBegun),
}

/// Sorted, each once.
fn once(mut marks: Vec<PairUuids>) -> Vec<PairUuids> {
    marks.sort_unstable();
    marks.dedup();
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_enrolments_id_is_one() {
        let id = uuid::Uuid::from_u128(7);
        assert_eq!(DriveId::from(&policy::DriveId::Enrolled(id)).enrolment(), Some(id));
        let device = DriveId::from(&policy::DriveId::Device("sdb1".to_owned(), 27));
        assert_eq!((device.as_str(), device.enrolment()), ("sdb1-27", None));
        assert_eq!(DriveId(id.simple().to_string()).enrolment(), None);
    }
}
