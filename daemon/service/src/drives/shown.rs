//! The public properties of a drive, and of the destination that an enrolled one is. Another program asks the disks for SMART; the
//! service only matches the answers to the drives.

use crate::types::{
    DestinationKind, DestinationProperties, DriveHealth, DriveProblem, DriveProperties, DriveState, ErrorCode, Problem,
    SmartReading,
};

use super::DriveId;
use super::entry::DriveEntry;
use super::manager::DriveManager;
use super::table::{DriveTable, goes};
use super::{damage, micros, replaced};
use crate::config::Config;
use crate::device::{BlockDevice, Bus, Finding, Readings};
use crate::enrolment::{Enrolment, Member};
use crate::policy::{Action, Decision};

/// What is shown of a drive. It holds no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// What callers call it.
    pub id: DriveId,
    /// Everything else, as the bus has it.
    pub is: DriveProperties,
}

impl std::ops::Deref for Drive {
    type Target = DriveProperties;

    fn deref(&self) -> &DriveProperties {
        &self.is
    }
}

impl DriveManager {
    /// From now on these are the disks of which something is known.
    pub fn set_smart(&self, known: &[SmartReading]) {
        let before = std::mem::replace(&mut self.lock().smart, known.to_vec());
        if before != known {
            self.review();
        }
    }
}

/// The drive of this decision.
pub(super) fn of(table: &DriveTable, decision: &Decision, entry: &DriveEntry) -> Drive {
    let id = DriveId::from(&decision.id);
    let enrolment = id.enrolment().and_then(|id| table.enrolments.iter().find(|other| other.id == id));
    let devices: Vec<&BlockDevice> =
        table.devices.values().filter(|facts| decision.devices.contains(&facts.node)).collect();
    let outer_devices = outer_devices(&devices);
    let outer = outer_devices.first().copied();
    let container = outer.filter(|facts| is_container(facts));
    let open = table.devices.values().find(|facts| {
        let over = facts.mapping.as_ref().and_then(|mapping| mapping.over.as_deref());
        container.is_some_and(|container| over == Some(container.name()))
    });
    let inner = if container.is_some() { open } else { outer };
    let content = inner.and_then(|facts| facts.content.as_ref());
    let found = devices.iter().copied().chain(open).find_map(|facts| match &facts.finding {
        Some(finding @ (Finding::Doubtful(_) | Finding::Damaged { .. })) => Some(finding.sentence(facts)),
        Some(Finding::Remains(_)) | None => None,
    });
    // A refusal says it itself.
    let is_refused = matches!(decision.action, Action::Refuse(_));
    let found = found.filter(|_| !is_refused).map(|sentence| sentence.problem(ErrorCode::Failed));
    let of_policy = match &decision.action {
        Action::Refuse(sentence) | Action::Degraded { problem: sentence, .. } => {
            vec![sentence.problem(ErrorCode::Failed)]
        }
        Action::Show
        | Action::Leave
        | Action::AwaitSecret(_)
        | Action::Unlock(_)
        | Action::Mount(_)
        | Action::Backup => entry.problems(),
    };
    let lasting = enrolment.map(|enrolment| lasting(table, enrolment)).unwrap_or_default();
    let unreadable = table
        .unreadable_problem()
        .filter(|_| enrolment.is_none() && devices.iter().any(|device| table.is_claimed(device)));
    let smart_failing = is_failing(table, &outer_devices);
    let smart = smart_failing.filter(|is_failing| *is_failing).map(|_| Problem::SmartFailing);
    let label = label(content.map(|content| content.label.as_str()), enrolment);
    let is = DriveProperties {
        names: names(table, &id, &label, enrolment),
        label,
        model: outer.map(|facts| facts.model.clone()).unwrap_or_default(),
        serial: outer.map(|facts| facts.serial.clone()).unwrap_or_default(),
        bus: outer.map_or("", |facts| word(facts.bus)).to_owned(),
        device: outer.map(|facts| facts.name().to_owned()).unwrap_or_default(),
        disk: outer.and_then(|facts| facts.disk().file_name()).unwrap_or_default().to_string_lossy().into_owned(),
        disk_size: outer.and_then(|facts| table.devices.at(facts.disk())).map_or(0, |disk| disk.size),
        devices: outer_devices.iter().map(|facts| facts.name().to_owned()).collect(),
        device_count: device_count(table, &outer_devices, enrolment),
        size: size(&outer_devices, enrolment),
        filesystem_type: content.map(|content| content.kind.clone()).unwrap_or_default(),
        filesystem_uuid: enrolment
            .map(|enrolment| enrolment.filesystem.to_string())
            .or_else(|| content.map(|content| content.uuid.clone()))
            .unwrap_or_default(),
        encrypted: container.is_some(),
        state: state(entry, container.is_some(), open.is_some()),
        mounted_by_others: !table.mounts_over(&devices).is_empty(),
        problems: of_drive(found.into_iter().chain(of_policy)).chain(smart).chain(unreadable).chain(lasting).collect(),
        note: decision.note.as_ref().map(|note| note.public().to_owned()).unwrap_or_default(),
        enrolled: enrolment.is_some(),
        last_seen: enrolment.map_or(0, Enrolment::attached_last),
        health: DriveHealth {
            smart_failing,
            ..enrolment.map(|enrolment| health(table, enrolment)).unwrap_or_default()
        },
    };
    Drive { id, is }
}

/// An enrolled drive that is not attached, as it is recorded; none if it is not enrolled. `unwritable`: why it took no writes.
pub(super) fn away(table: &DriveTable, id: &DriveId, unwritable: Vec<DriveProblem>) -> Option<Drive> {
    let Some(enrolment) = table.enrolment(id) else { return unreadable(table, id) };
    let label = enrolment.label().to_owned();
    let is = DriveProperties {
        names: names(table, id, &label, Some(enrolment)),
        label,
        serial: enrolment.members.first().map(|member| member.serial.clone()).unwrap_or_default(),
        device_count: enrolment.members.len() as u64,
        size: size(&[], Some(enrolment)),
        filesystem_type: "btrfs".to_owned(),
        filesystem_uuid: enrolment.filesystem.to_string(),
        encrypted: enrolment.members.iter().any(|member| member.luks.is_some()),
        state: DriveState::Away,
        problems: of_drive(unwritable).chain(lasting(table, enrolment)).collect(),
        enrolled: true,
        last_seen: enrolment.attached_last(),
        health: health(table, enrolment),
        ..DriveProperties::default()
    };
    Some(Drive { id: id.clone(), is })
}

/// An enrolled drive whose record cannot be read: only its id is known.
fn unreadable(table: &DriveTable, id: &DriveId) -> Option<Drive> {
    let problem = table.unreadable_problem()?;
    id.enrolment().filter(|id| table.unreadable.files.contains_key(id))?;
    let is = DriveProperties {
        names: vec![id.as_str().to_owned()],
        state: DriveState::Away,
        problems: vec![problem],
        enrolled: true,
        ..DriveProperties::default()
    };
    Some(Drive { id: id.clone(), is })
}

/// A drive that the service switched off, or that became read-only: it can be unplugged, and may be there all the same. `before`
/// is how it was shown, `away` how it is shown later.
pub(super) fn safe(before: &Drive, away: Option<Drive>, unwritable: Vec<DriveProblem>) -> Drive {
    let (problems, last_seen) =
        away.map_or_else(|| (of_drive(unwritable).collect(), 0), |away| (away.is.problems, away.is.last_seen));
    let is = DriveProperties {
        device: String::new(),
        disk: String::new(),
        devices: Vec::new(),
        note: String::new(),
        mounted_by_others: false,
        state: DriveState::Safe,
        problems,
        last_seen,
        ..before.is.clone()
    };
    Drive { id: before.id.clone(), is }
}

fn readings(table: &DriveTable, enrolment: &Enrolment) -> Readings {
    table.readings.get(&enrolment.id).copied().unwrap_or_default()
}

/// What is known of its health.
fn health(table: &DriveTable, enrolment: &Enrolment) -> DriveHealth {
    let verified = damage::verified(enrolment);
    DriveHealth {
        verified,
        verify_errors: verified.map(|_| enrolment.damage.as_ref().map_or(0, |damage| damage.blocks)),
        device_errors: readings(table, enrolment).device_errors,
        smart_failing: None,
    }
}

/// The destination that the drive is; none if it is not enrolled.
pub(super) fn destination(table: &DriveTable, drive: &Drive) -> Option<DestinationProperties> {
    if !drive.enrolled {
        return None;
    }
    let enrolment = table.enrolment(&drive.id);
    let backups = enrolment.map(|enrolment| backups(&table.config, enrolment)).unwrap_or_default();
    let of_backups = enrolment.map(|one| of_backups(table, one, backups.iter().map(String::as_str)));
    Some(DestinationProperties {
        id: (&drive.id).into(),
        name: drive.label.clone(),
        kind: DestinationKind::Drive,
        state: drive.state.into(),
        problems: drive
            .problems
            .iter()
            .cloned()
            .chain(of_backups.into_iter().flatten())
            .chain(enrolment.and_then(|one| table.verify_overdue(one)))
            .collect(),
        free: enrolment.map(|one| readings(table, one).free).unwrap_or_default(),
        size: drive.size,
        last_backup: enrolment.map_or(0, |enrolment| enrolment.last_backup),
        last_verify: enrolment.and_then(damage::verified).unwrap_or_default(),
        next_verify: enrolment.and_then(|one| table.next_verify(one)).and_then(micros).unwrap_or_default(),
        next_run: enrolment.and_then(|one| table.next_run(one)).and_then(micros).unwrap_or_default(),
        overdue: enrolment.is_some_and(|one| table.is_any_overdue(one)),
        backups,
        origins: enrolment.and_then(|one| table.origins.get(&one.id)).cloned().unwrap_or_default(),
    })
}

/// Its devices without the mappings over containers, which have neither serial nor bus; what came first is the first.
fn outer_devices<'a>(devices: &[&'a BlockDevice]) -> Vec<&'a BlockDevice> {
    let has_container = devices.iter().any(|facts| is_container(facts));
    let is_outer = |facts: &&BlockDevice| if has_container { is_container(facts) } else { facts.bus != Bus::Mapper };
    let mut outer: Vec<&BlockDevice> = devices.iter().copied().filter(is_outer).collect();
    outer.sort_by_key(|facts| (facts.diskseq, facts.name()));
    outer
}

/// How many devices its filesystem has: as at the enrolment, or as the superblock on one that is attached says.
fn device_count(table: &DriveTable, outer: &[&BlockDevice], enrolment: Option<&Enrolment>) -> u64 {
    if let Some(enrolment) = enrolment {
        return enrolment.members.len() as u64;
    }
    let counts = outer.iter().filter_map(|facts| table.inside(facts).unwrap_or(facts).filesystem_devices);
    counts.fold(outer.len() as u64, u64::max)
}

/// The bytes of all its devices. A missing one has as many as at the enrolment; of a drive that is not enrolled it is not counted.
fn size(devices: &[&BlockDevice], enrolment: Option<&Enrolment>) -> u64 {
    let attached = devices.iter().map(|facts| facts.size);
    let is_attached = |member: &Member| {
        devices.iter().any(|facts| match member.luks {
            Some(luks) => facts.luks() == Some(luks),
            None => facts.btrfs().is_some_and(|(_, device)| device == member.device),
        })
    };
    let members = enrolment.into_iter().flat_map(|enrolment| &enrolment.members);
    let missing = members.filter(|member| !is_attached(member)).map(|member| member.size);
    attached.chain(missing).fold(0, u64::saturating_add)
}

/// The names of the backups that go to it.
fn backups(config: &Config, enrolment: &Enrolment) -> Vec<String> {
    let rules = config.backups.iter().filter(|rule| goes(config, rule, enrolment));
    rules.map(|rule| rule.name.as_str().to_owned()).collect()
}

/// What is wrong with the drive itself.
fn of_drive(problems: impl IntoIterator<Item = DriveProblem>) -> impl Iterator<Item = Problem> {
    problems.into_iter().map(Problem::Drive)
}

/// What stays wrong with it while it is away and after a restart: lost writes, and damage.
fn lasting(table: &DriveTable, enrolment: &Enrolment) -> Vec<Problem> {
    let condition = Some(table.condition(enrolment.id)).filter(|condition| !condition.is_sound());
    condition.map(Problem::Unsound).into_iter().chain(damage::problem(enrolment)).collect()
}

/// What is wrong with these backups on it: those that did not run, and their snapshots on it.
pub(super) fn of_backups<'b>(
    table: &DriveTable,
    enrolment: &Enrolment,
    backups: impl IntoIterator<Item = &'b str> + Clone,
) -> Vec<Problem> {
    let not_done = table.not_done.problems(enrolment.id, backups.clone());
    not_done.into_iter().chain(replaced::problem(enrolment, backups)).collect()
}

fn state(entry: &DriveEntry, encrypted: bool, open: bool) -> DriveState {
    if entry.safe.is_some() {
        return DriveState::Safe;
    }
    match (&entry.mount, entry.leased > 0) {
        (_, true) => DriveState::Busy,
        (Some(_), false) => DriveState::Mounted,
        (None, false) if !encrypted => DriveState::Present,
        (None, false) if open => DriveState::Unlocked,
        (None, false) => DriveState::Locked,
    }
}

/// As it is written on the filesystem now; what it was called at its enrolment while that cannot be read.
fn label(now: Option<&str>, enrolment: Option<&Enrolment>) -> String {
    now.or_else(|| enrolment.map(Enrolment::label)).unwrap_or_default().to_owned()
}

/// What commands call it.
fn names(table: &DriveTable, id: &DriveId, label: &str, enrolment: Option<&Enrolment>) -> Vec<String> {
    let mut names = enrolment.map_or_else(|| vec![id.as_str().to_owned()], |enrolment| table.names(enrolment));
    if !label.is_empty() && !names.iter().any(|name| name == label) {
        names.push(label.to_owned());
    }
    names
}

fn is_container(facts: &BlockDevice) -> bool {
    facts.content.as_ref().is_some_and(|content| content.kind == "crypto_LUKS")
}

fn word(bus: Bus) -> &'static str {
    match bus {
        Bus::Usb => "usb",
        Bus::Ata => "ata",
        Bus::Scsi => "scsi",
        Bus::Nvme => "nvme",
        Bus::Mmc => "mmc",
        Bus::Virtio => "virtio",
        Bus::Loop => "loop",
        Bus::Mapper | Bus::Other => "",
    }
}

/// Whether one of the disks with these devices says that it is failing; none if nothing is known of them.
fn is_failing(table: &DriveTable, devices: &[&BlockDevice]) -> Option<bool> {
    let known = devices.iter().filter_map(|device| reading(table, device));
    known.map(|reading| reading.is_failing).reduce(|one, other| one || other)
}

/// By the name of the disk and its serial number: the kernel gives a name to another disk later.
fn reading<'t>(table: &'t DriveTable, device: &BlockDevice) -> Option<&'t SmartReading> {
    let disk = device.disk().file_name()?;
    table.smart.iter().find(|reading| disk == reading.disk.as_str() && reading.serial == device.serial)
}
