//! The entries of the table of drives: a drive since it was plugged in, with its mount; and a configured volume.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::drive_lock::DriveLock;
use super::mount::Mounted;
use super::problem::Unwritable;
use super::{DriveId, damage};
use crate::backups::SourceProblem;
use crate::config::VolumeName;
use crate::device::{BlockDevice, DeviceTable};
use crate::enrolment::Enrolment;
use crate::policy::DriveUse;
use crate::types::{Condition, DriveProblem, Problem};
use crate::volumes::Volume;

/// How long a drive without devices is shown as safe, after it was switched off or became read-only: only a person sees whether
/// it is still plugged in, and what is wrong with it is shown.
const SAFE: Duration = Duration::from_secs(600);

/// What is going on with one drive since it was plugged in.
#[derive(Debug)]
pub(super) struct DriveEntry {
    pub(super) lock: DriveLock,
    pub(super) mount: Option<Arc<Mount>>,
    /// How many jobs, and callers who look at it, hold it.
    pub(super) leased: usize,
    /// Whether it is being made safe: who only looks at it ends then.
    pub(super) removal: watch::Sender<bool>,
    /// It was attached when the service started, and has not been plugged in since.
    pub(super) at_start: bool,
    /// The backups of this plug begin: not all are jobs yet.
    pub(super) beginning: bool,
    /// The backups that failed in this plug because of their source, and begin when it appears.
    pub(super) awaited: BTreeMap<String, SourceProblem>,
    /// Why the due backups of this plug have not begun, if they have not; empty while nothing went wrong.
    pub(super) not_begun: Option<String>,
    /// The backups that ended in this plug, or whose problem is noted.
    pub(super) settled: BTreeSet<String>,
    /// The backups of this plug are jobs, or a user works with the drive.
    pub(super) served: bool,
    /// It was released: nothing happens automatically until the next plug.
    pub(super) released: bool,
    /// A user mounted it: the end of a backup does not unmount it.
    pub(super) kept: bool,
    /// A user asked for its removal, which succeeded: no backup begins by its times until the next plug.
    pub(super) is_made_safe: bool,
    /// A user asked for its removal, which failed: it is released all the same when nothing uses it any more.
    pub(super) unremoved: bool,
    /// A user asked for its removal, and it was released.
    pub(super) removed: bool,
    /// Whether it is released when the last reservation ends: a lease mounted it, a job used it, or its last release failed.
    pub(super) due: bool,
    /// The devices that were there when its release failed: with the same it is not tried again before the next use.
    pub(super) failed_with: Option<Vec<BlockDevice>>,
    /// Since when it can be unplugged.
    pub(super) safe: Option<Instant>,
    /// The service switched it off, which takes its devices away: it may be there all the same.
    pub(super) is_switched_off: bool,
    /// None of its devices is there.
    pub(super) absent: bool,
    /// The disks of this plug.
    pub(super) disks: Disks,
    /// What went wrong last; empty where nothing did.
    pub(super) problem: Option<DriveProblem>,
    /// Why it took no writes when it was mounted last.
    pub(super) unwritable: Option<Unwritable>,
    /// When something with it failed, it was mounted where the service does not see that end.
    pub(super) mounted_unseen: bool,
    /// The devices at the last automatic attempt; the same set is not retried.
    pub(super) tried: Vec<PathBuf>,
}

/// Disks: the node of each, and the kernel's count of disks.
pub(super) type Disks = BTreeSet<(PathBuf, u64)>;

/// A drive that we mounted.
#[derive(Debug)]
pub(super) struct Mount {
    pub(super) mounted: Mounted,
    /// What it was mounted from.
    pub(super) nodes: Vec<PathBuf>,
    /// All that must stay for it to work, containers too: node, number, and the kernel's count of disks.
    pub(super) under: Vec<(PathBuf, u64, u64)>,
    /// The containers that were opened for it.
    pub(super) luks: Vec<Uuid>,
    /// Turns true when it was pulled out.
    pub(super) gone: watch::Sender<bool>,
}

impl DriveEntry {
    pub(super) fn new() -> Self {
        Self {
            lock: DriveLock::new(),
            mount: None,
            leased: 0,
            removal: watch::Sender::new(false),
            at_start: false,
            beginning: false,
            awaited: BTreeMap::new(),
            not_begun: None,
            settled: BTreeSet::new(),
            served: false,
            released: false,
            kept: false,
            is_made_safe: false,
            unremoved: false,
            removed: false,
            due: false,
            failed_with: None,
            safe: None,
            is_switched_off: false,
            absent: false,
            disks: Disks::new(),
            problem: None,
            unwritable: None,
            mounted_unseen: false,
            tried: Vec::new(),
        }
    }

    /// A user works with the drive: earlier failures are cleared.
    pub(super) fn take_in_hand(&mut self) {
        (self.released, self.removed) = (false, false);
        self.safe = None;
        self.problem = None;
        self.tried.clear();
        self.failed_with = None;
    }

    /// It was plugged in again: all that was before is over, but for who holds it, and what only a mount shows to be over.
    pub(super) fn replug(&mut self) {
        if self.mount.is_some() {
            // What was begun before has mounted it anew: a user or a job works with it.
            (self.absent, self.released, self.safe, self.served) = (false, false, None, self.kept);
            (self.unremoved, self.beginning, self.is_switched_off) = (false, false, false);
            (self.is_made_safe, self.at_start) = (false, false);
            (self.not_begun, self.settled) = (None, BTreeSet::new());
            return;
        }
        let (lock, leased, removal) = (self.lock.clone(), self.leased, self.removal.clone());
        *self = Self { lock, leased, removal, ..Self::new() };
    }

    /// Whether the backups of the plug with this channel begin.
    pub(super) fn is_beginning(&self, gone: &watch::Receiver<bool>) -> bool {
        let is_same = |mount: &Arc<Mount>| mount.gone.subscribe().same_channel(gone);
        self.beginning && self.mount.as_ref().is_some_and(is_same)
    }

    /// Takes in which disks of it are attached. Answers false where they are others than those of this plug: a copy may be attached
    /// when the drive itself is pulled.
    pub(super) fn is_same_plug(&mut self, attached: Disks) -> bool {
        if self.mount.is_some() || self.lock.taken() {
            return true;
        }
        if !self.served && !self.beginning && !self.released {
            self.disks = attached;
            return true;
        }
        if self.is_degraded() && !attached.is_subset(&self.disks) {
            // A device that was missing has come: what could not be done at the plug is done now.
            return false;
        }
        self.disks.is_empty() || !self.disks.is_disjoint(&attached)
    }

    /// What is wrong with it.
    pub(super) fn problems(&self) -> Vec<DriveProblem> {
        self.problem.clone().map_or_else(|| self.lasting_problems(), |problem| vec![problem])
    }

    /// Why it took no writes, which stays wrong with it when it is unplugged.
    pub(super) fn lasting_problems(&self) -> Vec<DriveProblem> {
        self.unwritable.as_ref().map(Unwritable::problems).unwrap_or_default()
    }

    /// Whether devices were missing when it was mounted last.
    pub(super) fn is_degraded(&self) -> bool {
        self.unwritable.as_ref().and_then(Unwritable::missing).is_some()
    }

    /// When it is shown no more, though none of its devices is there.
    pub(super) fn expires(&self, condition: Condition) -> Option<Instant> {
        let is_shown = self.is_switched_off || condition != Condition::Sound;
        self.safe.filter(|_| self.absent && is_shown)?.checked_add(SAFE)
    }
}

impl Mount {
    /// Whether everything that it lies on is still there.
    pub(super) fn stands(&self, devices: &DeviceTable) -> bool {
        let there = |(node, devnum, count): &(PathBuf, u64, u64)| {
            let same = |facts: &BlockDevice| facts.node == *node && facts.devnum == *devnum && facts.diskseq == *count;
            devices.values().any(same)
        };
        self.under.iter().all(there)
    }
}

/// The disks among these devices: a mapping is none.
pub(super) fn disks(devices: &[&BlockDevice]) -> Disks {
    let disks = devices.iter().filter(|device| device.mapping.is_none());
    disks.map(|disk| (disk.node.clone(), disk.diskseq)).collect()
}

/// How the policy sees the use of an enrolled drive. `own`: the caller has its lock.
pub(super) fn drive_use(id: &DriveId, entry: &DriveEntry, own: bool) -> Option<DriveUse> {
    let mounted = entry.mount.as_ref().map(|mount| mount.nodes.clone());
    Some(DriveUse {
        enrolment: id.enrolment()?,
        mounted: mounted.unwrap_or_default(),
        busy: entry.leased > 0 || (entry.lock.taken() && !own),
        served: entry.served || entry.beginning,
        released: entry.released,
        degraded: entry.is_degraded(),
    })
}

/// The configured ones, by their filesystems.
pub(super) type Volumes = BTreeMap<Uuid, VolumeEntry>;

/// A configured volume.
#[derive(Debug)]
pub(super) struct VolumeEntry {
    pub(super) volume: Arc<Volume>,
    /// Why its record cannot be kept; empty where it is.
    pub(super) problem: String,
}

/// How many jobs, and callers who look at it, hold a volume, by its filesystem: also one that is configured otherwise since, or not
/// any more.
pub(super) type VolumeLeases = BTreeMap<Uuid, usize>;

impl VolumeEntry {
    /// Its configured name.
    pub(super) fn name(&self) -> &VolumeName {
        &self.volume.rule.name
    }

    /// What is wrong with it.
    pub(super) fn problems(&self, record: &Enrolment) -> Vec<Problem> {
        let sentence = Some(self.problem.clone()).filter(|sentence| !sentence.is_empty());
        let unwritable = sentence.map(|sentence| Problem::RecordUnwritable { sentence });
        unwritable.into_iter().chain(damage::problem(record)).collect()
    }

    /// Whether it is mounted, as it was seen last.
    pub(super) fn is_there(&self) -> bool {
        self.volume.seen().mounted()
    }
}
