//! Releases a drive: writes everything, unmounts, locks and switches it off. Only then it is safe.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::types::{Condition, Error};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::DriveId;
use super::drive_lock::blocking;
use super::entry::Mount;
use super::manager::DriveManager;
use super::problem::{Unwritable, device_gone, for_caller, no_such_drive};
use super::reservation::{self, AfterUse, ReleaseInput};
use crate::catalogue;
use crate::device::{BlockDevice, Power, Result as Done};
use crate::enrolment::token;
use crate::hooks::Kind;
use crate::policy::Action;

/// Timeout for a worker that was killed a moment ago, and still has the mount open.
const HELD: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(50);

/// Timeout for listings and estimates to end on a drive that is being made safe.
const LOOKS: Duration = Duration::from_secs(10);

/// Timeout for udev's event of an unplugged drive: system calls fail before that event arrives; under load up to 1 s
/// earlier.
const WORD: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug)]
struct ReleasePlan {
    mount: Option<Arc<Mount>>,
    luks: Vec<uuid::Uuid>,
    /// To be switched off.
    disks: Vec<BlockDevice>,
    /// The devices that no other program may use.
    nodes: Vec<PathBuf>,
}

/// A drive that was unmounted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unmounted {
    condition: Condition,
    /// Whether it had become read-only since it was mounted.
    lost_writes: bool,
}

impl DriveManager {
    /// Makes it safe to unplug because a person asks for that. What failed is tried again as for [`Self::release_unreserved`].
    pub(super) async fn remove_now(&self, id: &DriveId) -> Result<Condition, Error> {
        let guard = self.lock_drive(id).await?;
        let mount_changes = self.lock().mount_changes;
        self.end_looks(id).await;
        let done = match self.free(id) {
            Ok(()) => self.release_locked(id, true).await,
            Err(error) => Err(error),
        };
        self.entry(id, |entry| {
            (entry.served, entry.beginning) = (true, false);
            entry.removal.send_replace(false);
            (entry.unremoved, entry.removed) = (done.is_err(), done.is_ok());
            entry.is_made_safe = done.is_ok();
        });
        if let Err(error) = &done {
            self.note_failed_release(id, error, mount_changes).await;
        }
        self.done(guard);
        done
    }

    /// Releases a drive without reservations, where that is due. What failed is tried again at the end of the next use,
    /// and when the devices or the mounts are others.
    pub(super) async fn release_unreserved(&self, id: &DriveId) -> Result<Option<Condition>, Error> {
        let Some(lock) = self.entry(id, |entry| entry.lock.clone()) else { return Ok(None) };
        // However long another operation takes: no other call would release the drive.
        let Some(guard) = lock.wait().await else { return Ok(None) };
        let mount_changes = self.lock().mount_changes;
        let done = match self.after_use(id) {
            AfterUse::Unchanged | AfterUse::Kept => Ok(None),
            AfterUse::Released { switched_off } => self.release_locked(id, switched_off).await.map(Some),
        };
        if let Err(error) = &done {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "the drive is not released: {error}");
            self.note_failed_release(id, error, mount_changes).await;
        }
        self.done(guard);
        done
    }

    /// Only the owner of the lock calls it.
    fn after_use(&self, id: &DriveId) -> AfterUse {
        if self.0.ending.load(Ordering::Acquire) {
            return AfterUse::Unchanged;
        }
        let mut table = self.lock();
        let Some(decision) = table.decision(id) else { return AfterUse::Unchanged };
        let (reserved, on_finish) = (table.reservations(id), table.on_finish(id));
        let Some(entry) = table.entries.get_mut(id) else { return AfterUse::Unchanged };
        let backups_begin = decision.action == Action::Backup;
        let (due, kept, unremoved) = (entry.due, entry.kept, entry.unremoved);
        let next = reservation::after_use(ReleaseInput { reserved, due, kept, unremoved, backups_begin, on_finish });
        if next != AfterUse::Unchanged {
            (entry.served, entry.beginning) = (true, false);
            entry.due = false;
        }
        next
    }

    /// `mount_changes`: how often mounts had changed when the release began.
    async fn note_failed_release(&self, id: &DriveId, error: &Error, mount_changes: u64) {
        self.note_unseen_mount(id).await;
        let mut table = self.lock();
        // Mounts that changed since may have made it possible: it is tried again at once.
        let is_same = table.mount_changes == mount_changes;
        let devices = table.decision(id).map(|decision| table.devices_of(&decision));
        let devices = devices.map(|devices| if is_same { devices } else { Vec::new() });
        let condition = table.condition_of(id);
        let Some(entry) = table.entries.get_mut(id) else { return };
        if entry.mount.is_none() && condition == Condition::Unsaved {
            // It is unmounted with lost writes, which is a problem of its own; a retry would wrongly report it as safe.
            (entry.due, entry.unremoved) = (false, false);
            entry.problem = None;
            return;
        }
        entry.problem = Some(error.into());
        entry.due = devices.is_some();
        entry.failed_with = devices;
    }

    /// Mounts changed: what could not be released may be now, and what could not be mounted.
    pub(crate) async fn mounts_changed(&self) {
        let failed = {
            let mut table = self.lock();
            table.mount_changes = table.mount_changes.wrapping_add(1);
            let failed = table.entries.values_mut().filter_map(|entry| entry.failed_with.as_mut());
            failed.map(Vec::clear).count()
        };
        let is_new = self.look_at_mounts().await;
        if failed > 0 || is_new {
            self.review();
        }
        self.look_at_volumes().await;
        self.look_for_sources();
    }

    /// Ends listings and estimates on the drive; any remaining user blocks the release.
    async fn end_looks(&self, id: &DriveId) {
        let mut reviewed = self.0.reviewed.subscribe();
        self.entry(id, |entry| entry.removal.send_replace(true));
        let ended = async {
            while self.entry(id, |entry| entry.leased).is_some_and(|leased| leased > 0) {
                if reviewed.changed().await.is_err() {
                    return;
                }
            }
        };
        // A look that takes longer is ended by the release.
        drop(timeout(LOOKS, ended).await);
    }

    /// Only the owner of the lock calls it.
    async fn release_locked(&self, id: &DriveId, off: bool) -> Result<Condition, Error> {
        let Unmounted { condition, lost_writes } = self.unmount(id, off).await?;
        if lost_writes && condition == Condition::Unsaved {
            return Err(for_caller(id, &crate::device::Error::refused(condition.sentence())));
        }
        self.entry(id, |entry| {
            entry.released = true;
            entry.kept = false;
            // A removal that had failed is done now: its times do not mount it again.
            entry.is_made_safe |= entry.unremoved;
            entry.unremoved = false;
            entry.due = false;
            entry.failed_with = None;
            entry.safe = Some(Instant::now());
            entry.problem = None;
        });
        tracing::info!(
            MESSAGE_ID = catalogue::DRIVE_SAFE,
            BUTTERDOCK_DRIVE = id.as_str(),
            "the drive is safe to unplug"
        );
        self.tell(Kind::Safe, id);
        Ok(condition)
    }

    /// Unmounts and locks it, and switches it off. Only the owner of the lock calls it.
    pub(super) async fn unmount(&self, id: &DriveId, off: bool) -> Result<Unmounted, Error> {
        let mut lost_writes = false;
        let mut leaving = self.leaving(id, off)?;
        // From here on nothing is mounted again by itself, also when not all of it works.
        self.entry(id, |entry| entry.released = true);
        if let Some(mount) = &leaving.mount {
            self.renew_token(id, mount).await;
            self.count_snapshots(id, mount).await;
            let written = written_and_unmounted(self, id, mount).await;
            let was_kept = self.entry(id, |entry| match &written {
                Ok(_) => {
                    (entry.mount, entry.due) = (None, false);
                    entry.kept
                }
                Err(_) => {
                    entry.released = false;
                    false
                }
            });
            lost_writes = !written?;
            if lost_writes {
                self.note_lost_writes(id, was_kept == Some(true)).await;
            }
        }
        let condition = self.lock().condition_of(id);
        if condition == Condition::Unsaved {
            // One that is switched off is not shown any more, and neither is what is wrong with it.
            leaving.disks.clear();
        }
        let power = lock_and_switch_off(self, id, leaving).await?;
        let is_switched_off = power.iter().any(|power| *power != Power::LeftOn);
        self.entry(id, |entry| entry.is_switched_off = is_switched_off);
        let switched_off = if is_switched_off { " and switched off" } else { "" };
        tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "the drive is unmounted{switched_off}");
        if condition != Condition::Sound {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "{}", condition.sentence());
        }
        Ok(Unmounted { condition, lost_writes })
    }

    /// It had become read-only. An earlier loss stays known until the token is written.
    async fn note_lost_writes(&self, id: &DriveId, was_mounted_by_a_user: bool) {
        let Some(enrolled) = id.enrolment() else { return };
        {
            let mut table = self.lock();
            // What a user may have lost earlier is not found again either.
            let condition = table.condition(enrolled).max(Condition::of_read_only(was_mounted_by_a_user));
            table.set_condition(enrolled, condition);
        }
        self.write_noted(id).await;
    }

    /// Writes the token of a drive that was full when it was mounted: it has room if something was deleted.
    async fn renew_token(&self, id: &DriveId, mount: &Arc<Mount>) {
        if self.entry(id, |entry| entry.unwritable == Some(Unwritable::Full)) != Some(true) {
            return;
        }
        let Some(mut enrolment) = self.lock().enrolment(id).cloned() else { return };
        let (mount, store, enrolled) = (Arc::clone(mount), self.0.register.clone(), enrolment.id);
        let visited =
            blocking(&self.0.operations, id, move || token::visit(mount.mounted.root()?, &mut enrolment, &store));
        // An error is in the journal, and the drive stays full.
        if let Ok(None) = visited.await {
            self.note_written(enrolled);
            self.entry(id, |entry| entry.unwritable = None);
            self.lock().set_condition(enrolled, Condition::Sound);
            self.write_noted(id).await;
        }
    }

    fn leaving(&self, id: &DriveId, off: bool) -> Result<ReleasePlan, Error> {
        let table = self.lock();
        let decision = table.decision(id).ok_or_else(|| no_such_drive(id))?;
        let mount = table.entries.get(id).and_then(|entry| entry.mount.clone());
        let members = table.enrolment(id).map(|enrolment| enrolment.members.clone()).unwrap_or_default();
        let disks: &[PathBuf] = if off { &decision.disks } else { &[] };
        // The mapping over a container is no disk.
        let disks = table.behind(disks).into_iter().filter(|disk| disk.mapping.is_none()).cloned().collect();
        let nodes = decision.devices;
        Ok(ReleasePlan { nodes, mount, luks: members.iter().filter_map(|member| member.luks).collect(), disks })
    }

    /// Before the service ends, all of them at once: what cannot be unmounted is detached when the next one starts.
    pub(super) async fn unmount_all(&self) {
        let mut seen = BTreeSet::new();
        loop {
            // One that is being mounted has the lock. It may be enrolled meanwhile, and has another id then.
            let all: BTreeSet<DriveId> = self.lock().entries.keys().cloned().collect();
            let new: Vec<DriveId> = all.difference(&seen).cloned().collect();
            if new.is_empty() {
                return;
            }
            let unmounting: JoinSet<()> = new.iter().cloned().map(|id| self.clone().unmount_at_end(id)).collect();
            unmounting.join_all().await;
            seen.extend(new);
        }
    }

    async fn unmount_at_end(self, id: DriveId) {
        let Ok(guard) = self.lock_drive(&id).await else { return };
        if self.entry(&id, |entry| entry.mount.is_some()) == Some(true) {
            // Why not is in the journal.
            drop(self.unmount(&id, false).await);
        } else {
            // One that was being unlocked for a caller.
            self.lock_again(&id).await;
        }
        drop(guard);
    }

    /// What is mounted, and where.
    pub(super) fn mounts(&self) -> Vec<(DriveId, PathBuf)> {
        let table = self.lock();
        let mounts = table.entries.iter().filter_map(|(id, entry)| Some((id, entry.mount.as_ref()?)));
        mounts.map(|(id, mount)| (id.clone(), mount.mounted.at.clone())).collect()
    }
}

/// Returns whether it was still writable when unmounted.
async fn written_and_unmounted(manager: &DriveManager, id: &DriveId, mount: &Arc<Mount>) -> Result<bool, Error> {
    let (same, devices) = (Arc::clone(mount), Arc::clone(&manager.0.devices));
    let written = blocking(&manager.0.operations, id, move || {
        let is_writable = same.mounted.write_out()?;
        Ok((is_writable, same.mounted.root().map(|root| devices.readings(&root)).ok()))
    });
    let (is_writable, readings) = written.await?;
    if let (Some(enrolled), Some(readings)) = (id.enrolment(), readings) {
        manager.lock().readings.insert(enrolled, readings);
    }
    let mut gone = mount.gone.subscribe();
    if !is_writable && timeout(WORD, gone.wait_for(|gone| *gone)).await.is_ok() {
        return Err(device_gone());
    }
    patiently(manager, id, || {
        let same = Arc::clone(mount);
        move || same.mounted.unmount()
    })
    .await?;
    Ok(is_writable)
}

/// Tries again for a while where a process uses it.
async fn patiently<A>(manager: &DriveManager, id: &DriveId, attempt: impl Fn() -> A) -> Result<(), Error>
where
    A: FnOnce() -> Done<()> + Send + 'static,
{
    let begun = Instant::now();
    loop {
        let attempt = attempt();
        let refused = blocking(&manager.0.operations, id, move || match attempt() {
            Err(refused @ (crate::device::Error::Refused(_) | crate::device::Error::InUse(_))) => Ok(Err(refused)),
            done => done.map(Ok),
        });
        match refused.await? {
            Ok(()) => return Ok(()),
            Err(_) if begun.elapsed() < HELD => sleep(RETRY).await,
            Err(refused) => return Err(for_caller(id, &refused)),
        }
    }
}

/// Locks a drive that is not mounted any more, and switches it off.
async fn lock_and_switch_off(manager: &DriveManager, id: &DriveId, plan: ReleasePlan) -> Result<Vec<Power>, Error> {
    let ReleasePlan { mount: _, luks, disks, nodes } = plan;
    let devices = &manager.0.devices;
    let same = Arc::clone(devices);
    blocking(&manager.0.operations, id, move || {
        luks.into_iter().filter(|luks| same.is_unlocked(*luks)).try_for_each(|luks| same.lock(luks))
    })
    .await?;
    // The containers of an enrolled drive are locked by now, and the service mounts nothing of an unknown one.
    for node in nodes {
        // A worker of another drive that starts at this moment has a copy of the mount until that is unmounted there too.
        patiently(manager, id, || {
            let (devices, node) = (Arc::clone(devices), node.clone());
            move || devices.check_unused(&node)
        })
        .await?;
    }
    let devices = Arc::clone(devices);
    blocking(&manager.0.operations, id, move || disks.iter().map(|disk| devices.power_off(disk)).collect()).await
}
