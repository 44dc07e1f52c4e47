//! Unlocks and mounts drives, as the policy decides.

use super::container::UDEV_TIMEOUT;
use super::drive_lock::blocking;
use super::entry::{Disks, DriveEntry, Mount, disks};
use super::manager::DriveManager;
use super::mount::{Proved, mount_and_prove};
use super::problem::{busy, device_gone, failed, locked, no_such_drive, refused};
use super::table::DriveTable;
use super::{DriveId, Need};
use crate::device::{BlockDevice, Secret, Sentence, Source};
use crate::enrolment::Enrolment;
use crate::policy::{Action, Decision, Locked};
use crate::types::{Condition, Error};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// All that mounting one needs.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) enrolment: Enrolment,
    pub(super) nodes: Vec<PathBuf>,
    pub(super) sources: Vec<Source>,
    pub(super) under: Vec<(PathBuf, u64, u64)>,
    pub(super) disks: Disks,
    pub(super) luks: Vec<uuid::Uuid>,
}

impl DriveManager {
    /// Mounts it for a person. The caller waits in [`super::drive_lock::answer`].
    pub(super) async fn mount_to_be_seen(&self, id: &DriveId) -> Result<PathBuf, Error> {
        let guard = self.lock_drive(id).await?;
        let mount = self.ensure_mounted(id, Need::Read).await;
        let kept = mount.and_then(|mount| self.keep_mounted(id, &mount));
        self.done(guard);
        kept
    }

    /// It stays mounted, unless it was pulled meanwhile.
    fn keep_mounted(&self, id: &DriveId, mount: &Arc<Mount>) -> Result<PathBuf, Error> {
        let is_kept = self.entry(id, |entry| {
            let is_mounted = entry.mount.as_ref().is_some_and(|now| Arc::ptr_eq(now, mount));
            if is_mounted {
                entry.kept = true;
                entry.unremoved = false;
                entry.is_made_safe = false;
                entry.served = true;
            }
            is_mounted
        });
        if is_kept == Some(true) {
            return Ok(mount.mounted.at.clone());
        }
        Err(device_gone())
    }

    /// The next step by itself, when the drive was plugged in. Only the owner of the lock calls it.
    pub(super) async fn step_on(&self, id: &DriveId) -> Result<(), Error> {
        if self.entry(id, |entry| entry.mount.is_some() || entry.released) == Some(false) {
            self.ensure(id, Need::Write).await?;
        }
        Ok(())
    }

    /// Mounts it where it is not, also after its release: a person or a job needs it. Only the owner of the lock calls it.
    pub(super) async fn ensure_mounted(&self, id: &DriveId, need: Need) -> Result<Arc<Mount>, Error> {
        let was_released = self.take_in_hand(id);
        let mounted = self.ensure(id, need).await;
        if mounted.is_err() && was_released {
            // Nothing else needs it: the policy does not try again.
            self.entry(id, |entry| entry.released = true);
        }
        mounted
    }

    /// A user works with the drive, which is not shown as safe any more. Answers whether it was released.
    fn take_in_hand(&self, id: &DriveId) -> bool {
        let was_released = self.entry(id, |entry| {
            let was_released = entry.released;
            entry.take_in_hand();
            was_released
        });
        self.review();
        was_released == Some(true)
    }

    async fn ensure(&self, id: &DriveId, need: Need) -> Result<Arc<Mount>, Error> {
        let mounted = self.go_on(id, need).await;
        if let Err(error) = &mounted {
            self.entry(id, |entry| entry.problem = Some(error.into()));
            self.note_unseen_mount(id).await;
            self.lock_again(id).await;
        }
        mounted
    }

    /// What was unlocked, and could not be mounted, does not stay unlocked.
    pub(super) async fn lock_again(&self, id: &DriveId) {
        let open: Vec<uuid::Uuid> = {
            let table = self.lock();
            let is_mounted = table.entries.get(id).is_some_and(|entry| entry.mount.is_some());
            let members = table.enrolment(id).filter(|_| !is_mounted).map(|enrolment| enrolment.members.clone());
            members.unwrap_or_default().iter().filter_map(|member| member.luks).collect()
        };
        let devices = Arc::clone(&self.0.devices);
        let locked = blocking(&self.0.operations, id, move || {
            open.into_iter().filter(|luks| devices.is_unlocked(*luks)).try_for_each(|luks| devices.lock(luks))
        });
        if let Err(error) = locked.await {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "the drive is not locked again: {error}");
        }
    }

    async fn go_on(&self, id: &DriveId, need: Need) -> Result<Arc<Mount>, Error> {
        let until = Instant::now() + UDEV_TIMEOUT;
        let mut unlocked = false;
        let mut looked = false;
        loop {
            let mut reviewed = self.0.reviewed.subscribe();
            if let Some(mount) = self.entry(id, |entry| entry.mount.clone()).flatten() {
                return Ok(mount);
            }
            self.refuse_at_end()?;
            let Decision { action, note, .. } = self.lock().decision(id).ok_or_else(|| no_such_drive(id))?;
            let (action, missing) = if need == Need::Read { action.without_missing() } else { (action, None) };
            match action {
                Action::Mount(nodes) => return self.mount_from(id, &nodes, (missing, note)).await,
                Action::Unlock(locked) if !unlocked => {
                    self.unlock_by_key(id, locked).await?;
                    unlocked = true;
                }
                Action::Unlock(_) => match timeout_at(until, reviewed.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(_) => {
                        return Err(failed(
                            "the drive was unlocked, but udev reported no device inside; see the journal of systemd-udevd",
                        ));
                    }
                },
                Action::AwaitSecret(_) => {
                    return Err(locked());
                }
                // Another program may have unmounted it since mounts were read.
                Action::Refuse(_) if !looked => {
                    looked = true;
                    if self.look_at_mounts().await {
                        self.review();
                    }
                }
                Action::Refuse(sentence) | Action::Degraded { problem: sentence, .. } => {
                    return Err(refused(&sentence));
                }
                Action::Show => return Err(failed("the drive is not enrolled; enrol it first (butterdock enrol)")),
                Action::Leave | Action::Backup => return Err(busy("the drive is in use; wait, then try again")),
            }
        }
    }

    async fn mount_from(
        &self,
        id: &DriveId,
        nodes: &[PathBuf],
        (missing, note): (Option<Sentence>, Option<Sentence>),
    ) -> Result<Arc<Mount>, Error> {
        let mut plan = plan(&self.lock(), id, nodes).ok_or_else(|| no_such_drive(id))?;
        let (devices, run, register) = (Arc::clone(&self.0.devices), self.0.run.clone(), self.0.register.clone());
        let (proved, plan) = blocking(&self.0.operations, id, move || {
            let Plan { enrolment, sources, .. } = &mut plan;
            let proved = mount_and_prove(&devices, enrolment, sources, (&register, &run), missing.as_ref())?;
            // Only now the label is known to be that of the enrolled drive.
            match register.change(enrolment.id, |known| known.set_label(&proved.mounted.label)) {
                Ok(changed) => *enrolment = changed,
                Err(error) => tracing::warn!("cannot record the label of the drive: {error}"),
            }
            Ok((proved, plan))
        })
        .await?;
        let how = if proved.unwritable.is_some() { ", but takes no writes" } else { "" };
        tracing::info!(BUTTERDOCK_DRIVE = id.as_str(), "the drive \"{}\" is mounted{how}", plan.enrolment.label());
        if let Some(note) = note {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "{note}");
        }
        Ok(self.mounted(id, proved, plan, |_| ()))
    }

    /// Notes that it is mounted, and what else is `known` of it: a review sees all of that at once. It may be gone again already: the
    /// next review sees that.
    pub(super) fn mounted(
        &self,
        id: &DriveId,
        proved: Proved,
        plan: Plan,
        known: impl FnOnce(&mut DriveEntry),
    ) -> Arc<Mount> {
        let Proved { mounted, readings, unwritable } = proved;
        let Plan { enrolment, nodes, under, disks, luks, sources: _ } = plan;
        let mount = Arc::new(Mount { mounted, nodes, under, luks, gone: watch::Sender::new(false) });
        let mut table = self.lock();
        if let Some(enrolment) = self.0.register.written(enrolment.id) {
            table.note(enrolment);
        }
        // Its token was written: it takes writes again.
        if unwritable.is_none() && !table.set_condition(enrolment.id, Condition::Sound).is_sound() {
            self.write_soon(id);
        }
        table.readings.insert(enrolment.id, readings);
        let entry = table.entries.entry(id.clone()).or_insert_with(DriveEntry::new);
        entry.mount = Some(Arc::clone(&mount));
        entry.disks = disks;
        entry.problem = None;
        entry.unwritable = unwritable;
        known(entry);
        mount
    }
}

fn plan(table: &DriveTable, id: &DriveId, nodes: &[PathBuf]) -> Option<Plan> {
    let enrolment = table.enrolment(id)?.clone();
    Some(plan_of(table, enrolment, &table.behind(nodes)))
}

/// The plan to mount these devices.
pub(super) fn plan_of(table: &DriveTable, enrolment: Enrolment, devices: &[&BlockDevice]) -> Plan {
    let mut under: Vec<&BlockDevice> = devices.to_vec();
    for device in devices {
        let over = device.mapping.as_ref().and_then(|mapping| mapping.over.as_deref());
        under.extend(table.devices.values().filter(|other| over == Some(other.name())));
    }
    Plan {
        nodes: devices.iter().map(|device| device.node.clone()).collect(),
        sources: devices
            .iter()
            .map(|device| Source { node: device.node.clone(), devnum: device.devnum, size: device.size })
            .collect(),
        luks: enrolment.members.iter().filter_map(|member| member.luks).collect(),
        disks: disks(&under),
        under: under.iter().map(|device| (device.node.clone(), device.devnum, device.diskseq)).collect(),
        enrolment,
    }
}

impl DriveManager {
    /// With a caller's secret. The policy decides what follows.
    pub(super) async fn unlock_now(&self, id: &DriveId, secret: Secret) -> Result<(), Error> {
        let guard = self.lock_drive(id).await?;
        let done = match self.refuse_at_end().and_then(|()| self.locked(id)) {
            Ok(locked) => self.unlock_locked(id, locked, secret).await,
            Err(error) => Err(error),
        };
        self.done(guard);
        done
    }

    async fn unlock_locked(&self, id: &DriveId, locked: Vec<Locked>, secret: Secret) -> Result<(), Error> {
        let safe = self.entry(id, |entry| entry.safe).flatten();
        let was_released = self.take_in_hand(id);
        let done = self.open(id, locked, secret).await;
        if let Err(error) = &done {
            let is_open = self.is_unlocked(id).await;
            self.entry(id, |entry| {
                // It is as it was, unless one of its containers was unlocked before the error.
                entry.released = was_released;
                if is_open {
                    entry.problem = Some(error.into());
                } else {
                    entry.safe = safe;
                }
            });
        }
        done
    }

    /// While the service ends, nothing is unlocked or mounted.
    fn refuse_at_end(&self) -> Result<(), Error> {
        if self.0.ending.load(Ordering::Acquire) {
            return Err(busy("the service is ending; try again when it has started again"));
        }
        Ok(())
    }

    /// Whether one of its containers is unlocked, also where that is not known. Only the owner of the lock calls it.
    async fn is_unlocked(&self, id: &DriveId) -> bool {
        let containers = self.containers(id);
        let devices = Arc::clone(&self.0.devices);
        blocking(&self.0.operations, id, move || Ok(containers.iter().any(|luks| devices.is_unlocked(*luks))))
            .await
            .unwrap_or(true)
    }

    fn containers(&self, id: &DriveId) -> Vec<uuid::Uuid> {
        let table = self.lock();
        let members = table.enrolment(id).into_iter().flat_map(|enrolment| &enrolment.members);
        members.filter_map(|member| member.luks).collect()
    }

    /// With the configured key, or the service's own. Only the owner of the lock calls it.
    pub(super) async fn unlock_by_key(&self, id: &DriveId, locked: Vec<Locked>) -> Result<(), Error> {
        let file = {
            let table = self.lock();
            let key = table.config.drives.keys.iter().find(|key| Some(key.drive) == id.enrolment());
            let own = table.enrolment(id).is_some_and(|enrolment| enrolment.own_key);
            let own = locked.first().filter(|_| own).map(|one| self.0.register.keys().file(one.luks));
            key.map(|key| key.file.clone()).or(own)
        };
        let file = file.ok_or_else(|| {
            failed(
                "the configuration no longer has a key for the drive; unlock it with its \
                                       passphrase",
            )
        })?;
        let secret = blocking(&self.0.operations, id, move || Secret::of_file(&file)).await?;
        self.open(id, locked, secret).await
    }

    /// What of it is to be unlocked, also after its release.
    pub(super) fn locked(&self, id: &DriveId) -> Result<Vec<Locked>, Error> {
        let decision = self.lock().decision_after_release(id).ok_or_else(|| no_such_drive(id))?;
        match decision.action.without_missing().0 {
            Action::AwaitSecret(locked) | Action::Unlock(locked) => Ok(locked),
            Action::Refuse(sentence) => Err(refused(&sentence)),
            Action::Show => Err(failed("the drive is not enrolled; enrol it first (butterdock enrol)")),
            Action::Mount(_) | Action::Leave | Action::Backup | Action::Degraded { .. } => {
                Err(failed("the drive is not locked"))
            }
        }
    }

    async fn open(&self, id: &DriveId, locked: Vec<Locked>, secret: Secret) -> Result<(), Error> {
        let devices = Arc::clone(&self.0.devices);
        blocking(&self.0.operations, id, move || {
            locked.iter().try_for_each(|one| devices.unlock(&one.node, one.devnum, one.luks, &secret))
        })
        .await
    }
}
