//! Reviews the table of drives after each of udev's events: what is shown, and the next step for each drive.

mod udev_events;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::attached_log::Entry;
use super::drive_lock::clean_up;
use super::entry::{Disks, DriveEntry, Mount};
use super::manager::DriveManager;
use super::not_begun::{self, NotBegun};
use super::problem::unplugged;
use super::table::DriveTable;
use super::{Drive, DriveId, PlugEvent, Plugged, shown};
use crate::catalogue;
use crate::device::{BlockDevice, Devices, Result};
use crate::hooks::Kind;
use crate::policy::{Action, Decision};
use crate::types::{Condition, DestinationKind, DestinationProperties};
pub(super) use udev_events::follow;

/// Work to start after the table is unlocked.
#[derive(Debug, Default)]
struct Next {
    /// Next step with these.
    steps: Vec<DriveId>,
    /// Pulled out.
    pulled: Vec<(DriveId, Arc<Mount>)>,
    /// Backups are due; the channel turns true when the drive is pulled.
    plugged: Vec<(DriveId, Vec<String>, watch::Receiver<bool>)>,
    /// Their plug ended, and its backups never began.
    not_begun: Vec<NotBegun>,
    /// Enrolled, and not attached any more.
    unplugged: Vec<DriveId>,
    /// Their release failed with other devices.
    releases: Vec<DriveId>,
    /// Something is shown that was not.
    arrived: bool,
    /// For the journal.
    log: Vec<Entry>,
    /// Containers to be closed: their devices went.
    stale: Vec<Uuid>,
    /// To be read.
    unclear: Vec<BlockDevice>,
}

impl DriveManager {
    /// After every event and every step.
    pub(super) fn review(&self) {
        let next = {
            let mut table = self.lock();
            let next = look(&mut table);
            // While the table is locked, so that the later of two reviews is shown last.
            self.0.destinations.set(DestinationKind::Drive, destinations(&table));
            self.0.destinations.set(DestinationKind::Volume, table.volume_destinations());
            next
        };
        for entry in &next.log {
            entry.log();
            self.0.hooks.tell(entry.event());
        }
        for (id, mount) in next.pulled {
            tracing::warn!(
                MESSAGE_ID = catalogue::DRIVE_PULLED,
                BUTTERDOCK_DRIVE = id.as_str(),
                "the drive was unplugged while it was mounted"
            );
            self.tell(Kind::Pulled, &id);
            mount.gone.send_replace(true);
            self.write_soon(&id);
            let devices = Arc::clone(&self.0.devices);
            clean_up(&self.0.operations, &id.clone(), move || clear(&*devices, &id, &mount));
        }
        for luks in next.stale {
            let devices = Arc::clone(&self.0.devices);
            let owner = self.lock().enrolment_of(luks).unwrap_or(luks);
            clean_up(&self.0.operations, &DriveId::from(owner), move || close(&*devices, luks));
        }
        for id in next.steps {
            let manager = self.clone();
            tokio::spawn(async move { manager.step(&id).await });
        }
        for id in next.releases {
            let manager = self.clone();
            tokio::spawn(async move { manager.release_unreserved(&id).await });
        }
        for (drive, backups, gone) in next.plugged {
            let reservation = self.reserved(&drive);
            self.send_plug(PlugEvent::Due(Plugged { drive, backups, reservation, gone }));
        }
        for not_begun in next.not_begun {
            self.send_plug(PlugEvent::NotBegun(not_begun));
        }
        for device in next.unclear {
            let manager = self.clone();
            // Why it cannot be read is in the journal.
            tokio::spawn(async move { drop(manager.probe(&device).await) });
        }
        for id in next.unplugged {
            let manager = self.clone();
            tokio::spawn(async move { manager.note_unplugged(&id).await });
        }
        if next.arrived {
            self.0.arrived.send_replace(());
        }
        self.0.reviewed.send_replace(());
    }

    /// The next step with a drive, by itself.
    async fn step(&self, id: &DriveId) {
        let Ok(guard) = self.lock_drive(id).await else { return };
        // What goes wrong is the drive's problem, and is in the journal.
        drop(self.step_on(id).await);
        self.done(guard);
    }
}

fn look(table: &mut DriveTable) -> Next {
    let mut next = Next { pulled: pulled(table), ..Next::default() };
    let mut decisions = table.decisions(None);
    let there: BTreeSet<DriveId> = decisions.iter().map(|decision| DriveId::from(&decision.id)).collect();
    // The state of an earlier plug does not apply to this one.
    if replugged(table, &decisions) {
        decisions = table.decisions(None);
    }
    for decision in &decisions {
        let id = DriveId::from(&decision.id);
        let mut entry = table.entries.remove(&id).unwrap_or_else(DriveEntry::new);
        order(table, decision, &id, &mut entry, &mut next);
        retry_release(table, decision, &id, &mut entry, &mut next);
        let drive = shown::of(table, decision, &entry);
        next.log.extend(table.journal.note(&decision.action, &drive));
        next.arrived |= show(table, drive);
        table.entries.insert(id, entry);
    }
    next.plugged.iter().for_each(|(id, _, _)| table.reserve(id));
    table.journal.keep(&there);
    next.not_begun = not_begun::of_ended(table, &there);
    next.unplugged = mark_absent(table, &there);
    next.arrived |= show_away(table, &there);
    let orphans = table.orphans();
    next.stale = orphans.difference(&table.stale).copied().collect();
    table.stale = orphans;
    next.unclear = table.take_unclear();
    next
}

/// Takes out what is mounted and not there any more.
fn pulled(table: &mut DriveTable) -> Vec<(DriveId, Arc<Mount>)> {
    let DriveTable { entries, devices, .. } = table;
    let (mut all, mut unsaved) = (Vec::new(), Vec::new());
    for (id, entry) in entries {
        if let Some(mount) = entry.mount.take_if(|mount| !mount.stands(devices)) {
            entry.problem = Some(unplugged());
            unsaved.extend(id.enrolment().filter(|_| entry.kept && entry.unwritable.is_none()));
            // Work that waits for the lock must not act on the state of this plug.
            (entry.due, entry.kept, entry.failed_with) = (false, false, None);
            all.push((id.clone(), mount));
        }
    }
    for enrolled in unsaved {
        let condition = table.condition(enrolled).max(Condition::Unplugged);
        table.set_condition(enrolled, condition);
    }
    all
}

/// Resets the state of drives that were plugged in again; returns whether there are any.
fn replugged(table: &mut DriveTable, decisions: &[Decision]) -> bool {
    let mut disks: BTreeMap<DriveId, Disks> = BTreeMap::new();
    for decision in decisions {
        // A copy of a mounted drive has a decision of its own.
        disks.entry(DriveId::from(&decision.id)).or_default().extend(table.disks_of(decision));
    }
    let mut is_any = false;
    for (id, entry) in &mut table.entries {
        let Some(attached) = disks.remove(id) else { continue };
        if entry.lock.taken() {
            // What is being done with it belongs to the plug before; this one begins after that.
            entry.safe.take_if(|_| entry.absent);
        } else if entry.absent || !entry.is_same_plug(attached.clone()) {
            entry.replug();
            entry.disks = attached;
            is_any = true;
        }
    }
    is_any
}

/// What the policy orders for one drive.
fn order(table: &DriveTable, decision: &Decision, id: &DriveId, entry: &mut DriveEntry, next: &mut Next) {
    not_begun::note(&decision.action, entry);
    match &decision.action {
        Action::Unlock(_) | Action::Mount(_) if !entry.lock.taken() && entry.tried != decision.devices => {
            entry.tried.clone_from(&decision.devices);
            next.steps.push(id.clone());
        }
        Action::Backup => {
            let Some(gone) = entry.mount.as_ref().map(|mount| mount.gone.subscribe()) else { return };
            entry.beginning = true;
            next.plugged.push((id.clone(), table.due_at_plug(id, entry.at_start), gone));
        }
        // What failed because of the reason is tried again without it.
        Action::Refuse(_) => entry.tried.clear(),
        Action::Unlock(_)
        | Action::Mount(_)
        | Action::Show
        | Action::Leave
        | Action::Degraded { .. }
        | Action::AwaitSecret(_) => {}
    }
}

/// A release that failed is tried again when other devices are there, or when the mounts are others.
fn retry_release(table: &DriveTable, decision: &Decision, id: &DriveId, entry: &mut DriveEntry, next: &mut Next) {
    if entry.failed_with.is_none() || entry.lock.taken() || table.reservations(id) > 0 {
        return;
    }
    let devices = table.devices_of(decision);
    if entry.failed_with.as_ref() != Some(&devices) {
        entry.failed_with = Some(devices);
        next.releases.push(id.clone());
    }
}

/// Shows it as it is; answers whether it was not shown.
fn show(table: &mut DriveTable, drive: Drive) -> bool {
    if let Some(known) = table.shown.get(&drive.id) {
        known.send_if_modified(|known| {
            let other = *known != drive;
            if other {
                *known = drive;
            }
            other
        });
        return false;
    }
    table.shown.insert(drive.id.clone(), watch::Sender::new(drive));
    true
}

/// A drive without devices is away, unless the service switched it off a while ago or it became read-only, and it was
/// neither forgotten nor plugged in again under another id since: then it is shown as safe. Returns the enrolled drives that have
/// just been unplugged.
fn mark_absent(table: &mut DriveTable, there: &BTreeSet<DriveId>) -> Vec<DriveId> {
    let now = Instant::now();
    let conditions: BTreeMap<DriveId, Condition> =
        table.entries.keys().map(|id| (id.clone(), table.condition_of(id))).collect();
    let DriveTable { enrolments, entries, shown, .. } = table;
    let filesystem = |id: &DriveId| shown.get(id).map(|drive| drive.borrow().filesystem_uuid.clone());
    let attached: BTreeSet<String> = there.iter().filter_map(filesystem).filter(|uuid| !uuid.is_empty()).collect();
    let mut unplugged = Vec::new();
    for (id, entry) in entries.iter_mut().filter(|(id, _)| !there.contains(*id)) {
        let is_enrolled = id.enrolment().is_some_and(|id| enrolments.iter().any(|other| other.id == id));
        if !entry.absent && is_enrolled {
            unplugged.push(id.clone());
        }
        entry.absent = true;
        let is_forgotten = id.enrolment().is_some() && !is_enrolled;
        let is_back = shown.get(id).is_some_and(|drive| attached.contains(&drive.borrow().filesystem_uuid));
        entry.safe.take_if(|_| is_forgotten || is_back);
        let condition = conditions.get(id).copied().unwrap_or_default();
        if entry.expires(condition).is_none_or(|at| at <= now) {
            // Also while something is being done with it, or its expiry would be due again at once.
            entry.safe = None;
        }
    }
    entries.retain(|_, entry| !entry.absent || entry.safe.is_some() || entry.lock.taken() || entry.leased > 0);
    unplugged
}

/// Shows the drives without devices: enrolled ones as away, and those that can be unplugged as safe. Others are not shown any
/// more. Returns whether one was not shown.
fn show_away(table: &mut DriveTable, there: &BTreeSet<DriveId>) -> bool {
    let drives = table.enrolments.iter().filter(|enrolment| !enrolment.is_volume);
    let enrolled = drives.map(|enrolment| enrolment.id).chain(table.unreadable.files.keys().copied());
    let known: BTreeSet<DriveId> = enrolled.map(DriveId::from).chain(table.shown.keys().cloned()).collect();
    let mut arrived = false;
    for id in known.difference(there) {
        let (entry, before) = (table.entries.get(id), table.shown.get(id));
        // udev removes a drive being switched off before its release is recorded; the review after that decides.
        if before.is_some() && entry.is_some_and(|entry| entry.released && entry.lock.taken()) {
            continue;
        }
        let unwritable = entry.map(DriveEntry::lasting_problems).unwrap_or_default();
        let safe = before.filter(|_| entry.is_some_and(|entry| entry.safe.is_some()));
        let now = match (safe, shown::away(table, id, unwritable.clone())) {
            (Some(before), away) => Some(shown::safe(&before.borrow(), away, unwritable)),
            (None, away) => away,
        };
        match now {
            Some(drive) => arrived |= show(table, drive),
            None => drop(table.shown.remove(id)),
        }
    }
    arrived
}

/// The destinations that the shown drives are.
fn destinations(table: &DriveTable) -> Vec<DestinationProperties> {
    table.shown.values().filter_map(|drive| shown::destination(table, &drive.borrow())).collect()
}

/// Detaches the mount of an unplugged drive, and closes its containers when they are no longer in use.
fn clear(devices: &dyn Devices, id: &DriveId, mount: &Mount) {
    let log = |done: Result<()>| {
        if let Err(error) = done {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "after the drive was unplugged: {error}");
        }
    };
    log(mount.mounted.detach());
    for luks in &mount.luks {
        log(devices.lock_when_unused(*luks));
    }
}

/// Closes what was open when its device was pulled, and not mounted.
fn close(devices: &dyn Devices, luks: Uuid) {
    if let Err(error) = devices.lock_when_unused(luks) {
        tracing::warn!("after a drive was unplugged: {error}");
    }
}

#[cfg(test)]
mod tests;
