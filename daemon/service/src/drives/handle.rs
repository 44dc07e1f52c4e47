//! The drives as other modules use them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};

use super::drive_lock::answer;
use super::manager::DriveManager;
use super::reported_overdue::ReportedOverdue;
use super::{Drive, DriveId, LastAttempt, Lease, Need, PlugEvent, review, rows, secret, shared_records};
use crate::backups::Identity;
use crate::blocking::BlockingQueue;
use crate::clock::Clock;
use crate::config::{BackupRule, Config, RateNow};
use crate::destination_list::DestinationList;
use crate::device::Devices;
use crate::enrolment::{Enrolment, EnrolmentStore};
use crate::hooks::Hooks;
use crate::supervisor::Supervisor;
use crate::types::{BackupStatus, Condition, EnrolOptions, Error, Problem};
use crate::untrusted_fd::QuarantinedFd;

impl DriveManager {
    /// Unmounts and locks what an earlier service left, then begins to follow udev. `attempts` are the last ones of backups that did
    /// not succeed, as the history has them. The channel has each plug for which backups are due.
    ///
    /// # Errors
    /// udev cannot be followed, or the state directory cannot be read.
    pub(crate) async fn start(
        config: &Config,
        (devices, clock): (Arc<dyn Devices>, Clock),
        (hooks, destinations): (Hooks, DestinationList),
        attempts: Vec<(DriveId, String, LastAttempt)>,
        supervisor: &Supervisor,
    ) -> anyhow::Result<(Self, mpsc::UnboundedReceiver<PlugEvent>)> {
        let (state, run, leftovers) = (config.state.clone(), config.run.clone(), Arc::clone(&devices));
        // Before the devices are listed: a container that is locked here must not be seen as unlocked.
        let opened = BlockingQueue::new("drives", 1).run_to_end(move || open(&*leftovers, &state, &run)).await?;
        let (register, enrolments, reported_overdue) = opened.context("cannot read which drives are enrolled")?;
        let mut events = devices.events().context("cannot listen to udev")?;
        let (manager, plugged) = Self::new(config, (devices, clock), (hooks, destinations), register, enrolments);
        manager.lock().reported_overdue = reported_overdue;
        // Before anything begins.
        for (drive, backup, attempt) in attempts {
            manager.recall_attempt(&drive, &backup, attempt);
        }
        manager.look_at_mounts().await;
        // So that the first caller sees the devices that are attached already.
        manager.hear(events.next().await.context("cannot list the block devices")?);
        manager.lock().entries.values_mut().for_each(|entry| entry.at_start = true);
        // Without a device nothing else shows the drives that are away.
        manager.review();
        supervisor.start("follows udev", |heartbeat| review::follow(events, manager.clone(), heartbeat));
        Ok((manager, plugged))
    }

    /// The drives that are shown now, enrolled ones also while they are away; the channel of each closes when it goes.
    pub fn drives(&self) -> Vec<watch::Receiver<Drive>> {
        self.lock().shown.values().map(watch::Sender::subscribe).collect()
    }

    /// Changes whenever [`Self::drives`] has one that it did not have.
    pub fn appearing(&self) -> watch::Receiver<()> {
        self.0.arrived.subscribe()
    }

    /// Enrols it for this machine's backups; formats it first on request. From then on its id is another.
    ///
    /// # Errors
    /// As `Drive.Enrol` has them.
    pub async fn enrol(&self, id: &DriveId, options: EnrolOptions) -> Result<DriveId, Error> {
        let (manager, id) = (self.clone(), id.clone());
        answer(async move { manager.enrol_now(&id, &options, None).await }).await
    }

    /// The same for a drive that is encrypted, or is to be: what the descriptor of this user's gives opens it.
    ///
    /// # Errors
    /// As `Drive.EnrolEncrypted` has them.
    pub async fn enrol_encrypted(
        &self,
        id: &DriveId,
        secret: QuarantinedFd,
        options: EnrolOptions,
    ) -> Result<DriveId, Error> {
        // Before the secret is read, which cannot be read again.
        self.device_to_enrol(id, &options)?;
        let secret = secret::of_caller(secret, options.uid).await?;
        let (manager, id) = (self.clone(), id.clone());
        answer(async move { manager.enrol_now(&id, &options, Some(secret)).await }).await
    }

    /// Forgets it, attached or away.
    ///
    /// # Errors
    /// `NotFound` where none such is enrolled; `Busy`.
    pub async fn forget(&self, id: &DriveId) -> Result<(), Error> {
        let (manager, id) = (self.clone(), id.clone());
        answer(async move { manager.forget_now(&id).await }).await
    }

    /// Unlocks it with what the descriptor of this user's gives.
    ///
    /// # Errors
    /// As `Drive.Unlock` has them.
    pub async fn unlock(&self, id: &DriveId, secret: QuarantinedFd, uid: u32) -> Result<(), Error> {
        // Before the secret is read, which cannot be read again.
        self.locked(id)?;
        let secret = secret::of_caller(secret, uid).await?;
        let (manager, id) = (self.clone(), id.clone());
        answer(async move { manager.unlock_now(&id, secret).await }).await
    }

    /// Mounts it for a person; answers where.
    ///
    /// # Errors
    /// As `Drive.Mount` has them.
    pub async fn mount(&self, id: &DriveId) -> Result<std::path::PathBuf, Error> {
        let (manager, id) = (self.clone(), id.clone());
        answer(async move { manager.mount_to_be_seen(&id).await }).await
    }

    /// Unlocks, mounts and proves it where that has not been done, and holds it until the lease is dropped. One that is needed
    /// to be read may be mounted read-only, also without devices that are missing.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) async fn lease(&self, id: &DriveId, need: Need) -> Result<Lease, Error> {
        let (manager, id, reservation) = (self.clone(), id.clone(), self.reserve(id));
        answer(async move { manager.lease_now(&id, need, reservation).await }).await
    }

    /// Why it is not known what all drives need for their next increment of a backup: a sentence for a person. None where it is
    /// known.
    pub(crate) fn unread_pins(&self, backup: &str) -> Option<String> {
        let table = self.lock();
        let unreadable = table.unreadable_problem().map(|problem| problem.to_string());
        unreadable
            .or_else(|| table.enrolments.iter().find_map(|enrolment| shared_records::known(enrolment, backup).err()))
    }

    /// The problem of enrolments that cannot be read.
    pub(crate) fn unreadable(&self) -> Option<Problem> {
        self.lock().unreadable_problem()
    }

    /// This machine, as records on drives have it.
    pub(crate) fn machine(&self) -> Identity {
        Identity(self.0.register.machine().into_bytes())
    }

    /// Makes it safe to unplug: ends listings and estimates on it, then unmounts it, locks it and switches it off. Answers with
    /// its condition.
    ///
    /// # Errors
    /// A job uses it, a program has it open, or it lost writes that no job reported as failed: then it is not safe.
    pub(crate) async fn safely_remove(&self, id: &DriveId) -> Result<Condition, Error> {
        let (manager, id) = (self.clone(), id.clone());
        answer(async move { manager.remove_now(&id).await }).await
    }

    /// What is due, and when was the last good one.
    pub(crate) fn backups(&self) -> Vec<BackupStatus> {
        rows::rows(&self.lock()).into_iter().flat_map(|(_, rows)| rows).collect()
    }

    /// The same, the rows of each backup with its rule.
    pub(crate) fn backups_with_rules(&self) -> Vec<(BackupRule, Vec<BackupStatus>)> {
        rows::rows(&self.lock()).into_iter().map(|(rule, rows)| (rule.clone(), rows)).collect()
    }

    /// Changes after every event and every step with a drive.
    pub(crate) fn reviewed(&self) -> watch::Receiver<()> {
        self.0.reviewed.subscribe()
    }

    /// From now on it goes by this configuration.
    pub(crate) fn configured(&self, config: &Config) {
        self.lock().config = config.clone();
        self.review();
        self.look_for_sources();
    }

    /// From now on no drive is released by itself: the service ends, and a drive that it switched off would be away for the
    /// next one.
    pub(crate) fn keep_drives(&self) {
        self.0.ending.store(true, Ordering::Release);
    }

    /// Records what is not recorded, and unmounts what is not in use, before the service ends.
    pub(crate) async fn stop(&self) {
        self.note_all_not_begun();
        self.write_all_noted().await;
        self.unmount_all().await;
    }

    /// Tells of what is still mounted when the service can wait no longer.
    pub(crate) fn left(&self) {
        for (id, at) in self.mounts() {
            tracing::error!(
                BUTTERDOCK_DRIVE = id.as_str(),
                "the drive is still mounted at {}: do not unplug it; start the service again, which unmounts it",
                at.display()
            );
        }
    }

    /// How fast backups write to this destination now.
    pub(crate) fn max_rate(&self, id: &DriveId) -> RateNow {
        /// The zone may have changed, which is not reported.
        const LOOK: i64 = 300;
        let table = self.lock();
        let now = table.max_rate(id);
        RateNow { until: now.until.map(|until| until.min(table.now().saturating_add(LOOK))), ..now }
    }

    /// Waits until wall time is `instant`, in seconds since 1970, or the wall clock is set.
    pub(crate) async fn reach(&self, instant: Option<i64>) {
        let clock = self.lock().clock.clone();
        clock.reach(instant).await;
    }

    /// Whether a person made the drive safe to unplug, and nothing used it since.
    pub(crate) fn is_made_safe(&self, id: &DriveId) -> bool {
        self.entry(id, |entry| entry.is_made_safe && entry.released) == Some(true)
    }

    /// All backups of the plug with this channel are jobs.
    pub(crate) fn set_served(&self, id: &DriveId, gone: &watch::Receiver<bool>) {
        self.entry(id, |entry| {
            if entry.is_beginning(gone) {
                (entry.served, entry.beginning) = (true, false);
            }
        });
        self.review();
    }

    /// Whether the backups of the plug with this channel still are to begin: a person may have made the drive safe.
    pub(crate) fn is_beginning(&self, id: &DriveId, gone: &watch::Receiver<bool>) -> bool {
        self.entry(id, |entry| entry.is_beginning(gone)) == Some(true)
    }

    pub(super) fn send_plug(&self, event: PlugEvent) {
        if self.0.plugs.send(event).is_err() {
            tracing::debug!("a drive was plugged in or unplugged while the service ends");
        }
    }
}

/// Opens the register; unmounts and locks what an earlier service left.
fn open(
    devices: &dyn Devices,
    state: &std::path::Path,
    run: &std::path::Path,
) -> crate::device::Result<(EnrolmentStore, Vec<Enrolment>, ReportedOverdue)> {
    for left in devices.detach_leftovers(run) {
        tracing::info!("{} was left mounted by an earlier run and is unmounted", left.display());
    }
    for left in devices.unlocked() {
        if let Err(error) = devices.lock_when_unused(left) {
            tracing::warn!("{left} was left unlocked by an earlier run and cannot be locked: {error}");
        }
    }
    let register = EnrolmentStore::open(state)?;
    let (enrolments, bad) = register.list()?;
    for what in bad.values() {
        tracing::error!("{what}");
    }
    let reading = || crate::device::Error::system(format!("reading {}", state.display()));
    let reported_overdue = ReportedOverdue::open(state).map_err(reading())?;
    Ok((register, enrolments, reported_overdue))
}
