//! Enrols and unenrols drives.

use super::drive_lock::{blocking, local};
use super::handle::DriveManager;
use super::mount::{Proved, mount};
use super::mounting::{Plan, plan_of};
use super::problem::{busy, failed, no_such_drive};
use super::table::{DriveEntry, DriveTable};
use super::{DriveId, DriveReservation};
use crate::catalogue;
use crate::device::{Access, BlockDevice, Content, Devices, Error as Fault, Finding, Result as Done};
use crate::enrolment::{Enrolment, EnrolmentStore, Member, token};
use crate::types::{EnrolOptions, Error, ErrorCode};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// The default label of a new filesystem.
const LABEL: &str = "backup";

impl DriveManager {
    pub(super) async fn enrol_now(&self, id: &DriveId, options: &EnrolOptions) -> Result<DriveId, Error> {
        let guard = self.lock_drive(id).await?;
        let enrolled = self.take_on(id, options).await;
        // The backups that are due reserve the drive at this review.
        self.done(guard);
        let (new, reservation) = enrolled?;
        // What goes wrong is the drive's problem, and is in the journal.
        drop(reservation.end().await);
        Ok(new)
    }

    /// Answers with its id from now on, reserved until its backups are.
    async fn take_on(&self, id: &DriveId, options: &EnrolOptions) -> Result<(DriveId, DriveReservation), Error> {
        self.free(id)?;
        if self.lock().enrolment(id).is_some() {
            let text = if options.format {
                "nothing was erased: the drive is enrolled; if its backups are not needed any more, forget it first (butterdock \
                 forget)"
            } else {
                "the drive is enrolled already; butterdock backup begins what is due, and butterdock forget ends the enrolment"
            };
            return Err(Error::new(ErrorCode::Exists, text));
        }
        let shown = self.drive(id).ok_or_else(|| no_such_drive(id))?;
        options.confirm(&shown)?;
        let mut device = outer(&self.lock(), id, options)?;
        if options.whole_disk {
            device = whole_disk(&self.lock(), id, &device)?;
        }
        if options.format {
            unclaimed(&self.lock(), &device)?;
        }
        self.unmount_others(id, &device, options).await?;
        if options.format {
            device = self.erase(id, device, options.label.as_deref().unwrap_or(LABEL)).await?;
        }
        self.read_superblocks(&device).await?;
        let devices = members(&self.lock(), &device)?;
        let (new, reservation) = self.begin(id, devices, options.no_backup).await?;
        tracing::info!(
            MESSAGE_ID = catalogue::DRIVE_ENROLLED,
            BUTTERDOCK_DRIVE = new.as_str(),
            "the drive \"{}\" is enrolled",
            self.lock().enrolment(&new).map(|enrolment| enrolment.label().to_owned()).unwrap_or_default()
        );
        Ok((new, reservation))
    }

    /// Reads all devices of the filesystem on this one that are attached: perhaps that has not been done yet, or devices were added
    /// or removed since.
    async fn read_superblocks(&self, device: &BlockDevice) -> Result<(), Error> {
        let all: Vec<BlockDevice> = {
            let table = self.lock();
            let inside = table.inside(device).unwrap_or(device);
            match inside.btrfs() {
                Some((filesystem, _)) => table.of_filesystem(filesystem).into_iter().cloned().collect(),
                None if inside.luks().is_some() => Vec::new(),
                None => vec![inside.clone()],
            }
        };
        for device in &all {
            self.probe(device).await?;
        }
        Ok(())
    }

    /// Formats its one device, and takes in what is on it then without waiting for udev to tell.
    async fn erase(&self, id: &DriveId, device: BlockDevice, label: &str) -> Result<BlockDevice, Error> {
        let parts: Vec<String> = {
            let table = self.lock();
            let parts = table.devices.values().filter(|part| part.disk() == device.node && part.partition.is_some());
            parts.map(|part| part.name().to_owned()).collect()
        };
        let node = device.name();
        tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "erasing {node} (its partitions: {})", or_none(&parts));
        let label = label.to_owned();
        let devices = Arc::clone(&self.0.devices);
        let facts = blocking(self, id, move || {
            let made = devices.format(&device, &label)?;
            let content = Content {
                kind: "btrfs".to_owned(),
                uuid: made.fsid.to_string(),
                sub_uuid: made.dev_uuid.to_string(),
                label: made.label,
            };
            Ok(BlockDevice { content: Some(content), finding: None, filesystem_devices: None, ..device })
        })
        .await?;
        self.lock().devices.insert(facts.clone());
        Ok(facts)
    }

    /// Mounts it, writes the token, and notes it. As after a plug, its backups begin next, and its last reservation releases it.
    async fn begin(
        &self,
        id: &DriveId,
        devices: Vec<(BlockDevice, Member)>,
        no_backup: bool,
    ) -> Result<(DriveId, DriveReservation), Error> {
        let Some(((first, _), filesystem)) = devices.first().and_then(|first| Some((first, first.0.btrfs()?.0))) else {
            return Err(no_such_drive(id));
        };
        let label = first.content.as_ref().map(|content| content.label.clone()).unwrap_or_default();
        let members = devices.iter().map(|(_, member)| member.clone()).collect();
        let facts: Vec<&BlockDevice> = devices.iter().map(|(facts, _)| facts).collect();
        let enrolment = Enrolment::new(filesystem, label, members, self.0.clock.micros());
        let plan = plan_of(&self.lock(), enrolment, &facts);
        let (devices, run, register) = (Arc::clone(&self.0.devices), self.0.run.clone(), self.0.register.clone());
        let (proved, plan) = blocking(self, id, move || write_token(&devices, plan, &register, &run)).await?;
        let new = DriveId::from(plan.enrolment.id);
        let reservation = self.reserve(&new);
        self.mounted(&new, proved, plan, |entry| (entry.served, entry.due) = (no_backup, true));
        self.note_unreadable();
        Ok((new, reservation))
    }

    pub(super) async fn forget_now(&self, id: &DriveId) -> Result<(), Error> {
        let none =
            || Error::new(ErrorCode::NotFound, format!("no drive \"{}\" is enrolled", id.as_str().escape_debug()));
        let unreadable = |id: &Uuid| self.0.register.unreadable().files.contains_key(id);
        if let Some(unreadable) = id.enrolment().filter(unreadable) {
            self.strike_out(id, unreadable).await?;
            self.note_unreadable();
            self.review();
            return Ok(());
        }
        let known = self.lock().enrolment(id).map(|enrolment| enrolment.id).ok_or_else(none)?;
        if self.entry(id, |_| ()).is_none() {
            // It is away.
            self.strike_out(id, known).await?;
            self.review();
            return Ok(());
        }
        let guard = self.lock_drive(id).await?;
        let done = self.leave_and_strike_out(id, known).await;
        self.done(guard);
        done
    }

    async fn leave_and_strike_out(&self, id: &DriveId, known: Uuid) -> Result<(), Error> {
        self.free(id)?;
        if self.lock().decision(id).is_some() {
            self.unmount(id, false).await?;
        }
        self.strike_out(id, known).await
    }

    async fn strike_out(&self, id: &DriveId, known: Uuid) -> Result<(), Error> {
        let register = self.0.register.clone();
        local(id, move || register.forget(known)).await?;
        self.lock().forget(known);
        tracing::info!(
            MESSAGE_ID = catalogue::DRIVE_FORGOTTEN,
            BUTTERDOCK_DRIVE = id.as_str(),
            "the drive is no longer enrolled"
        );
        Ok(())
    }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The first device of the drive, whatever is on it. One that is to be formatted must be the only one, or all of them must be
/// partitions of the disk that is to be formatted.
fn outer(table: &DriveTable, id: &DriveId, options: &EnrolOptions) -> Result<BlockDevice, Error> {
    let decision = table.decision(id).ok_or_else(|| no_such_drive(id))?;
    let devices = table.behind(&decision.devices);
    let mut outer = devices.iter().filter(|facts| facts.mapping.is_none());
    match (outer.next(), outer.next()) {
        (Some(device), None) => Ok((*device).clone()),
        (Some(device), Some(_)) if !options.format || (options.whole_disk && decision.disks.len() == 1) => {
            Ok((*device).clone())
        }
        (Some(_), Some(_)) => Err(failed(
            "the filesystem of the drive has several devices, and only a single device can be formatted: unplug the \
             others; if the drive is enrolled, forget it first",
        )),
        (None, _) => Err(no_such_drive(id)),
    }
}

/// The disk that the drive's one device is a partition of. No partition of it may belong to an enrolled drive, also to this one:
/// the caller named a disk, and did not see that a drive of this machine is on it.
fn whole_disk(table: &DriveTable, id: &DriveId, device: &BlockDevice) -> Result<BlockDevice, Error> {
    let disk = table.devices.at(device.disk()).ok_or_else(|| no_such_drive(id))?;
    for decision in table.decisions(Some(id)).iter().filter(|decision| decision.disks.contains(&disk.node)) {
        let other = DriveId::from(&decision.id);
        if let Some(enrolment) = table.enrolment(&other) {
            return Err(failed(format!(
                "nothing was erased: the enrolled drive \"{}\" ({other}) is on the disk {}; forget that drive first \
                 (butterdock forget)",
                enrolment.label(),
                disk.name()
            )));
        }
        let is_used = |entry: &DriveEntry| entry.leased > 0 || entry.lock.taken();
        if other != *id && table.entries.get(&other).is_some_and(is_used) {
            return Err(busy(format!(
                "nothing was erased: a job uses {other}, which is on the same disk {}; wait for it, or cancel it first",
                disk.name()
            )));
        }
    }
    Ok(disk.clone())
}

/// Neither the device, which is to be erased, nor a partition of it belongs to an enrolled drive whose record cannot be read.
fn unclaimed(table: &DriveTable, device: &BlockDevice) -> Result<(), Error> {
    let is_on_it = |part: &&BlockDevice| part.node == device.node || part.disk() == device.node;
    let Some(part) = table.devices.values().filter(is_on_it).find(|part| table.is_claimed(part)) else { return Ok(()) };
    let ids: Vec<String> = table.unreadable.files.keys().map(ToString::to_string).collect();
    Err(failed(format!(
        "nothing was erased: {} belongs to an enrolled drive whose record cannot be read ({}); enrol that drive again to keep it, \
         or forget it first (butterdock forget ID)",
        part.name(),
        ids.join(", ")
    )))
}

/// All devices of the filesystem on this one, each there once, and none missing.
fn members(table: &DriveTable, device: &BlockDevice) -> Result<Vec<(BlockDevice, Member)>, Error> {
    let device = match device.luks() {
        None => device,
        Some(luks) => table.inside(device).ok_or_else(|| {
            let name = crate::device::mapping_name(luks);
            failed(format!("the drive is locked; open it first (cryptsetup open {} {name})", device.name()))
        })?,
    };
    let device = table.devices.get(&device.syspath).unwrap_or(device);
    if let Some(finding @ (Finding::Doubtful(_) | Finding::Damaged { .. })) = &device.finding {
        return Err(failed(finding.sentence(device).public()));
    }
    let Some((filesystem, _)) = device.btrfs() else {
        return Err(failed("the drive has no btrfs filesystem; format it (butterdock enrol --format)"));
    };
    let all = table.of_filesystem(filesystem);
    for (index, one) in all.iter().enumerate() {
        let twin = all.iter().take(index).find(|other| other.btrfs() == one.btrfs());
        if let Some(twin) = twin {
            return Err(failed(format!(
                "{} and {} have the same uuids: one is a copy of the other, and neither is enrolled while both are \
                 attached; unplug the copy",
                twin.name(),
                one.name()
            )));
        }
    }
    let count = all.iter().filter_map(|facts| facts.filesystem_devices).fold(0, u64::max);
    if count > all.len() as u64 {
        return Err(failed(format!(
            "the filesystem of the drive has {count} devices, and {} of them attached ({}): plug in the others, then enrol \
             the drive. If one has failed, mount the filesystem yourself (mount -o degraded), replace the failed device (btrfs \
             replace) or remove it (btrfs device remove missing), unmount it, and enrol the drive then",
            if all.len() == 1 { "1 is".to_owned() } else { format!("{} are", all.len()) },
            all.iter().map(|facts| facts.name()).collect::<Vec<_>>().join(", ")
        )));
    }
    let member = |facts: &&BlockDevice| {
        let over = facts.over();
        let container = table.devices.values().find(|other| over == Some(other.name()));
        Some(((*facts).clone(), Member::of(facts, container)?))
    };
    if table.enrolments.iter().any(|enrolment| enrolment.filesystem == filesystem) {
        return Err(busy(
            "this filesystem is enrolled already, on another device: one is a copy; forget that drive first",
        ));
    }
    Ok(all.iter().filter_map(member).collect())
}

fn write_token(
    devices: &Arc<dyn Devices>,
    mut plan: Plan,
    register: &EnrolmentStore,
    run: &Path,
) -> Done<(Proved, Plan)> {
    for node in &plan.nodes {
        in_use(&**devices, node)?;
    }
    let mounted = mount(devices, &plan.enrolment, &plan.sources, Access::Writable, run)?;
    let begun = mounted.root().and_then(|root| {
        if let Some(before) = token::begin(&root, &mut plan.enrolment, register)? {
            set_unreadable_aside(register, before);
        }
        Ok(devices.free(&root))
    });
    match begun {
        Ok(free) => Ok((Proved { mounted, free, unwritable: None }, plan)),
        Err(error) => {
            // Perhaps it was not written yet; without a token it means nothing.
            if let Err(error) = register.forget(plan.enrolment.id) {
                tracing::debug!("the enrolment that failed is not forgotten: {error}");
            }
            mounted.undo();
            Err(error)
        }
    }
}

/// The drive is enrolled again: its enrolment before, which could not be read, protects nothing any more. Its file may still help an
/// administrator.
fn set_unreadable_aside(store: &EnrolmentStore, before: Uuid) {
    if store.unreadable().files.contains_key(&before)
        && let Err(error) = store.set_aside(before)
    {
        tracing::warn!("{error}");
    }
}

/// Refuses a drive that another program uses.
fn in_use(devices: &dyn Devices, node: &Path) -> Done<()> {
    match devices.check_unused(node) {
        Err(Fault::Refused(sentence)) => Err(Fault::InUse(sentence)),
        unused => unused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::device::{Bus, Partition};
    use crate::policy;

    /// What udev reports of the disk sdb, or of one of its partitions.
    fn device(name: &str, partition: Option<u32>, filesystem: Option<u128>) -> BlockDevice {
        let text = |number: u128| Uuid::from_u128(number).to_string();
        let content = filesystem.map(|number| Content {
            kind: "btrfs".to_owned(),
            uuid: text(number),
            sub_uuid: text(number + 1),
            label: "Blue".to_owned(),
        });
        BlockDevice {
            node: Path::new("/dev").join(name),
            devnum: partition.unwrap_or_default().into(),
            syspath: Path::new("/sys/devices/x/block/sdb").join(name),
            diskseq: 1,
            bus: Bus::Usb,
            removable: false,
            model: "Disk".to_owned(),
            serial: "S".to_owned(),
            id_path: String::new(),
            size: 1000,
            partition: partition.map(|number| Partition { number, disk: "/dev/sdb".into() }),
            content,
            mapping: None,
            loop_file: None,
            finding: None,
            filesystem_devices: None,
        }
    }

    /// A disk with two partitions of which the first has filesystem 10, and these enrolments.
    fn table(enrolments: Vec<Enrolment>) -> DriveTable {
        let mut table = DriveTable::new(Config::default(), enrolments);
        for facts in [device("sdb", None, None), device("sdb1", Some(1), Some(10)), device("sdb2", Some(2), None)] {
            table.devices.insert(facts);
        }
        table
    }

    fn by_device(name: &str) -> DriveId {
        DriveId::from(&policy::DriveId::Device(name.to_owned(), 1))
    }

    fn erased(table: &DriveTable, id: &DriveId, name: &str) -> Result<String, String> {
        let device = table.devices.at(&Path::new("/dev").join(name)).expect("attached");
        let disk = whole_disk(table, id, device).map_err(|error| error.to_string())?;
        unclaimed(table, &disk).map_err(|error| error.to_string())?;
        Ok(disk.name().to_owned())
    }

    #[test]
    fn a_disk_with_an_enrolled_drive_is_not_erased() {
        assert_eq!(erased(&table(Vec::new()), &by_device("sdb2"), "sdb2"), Ok("sdb".to_owned()));
        let member = Member { device: Uuid::from_u128(11), luks: None, serial: "S".to_owned(), size: 1000 };
        let blue = Enrolment::new(Uuid::from_u128(10), "Blue".to_owned(), vec![member], 1);
        let own = DriveId::from(blue.id);
        let table = table(vec![blue]);
        for (id, name) in [(by_device("sdb2"), "sdb2"), (own, "sdb1")] {
            let refused = erased(&table, &id, name).expect_err("a drive is enrolled");
            assert!(refused.contains("\"Blue\"") && refused.contains("forget that drive first"), "{refused}");
        }
    }

    #[test]
    fn what_belongs_to_an_unreadable_record_is_not_erased() {
        let mut table = table(Vec::new());
        let unreadable = Uuid::from_u128(77);
        table.unreadable.files.insert(unreadable, "it is no enrolment".to_owned());
        table.unreadable.claimed.insert(Uuid::from_u128(10).to_string());
        for name in ["sdb1", "sdb2"] {
            let refused = erased(&table, &by_device(name), name).expect_err("a drive is enrolled");
            assert!(refused.contains("sdb1") && refused.contains(&unreadable.to_string()), "{refused}");
        }
        let alone = |name: &str| unclaimed(&table, table.devices.at(&Path::new("/dev").join(name)).expect("attached"));
        assert!(alone("sdb1").is_err_and(|refused| refused.to_string().contains("butterdock forget")));
        assert_eq!(alone("sdb2"), Ok(()), "its neighbour stays");
        table.unreadable.claimed.clear();
        assert_eq!(erased(&table, &by_device("sdb2"), "sdb2"), Ok("sdb".to_owned()));
    }
}
