//! Enrols and unenrols drives.

use super::drive_lock::{blocking, local};
use super::erasing::{LABEL, outer, unclaimed, whole_disk};
use super::manager::DriveManager;
use super::mount::{Proved, mount};
use super::mounting::{Plan, plan_of};
use super::problem::{busy, failed, no_such_drive};
use super::table::DriveTable;
use super::{DriveId, DriveReservation};
use crate::catalogue;
use crate::device::{Access, BlockDevice, Devices, Error as Fault, Finding, Result as Done, Secret};
use crate::enrolment::{Enrolment, EnrolmentStore, Member, token};
use crate::types::{EnrolOptions, Error, ErrorCode};
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

impl DriveManager {
    /// A drive that is encrypted, or is to be, is opened with the `secret`.
    pub(super) async fn enrol_now(
        &self,
        id: &DriveId,
        options: &EnrolOptions,
        secret: Option<Secret>,
    ) -> Result<DriveId, Error> {
        let guard = self.lock_drive(id).await?;
        let enrolled = self.take_on(id, options, secret.map(Arc::new)).await;
        // The backups that are due reserve the drive at this review.
        self.done(guard);
        let (new, reservation) = enrolled?;
        // What goes wrong is the drive's problem, and is in the journal.
        drop(reservation.end().await);
        Ok(new)
    }

    /// Answers with its id from now on, reserved until its backups are.
    async fn take_on(
        &self,
        id: &DriveId,
        options: &EnrolOptions,
        secret: Option<Arc<Secret>>,
    ) -> Result<(DriveId, DriveReservation), Error> {
        let device = self.device_to_enrol(id, options)?;
        self.unmount_others(id, &device, options).await?;
        let (new, reservation) = match secret {
            Some(secret) => {
                let container = self.open_to_enrol(id, device.clone(), &secret, options).await?;
                let enrolled = self.read_and_begin(id, &device, options).await;
                if enrolled.is_err() {
                    self.lock_container(id, container).await;
                }
                enrolled?
            }
            None => {
                let device = match options.format {
                    true => self.erase(id, device, options.label.as_deref().unwrap_or(LABEL)).await?,
                    false => device,
                };
                self.read_and_begin(id, &device, options).await?
            }
        };
        tracing::info!(
            MESSAGE_ID = catalogue::DRIVE_ENROLLED,
            BUTTERDOCK_DRIVE = new.as_str(),
            "the drive \"{}\" is enrolled",
            self.lock().enrolment(&new).map(|enrolment| enrolment.label().to_owned()).unwrap_or_default()
        );
        Ok((new, reservation))
    }

    /// The first device of a drive that may be enrolled, and erased if that is asked for.
    pub(super) fn device_to_enrol(&self, id: &DriveId, options: &EnrolOptions) -> Result<BlockDevice, Error> {
        self.free(id)?;
        if self.lock().enrolment(id).is_some() {
            let text = if options.format {
                "nothing was erased: the drive is enrolled; if its backups are not needed any more, forget that drive first \
                 (butterdock forget)"
            } else {
                "the drive is enrolled already; butterdock backup begins what is due, and butterdock forget ends the enrolment"
            };
            return Err(Error::new(ErrorCode::Exists, text));
        }
        let shown = self.drive(id).ok_or_else(|| no_such_drive(id))?;
        options.confirm(&shown)?;
        let table = self.lock();
        let mut device = outer(&table, id, options)?;
        if options.whole_disk {
            device = whole_disk(&table, id, &device)?;
        }
        if options.format {
            unclaimed(&table, &device)?;
        }
        Ok(device)
    }

    async fn read_and_begin(
        &self,
        id: &DriveId,
        device: &BlockDevice,
        options: &EnrolOptions,
    ) -> Result<(DriveId, DriveReservation), Error> {
        // As it is now: it may have been encrypted.
        let device = self.lock().devices.get(&device.syspath).unwrap_or(device).clone();
        self.read_superblocks(&device).await?;
        let devices = members(&self.lock(), &device)?;
        self.begin(id, devices, options).await
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

    /// Mounts it, writes the token, and notes it. As after a plug, its backups begin next, and its last reservation releases it.
    async fn begin(
        &self,
        id: &DriveId,
        devices: Vec<(BlockDevice, Member)>,
        options: &EnrolOptions,
    ) -> Result<(DriveId, DriveReservation), Error> {
        let Some(((first, _), filesystem)) = devices.first().and_then(|first| Some((first, first.0.btrfs()?.0))) else {
            return Err(no_such_drive(id));
        };
        let label = first.content.as_ref().map(|content| content.label.clone()).unwrap_or_default();
        let members = devices.iter().map(|(_, member)| member.clone()).collect();
        let facts: Vec<&BlockDevice> = devices.iter().map(|(facts, _)| facts).collect();
        let mut enrolment = Enrolment::new(filesystem, label, members, self.0.clock.micros());
        enrolment.own_key = options.keep_key;
        let no_backup = options.no_backup;
        let plan = plan_of(&self.lock(), enrolment, &facts);
        let (devices, run, register) = (Arc::clone(&self.0.devices), self.0.run.clone(), self.0.register.clone());
        let (proved, plan) =
            blocking(&self.0.operations, id, move || write_token(&devices, plan, &register, &run)).await?;
        let new = DriveId::from(plan.enrolment.id);
        let reservation = self.reserve(&new);
        if no_backup {
            self.lock().await_next_times(plan.enrolment.id);
        }
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
            // It is away, or a volume.
            if self.lock().is_volume_leased(known) {
                return Err(busy("a job uses the destination; wait until it has ended, or cancel it, and try again"));
            }
            self.strike_out(id, known).await?;
            self.begin_anew(known).await?;
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
            "the filesystem of the drive has {count} devices, and {} attached ({}): plug in the others, then enrol \
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
        Ok(devices.readings(&root))
    });
    match begun {
        Ok(readings) => Ok((Proved { mounted, readings, unwritable: None }, plan)),
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
