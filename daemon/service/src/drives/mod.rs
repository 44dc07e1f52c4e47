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
//! ```text
//! table             all that is known of the drives, behind a lock that is never held while anything is waited for
//! entry             a drive or a volume in the table
//! review            asks the policy after every event of udev and every step
//! manager           what all steps with drives have in common
//! handle            the drives, as jobs and the bus use them
//! drive_lock        lets one step at a time be done with a drive; callers wait up to a limit, the step's thread as long as the
//!                   drive
//! mounting          unlocks and mounts a drive; `mount` makes the system calls
//! enrolling         enrols a drive, an encrypted one with `container`
//! erasing           erases drives and disks before they are formatted
//! release           syncs, unmounts, locks and switches off
//! reservation       counts who needs a drive; the end of the last one releases it
//! lease             a reservation of a mounted drive, also of one without btrfs, which is only read
//! secret            reads the secret that a caller unlocks a drive with
//! other_mounts      where other programs have mounted a drive
//! shared_records    the snapshots that a drive shares with this machine, in its enrolment
//! records           records what backups, restores and verifies report
//! origins           counts the snapshots on a drive by the machine that made them
//! pins       which shared snapshots stay beside the sources for drives that are away
//! lost_parents      what the records lose when a person deletes snapshots
//! renamed           a renamed backup in the records
//! replaced          snapshots on a drive that are not those of the record
//! damage            what verifies found
//! due               the backups that are due at a plug or by their times, and the attempts that failed
//! awaited           failed backups that begin when their source appears
//! not_begun         the due backups of a plug that did not become jobs
//! not_done          backups whose last attempt did not succeed
//! overdue           backups without a good run for too long; `reported_overdue` records which were reported
//! verify_due        verifies that begin by themselves
//! problem           what is wrong with a drive
//! rows              the rows of the list of backups
//! shown             the public properties of a drive, and what its disks report (SMART)
//! attached_log      logs the drives that are attached
//! volumes           the volumes that backups go to, which the service does not mount
//! ```
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
mod lease;
mod lost_parents;
mod manager;
mod mount;
mod mounting;
mod not_begun;
mod not_done;
mod origins;
mod other_mounts;
mod overdue;
mod pins;
mod problem;
mod records;
mod release;
mod renamed;
mod replaced;
mod reported_overdue;
mod reservation;
mod review;
mod rows;
mod secret;
mod shared_records;
mod shown;
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
pub(crate) use lease::Lease;
pub(crate) use lost_parents::{DeletedOn, LostParent};
pub use manager::DriveManager;
pub(crate) use not_begun::NotBegun;
pub(crate) use not_done::LastAttempt;
pub(crate) use pins::NeedingDrive;
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

/// In microseconds since 1970.
fn micros(seconds: i64) -> Option<u64> {
    u64::try_from(seconds).ok()?.checked_mul(1_000_000)
}

/// Sorted, each once.
fn once(mut pins: Vec<PairUuids>) -> Vec<PairUuids> {
    pins.sort_unstable();
    pins.dedup();
    pins
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
