//! The service, from its start to its end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::backup_list::BackupList;
use crate::blocking::{BlockingQueue, local};
use crate::catalogue;
use crate::clock::{Clock, ClockKeeper};
use crate::config::{Config, ConfigFiles, VolumeRule, load, unread_file};
use crate::deletion_orders::DeletionOrders;
use crate::destination_list::DestinationList;
use crate::device::{Devices, SystemDevices};
use crate::drives::{AwaitedBackup, DriveId, DriveManager, PlugEvent, Plugged, Unbegun};
use crate::hooks::Hooks;
use crate::jobs::{History, Jobs, ON_SYSTEM, OpenDirectories, Record, Scheduler, no_such_volume};
use crate::mounts::{MountedVolumes, follow_mounts, look_at_all, sweep_all};
use crate::renames::{Rename, Renames};
use crate::supervisor::{Heartbeat, Supervisor};
use crate::timetable::{self, Beginning};
use crate::types::{Attempt, AttemptEnd, BackupOptions, BackupProperties, Error, ErrorCode, JobState, Trigger};
use crate::volumes::Volume;
use crate::worker::Spawner;

/// The clocks are read and written down so often, beside each backup.
const CLOCK_CHECK: Duration = Duration::from_secs(3600);
/// The sources are looked at so often.
const SOURCE_CHECK: Duration = Duration::from_secs(60);
/// A backup of a plug that has not begun after this time is shown as a problem; other jobs may have to end before.
const PLUG_PATIENCE: Duration = Duration::from_secs(300);
const PLUG_RETRY: Duration = Duration::from_secs(1);
/// The shortest time between two looks at all backups: each reads the records of all drives.
const BACKUPS_GAP: Duration = Duration::from_millis(200);

/// What the service uses of the machine; tests simulate it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its block devices.
    pub(crate) devices: Arc<dyn Devices>,
    /// Starts workers.
    pub(crate) spawner: Arc<Spawner>,
    /// Opens the directories of backups.
    pub(crate) open_directories: OpenDirectories,
}

/// A running service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service(pub(crate) Arc<Shared>);

/// What the clones share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) jobs: Jobs,
    pub(crate) manager: DriveManager,
    destinations: DestinationList,
    pub(crate) clock: ClockKeeper,
    pub(crate) deletions: DeletionOrders,
    pub(crate) renames: Renames,
    hooks: Hooks,
    supervisor: Supervisor,
    volumes: watch::Sender<Vec<Arc<Volume>>>,
    pub(crate) backup_list: BackupList,
    sources: ConfigFiles,
    /// Held while the configuration is read.
    config: Mutex<Config>,
    /// Held while the settings are changed.
    pub(crate) editing: Mutex<()>,
    /// Looks at what changed settings name.
    pub(crate) looks: BlockingQueue,
}

/// Limit of looks at the same time.
const LOOKS: usize = 4;

impl Shared {
    /// The files of the configuration.
    pub(crate) fn files(&self) -> &ConfigFiles {
        &self.sources
    }
}

impl Service {
    /// Starts everything.
    ///
    /// # Errors
    /// The kernel, udev or the state directory is not as it has to be; the text says what to do.
    pub async fn start(sources: ConfigFiles, config: Config, clock: Clock) -> Result<Self> {
        let supervisor = Supervisor::new();
        let spawner = Spawner::start(supervisor.thread("starts workers"));
        let spawner = Arc::new(spawner.context("cannot start the thread that starts workers")?);
        let machine = Machine { devices: Arc::new(SystemDevices), spawner, open_directories: ON_SYSTEM };
        Self::start_on(machine, supervisor, sources, config, clock).await
    }

    pub(crate) async fn start_on(
        machine: Machine,
        supervisor: Supervisor,
        sources: ConfigFiles,
        config: Config,
        clock: Clock,
    ) -> Result<Self> {
        let Machine { devices, spawner, open_directories } = machine;
        warn_unread(&sources).await;
        // Before anything is looked at, so that no change is missed.
        let mounts = devices.mount_events().context("cannot watch the mounts; is /proc mounted?")?;
        let mut history = open_history(&config, &clock).await?;
        let interrupted = history.interrupted();
        let deletions = open_deletions(&config).await?;
        let renames = open_renames(&config).await?;
        let config = renames.enter(config);
        let hooks = Hooks::start(config.drives.on_event.clone(), supervisor.thread("runs on_event"));
        let hooks = hooks.context("cannot start the thread of on_event")?;
        // The history's lock sees to it that no other service writes it.
        let (wall_clock, times) = (clock.clone(), clock.clone());
        let clock = open_clock(&config, clock).await?;
        let jobs = Scheduler::start(
            &config,
            (Arc::clone(&spawner), open_directories),
            history,
            hooks.clone(),
            clock.clone(),
            &supervisor,
        );
        let destinations = DestinationList::default();
        let shown = (hooks.clone(), destinations.clone());
        let (manager, plugged) = DriveManager::start(&config, (devices, wall_clock), shown, &supervisor).await?;
        manager.set_volumes(&config).await;
        for (drive, backup, attempt) in last_attempts(&interrupted, jobs.history()) {
            manager.recall_attempt(&drive, &backup, attempt);
        }
        manager.write_all_noted().await;
        settle_renames(&renames, &config, (&jobs, &manager, &deletions)).await;
        let volumes: Vec<_> = config.volumes.iter().cloned().map(Volume::new).collect();
        look_at_all(&volumes).await;
        let known = MountedVolumes::of(&volumes);
        sweep_all(&spawner, &volumes).await;
        let volumes = watch::Sender::new(volumes);
        let (reached, listed) = ((jobs.clone(), manager.clone()), volumes.subscribe());
        supervisor.start("follows the mounts", |pulse| follow_mounts(mounts, reached, spawner, listed, known, pulse));
        let followed = clock.clone();
        supervisor.start("follows the clocks", |pulse| follow_clocks(followed, pulse));
        let config = Mutex::new(config);
        let backup_list = BackupList::default();
        let (editing, looks) = (Mutex::new(()), BlockingQueue::new("settings", LOOKS));
        let shared = Shared {
            jobs,
            manager,
            destinations,
            clock,
            deletions,
            renames,
            hooks,
            supervisor,
            volumes,
            backup_list,
            sources,
            config,
            editing,
            looks,
        };
        let service = Self(Arc::new(shared));
        // So that the first caller finds them.
        service.look_at_backups();
        let states = service.clone();
        service.0.supervisor.start("follows backups", |heartbeat| follow_backups(states, heartbeat));
        let spaces = service.clone();
        service.0.supervisor.start("follows the space of sources", |pulse| follow_source_space(spaces, pulse));
        let plugs = service.clone();
        service.0.supervisor.start("follows plugs", |pulse| follow_plugs(plugs, plugged, pulse));
        let timed = service.clone();
        service.0.supervisor.start("follows the times of backups", |pulse| follow_times(timed, times, pulse));
        let deletions = service.clone();
        service.0.supervisor.start("follows deletions", |pulse| follow_deletions(deletions, pulse));
        let retries = service.clone();
        service.0.supervisor.start("follows sources", |heartbeat| follow_sources(retries, heartbeat));
        Ok(service)
    }

    /// Waits until a part of the service has ended that must not end before it: then the service has to end, and be started
    /// again. Which part, and why.
    pub async fn ended(&self) -> anyhow::Error {
        self.0.supervisor.ended().await
    }

    /// Returns when each part of the service has shown that it does not hang; false where one cannot, because it has ended.
    pub async fn all_answer(&self) -> bool {
        self.0.supervisor.all_answer().await
    }

    /// The jobs.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    /// The drives.
    #[must_use]
    pub fn drives(&self) -> &DriveManager {
        &self.0.manager
    }

    /// Where backups go: enrolled drives, and later volumes of the configuration.
    #[must_use]
    pub fn destinations(&self) -> &DestinationList {
        &self.0.destinations
    }

    /// The clocks, and whether they are believed.
    #[must_use]
    pub fn clock(&self) -> &ClockKeeper {
        &self.0.clock
    }

    /// The configured backups; the channel of each closes when it is not configured any more.
    #[must_use]
    pub fn backup_states(&self) -> Vec<watch::Receiver<BackupProperties>> {
        self.0.backup_list.channels()
    }

    /// Changes whenever [`Self::backup_states`] has others.
    #[must_use]
    pub fn backups_changed(&self) -> watch::Receiver<()> {
        self.0.backup_list.changed()
    }

    /// The configured volumes, as they are now and as they change.
    #[must_use]
    pub fn volumes(&self) -> watch::Receiver<Vec<Arc<Volume>>> {
        self.0.volumes.subscribe()
    }

    /// The volume of this name.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn volume(&self, name: &str) -> Result<Arc<Volume>, Error> {
        let found = self.0.volumes.borrow().iter().find(|volume| volume.rule.name.as_str() == name).cloned();
        found.ok_or_else(|| no_such_volume(name))
    }

    /// Reads the configuration again; where it has a mistake everything stays as it was. Either is logged.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence with its place.
    pub async fn reload(&self) -> Result<(), String> {
        let done = self.reload_unlogged().await;
        if let Err(text) = &done {
            tracing::error!(MESSAGE_ID = catalogue::CONFIGURATION_WRONG, "{text}");
        }
        done
    }

    async fn reload_unlogged(&self) -> Result<(), String> {
        let Shared { jobs, manager, hooks, volumes, sources, config: current, .. } = &*self.0;
        let mut current = current.lock().await;
        let sources = sources.clone();
        warn_unread(&sources).await;
        let text = |error: anyhow::Error| format!("the service keeps its current configuration: {error:#}");
        let loaded = local(move || load(&sources)).await;
        let config = loaded.map_err(|error| text(anyhow!(error)))?.map_err(text)?;
        let config = self.0.renames.enter(config);
        if config.state != current.state || config.run != current.run {
            tracing::warn!("another state or run directory needs a restart of the service");
        }
        let before = volumes.borrow().clone();
        let same = |rule: &VolumeRule| before.iter().find(|volume| volume.rule == *rule);
        let volume = |rule: &VolumeRule| same(rule).map_or_else(|| Volume::new(rule.clone()), Arc::clone);
        let configured: Vec<_> = config.volumes.iter().map(volume).collect();
        look_at_all(&configured).await;
        // The jobs first: a caller that sees a new volume can have a job on it. No job of a former name begins from now on.
        jobs.configured(&config).await;
        settle_renames(&self.0.renames, &config, (jobs, manager, &self.0.deletions)).await;
        hooks.configured(config.drives.on_event.clone());
        manager.configured(&config);
        manager.set_volumes(&config).await;
        tracing::info!("the configuration was read again: {} volumes", configured.len());
        volumes.send_replace(configured);
        self.look_at_backups();
        *current = config;
        Ok(())
    }

    /// Ends every job and unmounts every drive that is not in use. Workers that hang are left to the end of the process.
    pub async fn stop(&self) {
        self.0.manager.keep_drives();
        self.0.deletions.set_ending();
        self.0.jobs.stop().await;
        self.0.manager.stop().await;
    }

    /// Logs the drives that are still mounted, when the service can wait no longer.
    pub fn log_mounted_drives(&self) {
        self.0.manager.left();
    }
}

/// Logs that the administrator's usual file is not read.
async fn warn_unread(files: &ConfigFiles) {
    let files = files.clone();
    if let Ok(Some(unread)) = local(move || unread_file(&files)).await {
        tracing::warn!("{unread}");
    }
}

/// Begins the backups that are due because a drive was plugged in, and records those that a plug did not begin.
async fn follow_plugs(
    service: Service,
    mut plugs: mpsc::UnboundedReceiver<PlugEvent>,
    mut pulse: Heartbeat,
) -> anyhow::Error {
    while let Some(event) = pulse.during(plugs.recv()).await {
        match event {
            PlugEvent::Due(plugged) => drop(tokio::spawn(begin_plugged(service.clone(), plugged))),
            PlugEvent::Unbegun(Unbegun { drive, backups, error }) => {
                backups.iter().for_each(|backup| service.not_begun(&drive, backup, Trigger::Plug, &error));
            }
        }
    }
    anyhow!("its channel is closed")
}

/// Begins the backups of one plug, and ends when all are jobs: one may have to wait for the end of the job of the plug
/// before, or for room in the queue.
async fn begin_plugged(service: Service, plugged: Plugged) {
    let Plugged { drive, mut backups, mut reservation, mut gone } = plugged;
    if backups.is_empty() {
        // The drive is released as after its backups.
        reservation.set_of_job();
    } else {
        tracing::info!(BUTTERDOCK_DRIVE = drive.as_str(), "the backups {} are due on the drive", backups.join(", "));
    }
    let manager = &service.0.manager;
    let until = Instant::now() + PLUG_PATIENCE;
    let mut is_late = false;
    loop {
        let mut waiting = Vec::new();
        for (backup, begun) in service.begin_each(&drive, backups, BackupOptions::default(), Trigger::Plug).await {
            match begun {
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::Busy => waiting.push((backup, error)),
                Err(error) => service.not_begun(&drive, &backup, Trigger::Plug, &error),
            }
        }
        if waiting.is_empty() {
            manager.set_served(&drive, &gone);
            break;
        }
        let is_gone = timeout(PLUG_RETRY, gone.wait_for(|gone| *gone)).await.is_ok();
        if is_gone || !manager.is_beginning(&drive, &gone) {
            for (backup, error) in waiting {
                let unplugged = "the drive was unplugged before the backup could begin; plug it in again";
                let error = if is_gone { Error::new(ErrorCode::DeviceGone, unplugged) } else { error };
                service.not_begun(&drive, &backup, Trigger::Plug, &error);
            }
            break;
        }
        if Instant::now() >= until && !is_late {
            is_late = true;
            for (backup, error) in &waiting {
                manager.backup_not_done(&drive, backup, Attempt::not_begun(service.clock().micros(), error));
            }
        }
        backups = waiting.into_iter().map(|(backup, _)| backup).collect();
    }
    drop(reservation);
}

/// Begins the backups that are due by their times.
async fn follow_times(service: Service, clock: Clock, pulse: Heartbeat) -> anyhow::Error {
    let manager = service.0.manager.clone();
    let begin = |drive: DriveId, backup: String| -> Beginning {
        let service = service.clone();
        Box::pin(async move { service.begin_due(&drive, backup).await })
    };
    let keeper = service.clock().clone();
    timetable::follow(manager, (clock, keeper), begin, pulse).await
}

/// Begins the backups of attached drives whose source was not there, when it appears.
async fn follow_sources(service: Service, mut heartbeat: Heartbeat) -> anyhow::Error {
    let mut changed = service.0.manager.sources_changed();
    while heartbeat.during(changed.changed()).await.is_ok() {
        for awaited in service.0.manager.awaited() {
            tokio::spawn(begin_when_there(service.clone(), awaited));
        }
    }
    anyhow!("its channel is closed")
}

async fn begin_when_there(service: Service, awaited: AwaitedBackup) {
    let AwaitedBackup { drive, rule, problem, ours } = awaited;
    let Shared { manager, jobs, .. } = &*service.0;
    let backup = rule.name.as_str().to_owned();
    if !jobs.source_has_appeared(rule, problem, ours).await {
        return;
    }
    let Some(reservation) = manager.take_awaited(&drive, &backup) else { return };
    tracing::info!(BUTTERDOCK_DRIVE = drive.as_str(), "the source of the backup \"{backup}\" has appeared");
    for (backup, begun) in service.begin_each(&drive, vec![backup], BackupOptions::default(), Trigger::Plug).await {
        match begun {
            Ok(_) => {}
            Err(error) if error.code() == ErrorCode::Busy && service.is_running(&drive, &backup) => {}
            Err(error) if error.code() == ErrorCode::Busy => {
                sleep(PLUG_RETRY).await;
                manager.await_source(&drive, &backup, problem);
            }
            Err(error) => service.not_begun(&drive, &backup, Trigger::Plug, &error),
        }
    }
    drop(reservation);
}

/// Looks at the backups after every change of what their states are made from.
async fn follow_backups(service: Service, mut heartbeat: Heartbeat) -> anyhow::Error {
    let (mut reviewed, mut spaces) = (service.0.manager.reviewed(), service.0.jobs.source_spaces_changed());
    loop {
        service.look_at_backups();
        heartbeat.during(sleep(BACKUPS_GAP)).await;
        let changed = async {
            tokio::select! {
                reviewed = reviewed.changed() => reviewed.is_ok(),
                spaces = spaces.changed() => spaces.is_ok(),
            }
        };
        if !heartbeat.during(changed).await {
            return anyhow!("its channel is closed");
        }
    }
}

/// The backups whose last job failed, or was interrupted because the service was killed. Such a service has not recorded that with
/// their drives.
fn last_attempts(interrupted: &[Record], history: Vec<Record>) -> Vec<(DriveId, String, Attempt)> {
    let is_interrupted = |record: &Record| interrupted.iter().any(|other| other.id == record.id);
    let mut seen = HashSet::new();
    // The newest is the first. The history may keep less than was interrupted.
    let last = interrupted.iter().cloned().chain(history).filter_map(|record| {
        let key = (record.drive.clone()?, record.backup.clone()?);
        seen.insert(key.clone()).then_some((key, record))
    });
    let failed = last.filter(|(_, record)| record.state == JobState::Failed);
    let attempt = |record: Record| Attempt {
        end: if is_interrupted(&record) { AttemptEnd::Interrupted } else { AttemptEnd::Failed },
        error: record.error_code(),
        reason: record.error_message.unwrap_or_default(),
        time: record.end_time,
    };
    failed.map(|((drive, backup), record)| (DriveId(drive), backup, attempt(record))).collect()
}

/// Looks at the sources from time to time: they may run full while their drives are away, and one that is awaited may have been moved to
/// its place, which is not reported.
async fn follow_source_space(service: Service, mut pulse: Heartbeat) -> anyhow::Error {
    loop {
        pulse.during(sleep(SOURCE_CHECK)).await;
        pulse.during(service.check_sources()).await;
        service.0.manager.look_for_sources();
    }
}

/// Begins deletions again that the end of the service or an unplug interrupted.
async fn follow_deletions(service: Service, mut pulse: Heartbeat) -> anyhow::Error {
    let (mut drives, mut waiting) = (service.0.manager.reviewed(), service.0.deletions.changed());
    loop {
        pulse.during(service.begin_deletions()).await;
        let next = async {
            tokio::select! {
                changed = drives.changed() => changed.is_ok(),
                changed = waiting.changed() => changed.is_ok(),
            }
        };
        if !pulse.during(next).await {
            return anyhow!("its channel is closed");
        }
    }
}

/// Reads the clocks from time to time.
async fn follow_clocks(clock: ClockKeeper, mut pulse: Heartbeat) -> anyhow::Error {
    let tick = async || {
        sleep(CLOCK_CHECK).await;
        Some(())
    };
    // The disk that the record is on may be slow.
    pulse.during(clock.follow(tick)).await;
    anyhow!("the thread that reads them was lost")
}

async fn open_history(config: &Config, clock: &Clock) -> Result<History> {
    let (state, keep) = (config.state.clone(), config.history);
    let shown = state.display().to_string();
    let now = clock.micros();
    let opened = local(move || History::open(&state, keep, now)).await?;
    opened.with_context(|| {
        format!("cannot open the history in {shown}, which must be writable and of this service alone")
    })
}

async fn open_deletions(config: &Config) -> Result<DeletionOrders> {
    let state = config.state.clone();
    let shown = state.display().to_string();
    let opened = local(move || DeletionOrders::open(&state)).await?;
    opened.with_context(|| format!("cannot read the recorded deletions in {shown}, which must be writable"))
}

async fn open_renames(config: &Config) -> Result<Renames> {
    let state = config.state.clone();
    let shown = state.display().to_string();
    let opened = local(move || Renames::open(&state)).await?;
    opened.with_context(|| format!("cannot read the recorded renames in {shown}, which must be writable"))
}

/// Applies the renames that the configuration has made. Each can be done again; one that fails is tried again at the next start.
async fn settle_renames(
    renames: &Renames,
    config: &Config,
    (jobs, manager, deletions): (&Jobs, &DriveManager, &DeletionOrders),
) {
    for Rename { from, to } in renames.made(config) {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!("the records of the backup \"{from}\" could not all be renamed to \"{to}\": {error}");
        };
        if let Err(error) = jobs.rename_backup(&from, &to).await {
            failed(&error);
        }
        if let Err(error) = manager.rename_backup(&from, &to).await {
            failed(&error);
        }
        let (orders, before, now) = (deletions.clone(), from.clone(), to.clone());
        match local(move || orders.rename(&before, &now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failed(&error),
            Err(lost) => failed(&lost),
        }
    }
}

async fn open_clock(config: &Config, clock: Clock) -> Result<ClockKeeper> {
    let state = config.state.clone();
    let shown = state.display().to_string();
    let opened = local(move || ClockKeeper::open(&state, clock)).await?;
    opened.with_context(|| format!("cannot keep the record of the clocks in {shown}, which must be writable"))
}
