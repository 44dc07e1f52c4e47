//! The policy for drives, as pure functions: (configuration, enrolments, attached devices, running operations) → a
//! decision for each drive. The caller carries it out and asks again after each step and each event, so a decision is
//! always only the next step.
//!
//! * Default deny: a drive that is not enrolled is shown; no decision mounts or unlocks it. One exception is made
//!   elsewhere: for an import, `drives::lease` mounts it read-only if the configuration names it. The service itself reads
//!   signatures and superblocks of a device, once after udev reported it and once more at its enrolment, where udev's prober does
//!   not say what has to be known ([`is_unclear`]): whether a device on which the prober sees no btrfs has btrfs nevertheless, and
//!   how many devices a btrfs filesystem has that is not enrolled. The kernel neither scans nor mounts it for that.
//! * A drive that is neither on USB nor removable is not even shown, unless a rule matches it.
//! * A uuid proves nothing: every device of an enrolled filesystem is attached exactly once; otherwise the drive is refused and
//!   the devices are named. Once it is mounted, its token proves it.
//! * A dock reports its own serial number for every disk in it, and may report another size. That is a note, and no reason to
//!   refuse the drive.
//! * A filesystem of which devices are missing may have all its data on the others. It is mounted when a user wants to read
//!   it, read-only, and never by itself.
//!
//! `enrolled` decides about enrolled drives, `shown` about which others are shown.

mod enrolled;
mod shown;

use std::path::PathBuf;

use uuid::Uuid;

use crate::config::MatchRule;
use crate::device::{BlockDevice, Finding, Sentence};
use crate::enrolment::Enrolment;

pub(crate) use shown::is_unclear;

/// The input of a decision.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PolicyInput<'a> {
    /// `[drives] match`
    pub rules: &'a [MatchRule],
    /// Which enrolled drives a backup is configured for that begins when they are plugged in.
    pub on_plug: &'a [Uuid],
    /// Which enrolled drives have a configured key.
    pub keys: &'a [Uuid],
    /// What is enrolled.
    pub enrolments: &'a [Enrolment],
    /// The attached devices.
    pub devices: &'a [BlockDevice],
    /// What is going on with enrolled drives; one that is not named is not in use.
    pub in_use: &'a [DriveUse],
    /// The nodes that other programs have mounted.
    pub mounted_elsewhere: &'a [PathBuf],
}

/// What is going on with one enrolled drive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DriveUse {
    /// Which.
    pub enrolment: Uuid,
    /// The nodes that it was mounted from by us; empty where it is not mounted.
    pub mounted: Vec<PathBuf>,
    /// A job works with it, or an action is being carried out.
    pub busy: bool,
    /// The backups of this plug have run, or a user works with the drive.
    pub served: bool,
    /// It was released: nothing happens until the next plug.
    pub released: bool,
    /// It is mounted without devices that are missing: no backup begins.
    pub degraded: bool,
}

/// What a drive is called as long as it is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DriveId {
    /// By its enrolment.
    Enrolled(Uuid),
    /// By the kernel's name and the count of disks that came: `sdb1`, 27. Another disk at its place has another.
    Device(String, u64),
}

/// What is to be done with one drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// The drive.
    pub id: DriveId,
    /// The nodes that show it: filesystems, or containers that are locked.
    pub devices: Vec<PathBuf>,
    /// The disks that they are on.
    pub disks: Vec<PathBuf>,
    /// The next step.
    pub action: Action,
    /// What changed since its enrolment, where that is no reason to refuse it.
    pub note: Option<Sentence>,
}

/// The next step with a drive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Show it, and do nothing: it is not enrolled.
    Show,
    /// Let everything be as it is.
    Leave,
    /// Do nothing, and tell why.
    Refuse(Sentence),
    /// Show it as locked and wait for a caller with the secret.
    AwaitSecret(Vec<Locked>),
    /// Open these with the configured key.
    Unlock(Vec<Locked>),
    /// Mount the filesystem from these nodes; they are all its devices.
    Mount(Vec<PathBuf>),
    /// Start the backups that begin with a plug.
    Backup,
    /// Devices are missing: do nothing, and say so. Who only reads the drive takes the next step, and mounts it degraded.
    Degraded {
        /// Which are missing, and what can be done.
        problem: Sentence,
        /// The next step with the attached devices.
        next: Box<Self>,
    },
}

impl Action {
    /// The next step with the attached devices, and what is said of those that are missing.
    pub(crate) fn without_missing(self) -> (Self, Option<Sentence>) {
        if let Self::Degraded { problem, next } = self { (*next, Some(problem)) } else { (self, None) }
    }
}

/// A container to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Locked {
    /// Where it is.
    pub node: PathBuf,
    /// Its number, which the node must have when it is opened.
    pub devnum: u64,
    /// Its uuid; the mapping is called after it.
    pub luks: Uuid,
}

/// What other formats left beside btrfs on the first of these devices that has such remains.
fn remains(devices: &[&BlockDevice]) -> Option<Sentence> {
    devices.iter().find_map(|device| match &device.finding {
        Some(finding @ Finding::Remains(_)) => Some(finding.sentence(device)),
        Some(Finding::Doubtful(_) | Finding::Damaged { .. }) | None => None,
    })
}

/// The decision on every attached drive: enrolled drives first.
pub(crate) fn decisions(input: &PolicyInput<'_>) -> Vec<Decision> {
    // Users may be allowed to make loop devices: one that no rule matches is neither a drive nor a copy of one.
    let devices: Vec<BlockDevice> =
        input.devices.iter().filter(|device| shown::counts(device, input)).cloned().collect();
    let input = &PolicyInput { devices: &devices, ..*input };
    let drives = input.enrolments.iter().filter(|enrolment| !enrolment.is_volume);
    let mut all: Vec<Decision> = drives.flat_map(|enrolment| enrolled::judge(enrolment, input)).collect();
    let others = shown::others(input, &all);
    all.extend(others);
    all
}

#[cfg(test)]
mod tests;
