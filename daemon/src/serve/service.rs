//! The service, from its start to its end.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::notify;
use super::signals::{Asked, Signals};
use super::watch::{Known, follow_mounts, look_at_all, sweep_all};
use crate::bus::{Hall, Reload};
use crate::catalogue;
use crate::clock::{Clock, ClockKeeper};
use crate::config::{Config, Sources, VolumeRule, load};
use crate::drives::{Dock, Plugged};
use crate::hooks::Hooks;
use crate::jobs::{Desk, History, Jobs};
use crate::volumes::{Mounts, Volume};
use crate::worker::Spawner;

/// Everything has to be over so long after SIGTERM.
const ENDING: Duration = Duration::from_secs(9);
/// The clocks are looked at and written down so often, beside each backup.
const CLOCK_CHECK: Duration = Duration::from_secs(3600);
/// Replies that are on their way to the bus have so long.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// A running service.
#[derive(Debug)]
pub(super) struct Service {
    sources: Sources,
    config: Config,
    jobs: Jobs,
    dock: Dock,
    hooks: Hooks,
    hall: Arc<Hall>,
    volumes: watch::Sender<Vec<Arc<Volume>>>,
    reloads: mpsc::Receiver<Reload>,
}

impl Service {
    /// Starts everything, and takes the name on the bus last: whoever finds the service finds all of it.
    pub(super) async fn start(sources: Sources, config: Config, address: Option<&str>) -> Result<Self> {
        // Before anything is looked at, so that no change is missed.
        let mounts = Mounts::watch().context("cannot watch the mounts; is /proc mounted?")?;
        let spawner = Arc::new(Spawner::start().context("cannot start the thread that starts workers")?);
        let history = open_history(&config).await?;
        let hooks = Hooks::start(config.drives.on_event.clone()).context("cannot start the thread of on_event")?;
        // The history's lock sees to it that no other service writes it.
        let clock = open_clock(&config).await?;
        let jobs = Desk::start(&config, Arc::clone(&spawner), history, hooks.clone(), clock.clone());
        let (dock, plugged) = Dock::start(&config, hooks.clone()).await?;
        let volumes: Vec<_> = config.volumes.iter().cloned().map(Volume::new).collect();
        look_at_all(&volumes).await;
        let known = Known::of(&volumes);
        sweep_all(&spawner, &volumes).await;
        let (ask, reloads) = mpsc::channel(1);
        let hall = Hall::open(address, jobs.clone(), dock.clone(), clock.clone(), ask)
            .await
            .context("cannot connect to the bus; start it, or name its address in BUTTERDOCK_BUS_ADDRESS for tests")?;
        hall.show_volumes(&volumes).await.context("cannot show the volumes on the bus")?;
        hall.show_drives().await;
        hall.take_name().await.context(
            "cannot take the name org.butterdock.Butterdock1; another butterdockd runs, or the bus has no policy for it",
        )?;
        hall.keep_awake();
        let volumes = watch::Sender::new(volumes);
        tokio::spawn(follow_mounts(mounts, jobs.clone(), spawner, volumes.subscribe(), known));
        tokio::spawn(follow_plugs(Arc::clone(&hall), plugged));
        tokio::spawn(clock.follow(async || {
            sleep(CLOCK_CHECK).await;
            Some(())
        }));
        Ok(Self { sources, config, jobs, dock, hooks, hall, volumes, reloads })
    }

    /// Serves until a signal ends it.
    pub(super) async fn run(mut self, mut signals: Signals) -> Result<()> {
        tracing::info!("butterdockd {} serves {} volumes", env!("CARGO_PKG_VERSION"), self.config.volumes.len());
        notify::tell("READY=1");
        if let Some(every) = notify::watchdog() {
            tokio::spawn(watchdog(every, self.jobs.clone()));
        }
        let result = self.follow(&mut signals).await;
        self.end().await;
        result
    }

    async fn follow(&mut self, signals: &mut Signals) -> Result<()> {
        loop {
            let asker = tokio::select! {
                asked = signals.next() => match asked {
                    Asked::End => return Ok(()),
                    Asked::Reload => None,
                },
                Some(reply) = self.reloads.recv() => Some(reply),
                () = self.hall.lost() => bail!("the bus is gone; start it and then the service again"),
            };
            let done = tokio::select! {
                done = self.reload() => done,
                () = signals.end() => return Ok(()),
            };
            if let Err(text) = &done {
                tracing::error!(MESSAGE_ID = catalogue::CONFIGURATION_WRONG, "{text}");
            }
            if let Some(reply) = asker {
                // Whoever asked may have left.
                drop(reply.send(done));
            }
        }
    }

    /// Reads the configuration again; where it has a mistake everything stays as it was.
    async fn reload(&mut self) -> Result<(), String> {
        let sources = self.sources.clone();
        let text = |error: anyhow::Error| format!("the service goes on with the configuration that it has: {error:#}");
        let loaded = tokio::task::spawn_blocking(move || load(&sources)).await;
        let config = loaded.map_err(|error| text(anyhow!(error)))?.map_err(text)?;
        if config.state != self.config.state || config.run != self.config.run {
            tracing::warn!("another state or run directory needs a restart of the service");
        }
        let before = self.volumes.borrow().clone();
        let same = |rule: &VolumeRule| before.iter().find(|volume| volume.rule == *rule);
        let volume = |rule: &VolumeRule| same(rule).map_or_else(|| Volume::new(rule.clone()), Arc::clone);
        let volumes: Vec<_> = config.volumes.iter().map(volume).collect();
        look_at_all(&volumes).await;
        // The desk first: whoever sees a new volume can have a job on it.
        self.jobs.configured(&config).await;
        self.hooks.configured(config.drives.on_event.clone());
        self.dock.configured(&config);
        self.hall.show_volumes(&volumes).await.map_err(|error| text(anyhow!(error)))?;
        self.volumes.send_replace(volumes);
        tracing::info!("the configuration was read again: {} volumes", config.volumes.len());
        self.config = config;
        Ok(())
    }

    /// Ends every job and tells their ends.
    async fn end(&self) {
        notify::tell("STOPPING=1");
        tracing::info!("ending");
        let over = async {
            self.jobs.stop().await;
            self.dock.stop().await;
            self.hall.all_told().await;
            sleep(LAST_WORDS).await;
        };
        if timeout(ENDING, over).await.is_err() {
            tracing::error!(
                "not everything ended in time; workers die with the service, what they left is swept at its next start"
            );
            self.dock.left();
        }
        self.hall.leave().await;
    }
}

async fn open_history(config: &Config) -> Result<History> {
    let (state, keep) = (config.state.clone(), config.history);
    let shown = state.display().to_string();
    let opened = tokio::task::spawn_blocking(move || History::open(&state, keep)).await?;
    opened.with_context(|| {
        format!("cannot open the history in {shown}, which must be writable and of this service alone")
    })
}

async fn open_clock(config: &Config) -> Result<ClockKeeper> {
    let state = config.state.clone();
    let shown = state.display().to_string();
    let opened = tokio::task::spawn_blocking(move || ClockKeeper::open(&state, Clock::system()?)).await?;
    opened.with_context(|| format!("cannot keep the record of the clocks in {shown}, which must be writable"))
}

/// Has the backups run that begin with a plug.
async fn follow_plugs(hall: Arc<Hall>, mut plugged: mpsc::UnboundedReceiver<Plugged>) {
    while let Some(plug) = plugged.recv().await {
        tracing::info!(
            BUTTERDOCK_DRIVE = plug.drive.as_str(),
            "the drive was plugged in for {}",
            plug.backups.join(", ")
        );
        hall.plugged(plug).await;
    }
}

/// Tells the service manager that the service lives, as long as its desk answers.
async fn watchdog(every: Duration, jobs: Jobs) {
    loop {
        if timeout(every, jobs.lives()).await.is_ok_and(|lives| lives) {
            notify::tell("WATCHDOG=1");
        }
        sleep(every).await;
    }
}
