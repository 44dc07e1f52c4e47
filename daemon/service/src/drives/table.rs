//! The table of drives: everything that is known about each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::attached_log::Journal;
use super::entry::{Disks, DriveEntry, disks, drive_use};
use super::entry::{VolumeLeases, Volumes};
use super::not_done::NotDone;
use super::reported_overdue::ReportedOverdue;
use super::{Drive, DriveId};
use crate::clock::Clock;
use crate::config::{BackupRule, Config, DestinationPlace, DestinationRule, MaxRate, OnFinish, RateNow};
use crate::device::{BlockDevice, DeviceTable, Mapping, OtherMount, Readings, mapping_name};
use crate::enrolment::{Enrolment, Unreadable};
use crate::policy::{self, Decision, DriveUse, PolicyInput};
use crate::schedule::Attempts;
use crate::types::{Condition, LastRun, Problem, SmartReading, SnapshotsOfMachine};

/// The attempts that did not succeed since the service started. By the enrolment, and the name of the backup.
type AllAttempts = BTreeMap<Uuid, BTreeMap<String, Attempts>>;

/// The table of drives. Only the order of the enrolments matters.
#[derive(Debug)]
pub(super) struct DriveTable {
    pub(super) config: Config,
    pub(super) enrolments: Vec<Enrolment>,
    pub(super) devices: DeviceTable,
    pub(super) entries: BTreeMap<DriveId, DriveEntry>,
    /// The number of reservations of each drive that has any.
    reservations: BTreeMap<DriveId, usize>,
    pub(super) shown: BTreeMap<DriveId, watch::Sender<Drive>>,
    pub(super) journal: Journal,
    /// Containers whose device was unplugged while they were open and not mounted, and that are being closed.
    pub(super) stale: BTreeSet<Uuid>,
    /// How often mounts changed.
    pub(super) mount_changes: u64,
    /// The mounts that other programs made.
    pub(super) other_mounts: Vec<OtherMount>,
    /// The backups that should have run and did not.
    pub(super) not_done: NotDone,
    /// How the last use of each drive ended, where that was not well.
    conditions: BTreeMap<Uuid, Condition>,
    /// The enrolments that cannot be read.
    pub(super) unreadable: Unreadable,
    /// How many subvolumes below the source the last run of each backup left out, by enrolment.
    pub(super) left_out: BTreeMap<Uuid, BTreeMap<String, u64>>,
    /// The last good run of each backup, by enrolment.
    pub(super) last_runs: BTreeMap<Uuid, BTreeMap<String, LastRun>>,
    /// What its filesystem said of itself when it was used last, by enrolment.
    pub(super) readings: BTreeMap<Uuid, Readings>,
    /// Which machines made the snapshots on it when it was used last, by enrolment.
    pub(super) origins: BTreeMap<Uuid, Vec<SnapshotsOfMachine>>,
    /// What the disks say of themselves, as another program knows it.
    pub(super) smart: Vec<SmartReading>,
    /// The volumes of this machine that backups go to.
    pub(super) volumes: Volumes,
    pub(super) volume_leases: VolumeLeases,
    /// The attempts at backups that did not succeed.
    pub(super) attempts: AllAttempts,
    /// The same of verifies that began by themselves, by enrolment.
    pub(super) verify_attempts: BTreeMap<Uuid, Attempts>,
    /// Whether the clock counts although good runs are dated in the future: those were made with a wrong one.
    pub(super) believes_clock: bool,
    /// What was reported of backups that are overdue.
    pub(super) reported_overdue: ReportedOverdue,
    pub(super) clock: Clock,
    /// The id of this machine.
    pub(super) machine: Uuid,
}

impl DriveTable {
    pub(super) fn new(config: Config, enrolments: Vec<Enrolment>, clock: Clock, machine: Uuid) -> Self {
        let (devices, entries, shown) = (DeviceTable::default(), BTreeMap::new(), BTreeMap::new());
        let (journal, stale) = (Journal::default(), BTreeSet::new());
        let (reservations, not_done) = (BTreeMap::new(), NotDone::of(&enrolments));
        let left_out = enrolments.iter().map(|enrolment| (enrolment.id, enrolment.left_out.clone())).collect();
        let last_runs = enrolments.iter().map(|enrolment| (enrolment.id, enrolment.last_runs.clone())).collect();
        let conditions = enrolments.iter().map(|enrolment| (enrolment.id, enrolment.condition)).collect();
        let origins = enrolments.iter().map(|enrolment| (enrolment.id, enrolment.origins.clone())).collect();
        let readings = enrolments.iter().map(|enrolment| (enrolment.id, enrolment.readings)).collect();
        let not_done_before: Vec<(Uuid, String, u64)> = enrolments
            .iter()
            .flat_map(|enrolment| {
                enrolment.not_done.iter().map(|(backup, last)| (enrolment.id, backup.clone(), last.time))
            })
            .collect();
        let mut table = Self {
            config,
            enrolments,
            devices,
            entries,
            reservations,
            shown,
            journal,
            stale,
            mount_changes: 0,
            other_mounts: Vec::new(),
            not_done,
            conditions,
            unreadable: Unreadable::default(),
            left_out,
            last_runs,
            readings,
            origins,
            smart: Vec::new(),
            volumes: Volumes::new(),
            volume_leases: VolumeLeases::new(),
            attempts: AllAttempts::new(),
            verify_attempts: BTreeMap::new(),
            believes_clock: false,
            reported_overdue: ReportedOverdue::default(),
            clock,
            machine,
        };
        for (enrolled, backup, time) in not_done_before {
            table.recall_failed_attempt(enrolled, &backup, time);
        }
        table
    }

    /// How the last use of a drive ended.
    pub(super) fn condition(&self, enrolled: Uuid) -> Condition {
        self.conditions.get(&enrolled).copied().unwrap_or_default()
    }

    /// Notes how the last use of an enrolled drive ended. Answers what was noted before.
    pub(super) fn set_condition(&mut self, enrolled: Uuid, condition: Condition) -> Condition {
        self.conditions.insert(enrolled, condition).unwrap_or_default()
    }

    /// The drive is no longer enrolled.
    pub(super) fn forget(&mut self, enrolled: Uuid) {
        self.enrolments.retain(|enrolment| enrolment.id != enrolled);
        self.not_done.forget(enrolled);
        self.attempts.remove(&enrolled);
        self.verify_attempts.remove(&enrolled);
        self.conditions.remove(&enrolled);
        self.left_out.remove(&enrolled);
        self.last_runs.remove(&enrolled);
        self.readings.remove(&enrolled);
        self.origins.remove(&enrolled);
    }

    /// When the first drive without devices is shown no more.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|(id, entry)| entry.expires(self.condition_of(id))).min()
    }

    /// How the last use of a drive ended, enrolled or not.
    pub(super) fn condition_of(&self, id: &DriveId) -> Condition {
        id.enrolment().map(|enrolled| self.condition(enrolled)).unwrap_or_default()
    }

    /// What is wrong while enrolments cannot be read.
    pub(super) fn unreadable_problem(&self) -> Option<Problem> {
        let drives: Vec<String> = self.unreadable.files.keys().map(Uuid::to_string).collect();
        (!drives.is_empty()).then_some(Problem::EnrolmentUnreadable { drives })
    }

    /// Whether the device belongs to an enrolled drive whose enrolment cannot be read.
    pub(super) fn is_claimed(&self, device: &BlockDevice) -> bool {
        device.content.as_ref().is_some_and(|content| self.unreadable.claimed.contains(&content.uuid))
    }

    /// One more needs the drive.
    pub(super) fn reserve(&mut self, id: &DriveId) {
        let count = self.reservations.entry(id.clone()).or_default();
        *count = count.saturating_add(1);
    }

    /// One fewer needs the drive; answers whether it was the last one.
    pub(super) fn end_reservation(&mut self, id: &DriveId) -> bool {
        let Some(count) = self.reservations.get_mut(id) else { return true };
        *count = count.saturating_sub(1);
        let is_last = *count == 0;
        if is_last {
            self.reservations.remove(id);
        }
        is_last
    }

    /// How many need the drive.
    pub(super) fn reservations(&self, id: &DriveId) -> usize {
        self.reservations.get(id).copied().unwrap_or_default()
    }

    /// The devices of a drive that is there, as they are now.
    pub(super) fn devices_of(&self, decision: &Decision) -> Vec<BlockDevice> {
        self.behind(&decision.devices).into_iter().cloned().collect()
    }

    /// The disks of a drive that are attached.
    pub(super) fn disks_of(&self, decision: &Decision) -> Disks {
        disks(&self.behind(&decision.devices))
    }

    /// The policy's decisions. `own` is a drive whose lock the caller has: that alone is no reason to leave it as it is.
    pub(super) fn decisions(&self, own: Option<&DriveId>) -> Vec<Decision> {
        self.decisions_with(&self.drive_uses(own))
    }

    fn drive_uses(&self, own: Option<&DriveId>) -> Vec<DriveUse> {
        self.entries.iter().filter_map(|(id, entry)| drive_use(id, entry, own == Some(id))).collect()
    }

    fn decisions_with(&self, in_use: &[DriveUse]) -> Vec<Decision> {
        self.with_input(in_use, policy::decisions)
    }

    /// The devices that are to be read, because udev's prober does not see what is on them; each once.
    pub(super) fn take_unclear(&mut self) -> Vec<BlockDevice> {
        let unclear: BTreeSet<PathBuf> = self.with_input(&[], |input| {
            let unclear = input.devices.iter().filter(|device| policy::is_unclear(device, input));
            unclear.map(|device| device.syspath.clone()).collect()
        });
        self.devices.take_unclear(|device| unclear.contains(&device.syspath))
    }

    fn with_input<T>(&self, in_use: &[DriveUse], ask: impl FnOnce(&PolicyInput<'_>) -> T) -> T {
        // With times alone, a plug is over at once where none is due.
        let going = |rule: &&BackupRule| rule.schedule.is_on_plug() || rule.schedule.has_times();
        let on_plug = |enrolment: &&Enrolment| {
            self.config.backups.iter().filter(going).any(|rule| goes(&self.config, rule, enrolment))
        };
        let on_plug: Vec<Uuid> = self.enrolments.iter().filter(on_plug).map(|enrolment| enrolment.id).collect();
        let own = self.enrolments.iter().filter(|enrolment| enrolment.own_key).map(|enrolment| enrolment.id);
        let keys: Vec<Uuid> = self.config.drives.keys.iter().map(|key| key.drive).chain(own).collect();
        let devices: Vec<BlockDevice> = self.devices.values().cloned().collect();
        let mounted_elsewhere: Vec<PathBuf> =
            self.other_mounts.iter().flat_map(|mount| &mount.nodes).cloned().collect();
        ask(&PolicyInput {
            mounted_elsewhere: &mounted_elsewhere,
            rules: &self.config.drives.matches,
            on_plug: &on_plug,
            keys: &keys,
            enrolments: &self.enrolments,
            devices: &devices,
            in_use,
        })
    }

    /// The decision on one drive; `None` if it is not attached.
    pub(super) fn decision(&self, id: &DriveId) -> Option<Decision> {
        self.decisions(Some(id)).into_iter().find(|decision| DriveId::from(&decision.id) == *id)
    }

    /// The same, as if it had not been released.
    pub(super) fn decision_after_release(&self, id: &DriveId) -> Option<Decision> {
        let mut in_use = self.drive_uses(Some(id));
        in_use.iter_mut().filter(|one| Some(one.enrolment) == id.enrolment()).for_each(|one| one.released = false);
        self.decisions_with(&in_use).into_iter().find(|decision| DriveId::from(&decision.id) == *id)
    }

    /// What the configuration and commands call a destination: its id, its labels, and its name in the configuration.
    pub(super) fn names(&self, enrolment: &Enrolment) -> Vec<String> {
        if let Some(volume) = self.volumes.get(&enrolment.id) {
            return vec![volume.name().as_str().to_owned()];
        }
        let mut names = enrolment.names();
        // A name that means another destination is none of it.
        names.retain(|name| self.config.destination(name).is_none());
        let configured = self.config.destinations.iter().map(|destination| destination.name.as_str());
        names.extend(configured.filter(|name| is_named(&self.config, name, enrolment)).map(str::to_owned));
        names
    }

    /// The action after the backups of a drive.
    pub(super) fn on_finish(&self, id: &DriveId) -> OnFinish {
        let of_it = self.destination_rules(id).find_map(|destination| match destination.place {
            DestinationPlace::Drive { on_finish, .. } => on_finish,
            DestinationPlace::Volume { .. } => None,
        });
        of_it.unwrap_or(self.config.drives.on_finish)
    }

    /// The `[[destination]]` tables of a drive or a volume; a drive may have none, and one for each of its names.
    pub(super) fn destination_rules(&self, id: &DriveId) -> impl Iterator<Item = &DestinationRule> {
        let enrolment = self.enrolment(id);
        let is_it = move |rule: &&DestinationRule| {
            enrolment.is_some_and(|enrolment| is_named(&self.config, rule.name.as_str(), enrolment))
        };
        self.config.destinations.iter().filter(is_it)
    }

    /// How fast backups write to it now.
    pub(super) fn max_rate(&self, id: &DriveId) -> RateNow {
        let limited = |rule: &&DestinationRule| rule.max_rate != MaxRate::default();
        let rule = self.destination_rules(id).find(limited);
        let at = |rule: &DestinationRule| rule.max_rate.at(self.now(), &self.clock.zone());
        rule.map_or(RateNow { rate: None, until: None }, at)
    }

    /// The devices behind nodes.
    pub(super) fn behind(&self, nodes: &[PathBuf]) -> Vec<&BlockDevice> {
        nodes.iter().filter_map(|node| self.devices.at(node)).collect()
    }

    /// The open side of a container.
    pub(super) fn inside(&self, container: &BlockDevice) -> Option<&BlockDevice> {
        self.devices.values().find(|facts| facts.over() == Some(container.name()))
    }

    /// The devices of a filesystem that are attached.
    pub(super) fn of_filesystem(&self, filesystem: Uuid) -> Vec<&BlockDevice> {
        let of_it = |facts: &&BlockDevice| facts.btrfs().is_some_and(|(other, _)| other == filesystem);
        self.devices.values().filter(of_it).collect()
    }

    /// The containers of enrolled drives that we opened, whose devices are gone: nothing is mounted from them.
    pub(super) fn orphans(&self) -> BTreeSet<Uuid> {
        let idle = |enrolment: &&Enrolment| {
            let entry = self.entries.get(&DriveId::from(enrolment.id));
            entry.is_none_or(|entry| entry.mount.is_none() && entry.leased == 0 && !entry.lock.taken())
        };
        let members = self.enrolments.iter().filter(idle).flat_map(|enrolment| &enrolment.members);
        // A disk that was plugged in again is not the one under a mapping of the plug before.
        let is_over = |mapping: &Mapping, device: &BlockDevice| {
            device.luks().is_some()
                && device.luks() == mapping.luks
                && mapping.over.as_deref().is_none_or(|over| over == device.name())
        };
        let is_orphan = |luks: Uuid| {
            let ours = self.devices.values().filter_map(|device| device.mapping.as_ref());
            let mut ours = ours.filter(|mapping| mapping.luks == Some(luks) && mapping.name == mapping_name(luks));
            ours.any(|mapping| !self.devices.values().any(|device| is_over(mapping, device)))
        };
        members.filter_map(|member| member.luks).filter(|luks| is_orphan(*luks)).collect()
    }

    pub(super) fn enrolment(&self, id: &DriveId) -> Option<&Enrolment> {
        let id = id.enrolment()?;
        self.enrolments.iter().find(|enrolment| enrolment.id == id)
    }

    /// The id of the enrolment that has this container as a member.
    pub(super) fn enrolment_of(&self, luks: Uuid) -> Option<Uuid> {
        let has = |enrolment: &&Enrolment| enrolment.members.iter().any(|member| member.luks == Some(luks));
        self.enrolments.iter().find(has).map(|enrolment| enrolment.id)
    }

    /// Takes over what was written down of an enrolment, a new one too.
    pub(super) fn note(&mut self, enrolment: Enrolment) {
        match self.enrolments.iter_mut().find(|known| known.id == enrolment.id) {
            Some(known) => *known = enrolment,
            None => self.enrolments.push(enrolment),
        }
    }
}

/// Whether a backup goes to this destination.
pub(super) fn goes(config: &Config, rule: &BackupRule, enrolment: &Enrolment) -> bool {
    rule.enabled && rule.drives.iter().any(|name| is_named(config, name, enrolment))
}

/// Whether the configuration calls it so. The name of a configured destination comes before the labels of drives.
pub(super) fn is_named(config: &Config, name: &str, enrolment: &Enrolment) -> bool {
    match config.destination(name).map(|destination| &destination.place) {
        Some(DestinationPlace::Volume { uuid, .. }) => enrolment.is_volume && enrolment.id == uuid.uuid(),
        Some(DestinationPlace::Drive { drive, .. }) => !enrolment.is_volume && enrolment.is_called(drive),
        None => !enrolment.is_volume && enrolment.is_called(name),
    }
}
