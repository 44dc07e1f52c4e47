//! The service, from its start to its end.

mod background_tasks;
mod records;

use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use tokio::sync::{Mutex, watch};

use crate::backup_list::BackupList;
use crate::blocking::{BlockingQueue, local};
use crate::catalogue;
use crate::clock::{Clock, ClockTrust};
use crate::config::{Config, ConfigFiles, VolumeRule, load, unread_file};
use crate::deletion_orders::DeletionOrders;
use crate::destination_list::DestinationList;
use crate::device::{Devices, SystemDevices};
use crate::drives::DriveManager;
use crate::hooks::Hooks;
use crate::jobs::{Jobs, ON_SYSTEM, OpenDirectories, Scheduler, no_such_volume};
use crate::mounts::{MountedVolumes, follow_mounts, look_at_all, sweep_all};
use crate::notify::{NetProgram, Notifications, NotifyFailure, NotifyStatus, SendingParts, SocketProgram};
use crate::renames::Renames;
use crate::supervisor::Supervisor;
use crate::types::{BackupProperties, Error, ErrorCode};
use crate::volumes::Volume;
use crate::worker::Spawner;
use background_tasks::{
    follow_backups, follow_clocks, follow_deletions, follow_plugs, follow_source_space, follow_sources, follow_times,
};
use records::{last_attempts, open_clock, open_deletions, open_history, open_renames, settle_renames};

/// What the service uses of the machine; tests simulate it.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its block devices.
    pub(crate) devices: Arc<dyn Devices>,
    /// Starts workers.
    pub(crate) spawner: Arc<Spawner>,
    /// Opens the directories of backups.
    pub(crate) open_directories: OpenDirectories,
    /// Reaches the network.
    pub(crate) net: Arc<dyn NetProgram>,
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
    pub(crate) clock: ClockTrust,
    pub(crate) deletions: DeletionOrders,
    pub(crate) renames: Renames,
    hooks: Hooks,
    notifications: Notifications,
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
        let net = Arc::new(SocketProgram { socket: config.run.join("net.socket") });
        let machine = Machine { devices: Arc::new(SystemDevices), spawner, open_directories: ON_SYSTEM, net };
        Self::start_on(machine, supervisor, sources, config, clock).await
    }

    pub(crate) async fn start_on(
        machine: Machine,
        supervisor: Supervisor,
        sources: ConfigFiles,
        config: Config,
        clock: Clock,
    ) -> Result<Self> {
        let Machine { devices, spawner, open_directories, net } = machine;
        warn_unread(&sources).await;
        // Before anything is looked at, so that no change is missed.
        let mounts = devices.mount_events().context("cannot watch the mounts; is /proc mounted?")?;
        let mut history = open_history(&config, &clock).await?;
        let interrupted = history.interrupted();
        let deletions = open_deletions(&config).await?;
        let renames = open_renames(&config).await?;
        renames.forget_unwritten(&config).await;
        let config = renames.enter(config);
        let hooks = Hooks::start(config.drives.on_event.clone(), supervisor.thread("runs on_event"));
        let hooks = hooks.context("cannot start the thread of on_event")?;
        // The history's lock sees to it that no other service writes it.
        let parts = SendingParts { program: net, state: config.state.clone(), clock: clock.clone(), machine: name() };
        let (notifications, listener, sending) = Notifications::new(parts);
        hooks.set_listener(listener);
        let rules = config.notify.clone();
        supervisor.start("sends notifications", |heartbeat| sending.run(rules, heartbeat));
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
        let attempts = last_attempts(&interrupted, jobs.history());
        let started = DriveManager::start(&config, (devices, wall_clock), shown, attempts, &supervisor);
        let (manager, plugged) = started.await?;
        manager.set_volumes(&config).await;
        manager.write_all_noted().await;
        settle_renames(&renames, &config, (&jobs, &manager, &deletions)).await;
        let volumes: Vec<_> = config.volumes.iter().cloned().map(Volume::new).collect();
        look_at_all(&volumes).await;
        let known = MountedVolumes::of(&volumes);
        sweep_all(&spawner, &volumes).await;
        let volumes = watch::Sender::new(volumes);
        let (reached, listed) = ((jobs.clone(), manager.clone()), volumes.subscribe());
        supervisor
            .start("follows the mounts", |heartbeat| follow_mounts(mounts, reached, spawner, listed, known, heartbeat));
        let followed = clock.clone();
        supervisor.start("follows the clocks", |heartbeat| follow_clocks(followed, heartbeat));
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
            notifications,
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
        service.0.supervisor.start("follows the space of sources", |heartbeat| follow_source_space(spaces, heartbeat));
        let plugs = service.clone();
        service.0.supervisor.start("follows plugs", |heartbeat| follow_plugs(plugs, plugged, heartbeat));
        let timed = service.clone();
        service.0.supervisor.start("follows the times of backups", |heartbeat| follow_times(timed, times, heartbeat));
        let deletions = service.clone();
        service.0.supervisor.start("follows deletions", |heartbeat| follow_deletions(deletions, heartbeat));
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
    pub fn clock(&self) -> &ClockTrust {
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

    /// The channels of notifications, as they are now and as they change.
    #[must_use]
    pub fn notifications(&self) -> watch::Receiver<Vec<NotifyStatus>> {
        self.0.notifications.states()
    }

    /// Sends a test over a channel of notifications, and waits for its end, which may take some minutes.
    ///
    /// # Errors
    /// `NotFound`; inside, why it was not delivered.
    pub async fn test_notification(&self, name: &str) -> Result<Result<(), NotifyFailure>, Error> {
        let sent = self.0.notifications.test(name).await;
        let unknown = "there is no [[notify]] of this name; `butterdock notify` lists them";
        sent.ok_or_else(|| Error::new(ErrorCode::NotFound, unknown))
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
        let Shared { jobs, manager, hooks, notifications, volumes, sources, config: current, .. } = &*self.0;
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
        notifications.configured(config.notify.clone());
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

/// The name of this machine, for persons.
fn name() -> String {
    let name = nix::sys::utsname::uname().map(|facts| facts.nodename().to_string_lossy().into_owned());
    name.unwrap_or_else(|_unknown| "this machine".to_owned())
}

/// Logs that the administrator's usual file is not read.
async fn warn_unread(files: &ConfigFiles) {
    let files = files.clone();
    if let Ok(Some(unread)) = local(move || unread_file(&files)).await {
        tracing::warn!("{unread}");
    }
}
