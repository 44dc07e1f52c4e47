//! Checks the volumes when mounts change, and sweeps newly mounted ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use butterdock_btrfs::mounts;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::blocking::local;
use crate::config::VolumeName;
use crate::device::MountEvents;
use crate::drives::DriveManager;
use crate::jobs::{Jobs, sweep};
use crate::supervisor::Heartbeat;
use crate::volumes::{DirIdentity, Volume};
use crate::worker::Spawner;

/// Timeout for a volume's check; a later result is used when it arrives.
const LOOKING: Duration = Duration::from_secs(3);
/// Mounting one thing is often mounting several: they are looked at together.
const SETTLING: Duration = Duration::from_millis(50);

/// Where each volume was when it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct MountedVolumes {
    places: HashMap<VolumeName, DirIdentity>,
}

impl MountedVolumes {
    /// As it is now.
    pub(crate) fn of(volumes: &[Arc<Volume>]) -> Self {
        let mut known = Self::default();
        drop(known.come(volumes));
        known
    }

    /// The volumes that were mounted, or mounted elsewhere, since this was asked last.
    fn come(&mut self, volumes: &[Arc<Volume>]) -> Vec<Arc<Volume>> {
        let now = |volume: &Arc<Volume>| Some((volume.rule.name.clone(), volume.seen().place?));
        let before = std::mem::replace(&mut self.places, volumes.iter().filter_map(now).collect());
        let is_new = |volume: &&Arc<Volume>| {
            let name = &volume.rule.name;
            self.places.get(name).is_some_and(|place| before.get(name) != Some(place))
        };
        volumes.iter().filter(is_new).cloned().collect()
    }
}

/// Checks all volumes at once, so that a hung drive does not block the others.
pub(crate) async fn look_at_all(volumes: &[Arc<Volume>]) {
    let looks: JoinSet<()> = volumes.iter().cloned().map(|volume| async move { volume.look(LOOKING).await }).collect();
    looks.join_all().await;
}

/// Sweeps what a killed service left, in all volumes at once.
pub(crate) async fn sweep_all(spawner: &Arc<Spawner>, volumes: &[Arc<Volume>]) {
    let mut sweeps = JoinSet::new();
    for volume in volumes.iter().filter(|volume| volume.seen().mounted()).cloned() {
        sweeps.spawn(sweep_one(Arc::clone(spawner), volume));
    }
    sweeps.join_all().await;
}

async fn sweep_one(spawner: Arc<Spawner>, volume: Arc<Volume>) {
    if let Err(error) = sweep(&spawner, &volume).await {
        tracing::warn!(
            "cannot remove incomplete subvolumes from \"{}\": {error}; the next receive retries",
            volume.rule.name
        );
    }
}

/// Looks again whenever something was mounted or unmounted, or other volumes are configured. A volume that has come is
/// swept, unless a job works there: that has swept, and knows what it left.
pub(crate) async fn follow_mounts(
    mut events: Box<dyn MountEvents>,
    (jobs, manager): (Jobs, DriveManager),
    spawner: Arc<Spawner>,
    mut volumes: watch::Receiver<Vec<Arc<Volume>>>,
    mut known: MountedVolumes,
    mut heartbeat: Heartbeat,
) -> anyhow::Error {
    loop {
        if let Ok(Ok(ids)) = local(mounts::ids).await {
            jobs.mounts(ids).await;
        }
        manager.mounts_changed().await;
        let all = volumes.borrow_and_update().clone();
        look_at_all(&all).await;
        for volume in known.come(&all) {
            if jobs.is_idle(&volume.rule.name).await {
                tokio::spawn(sweep_one(Arc::clone(&spawner), volume));
            }
        }
        let changed = heartbeat.during(async {
            tokio::select! {
                changed = events.changed() => changed.map_err(|error| anyhow!(error)),
                other = volumes.changed() => other.map_err(|error| anyhow!(error)),
            }
        });
        if let Err(error) = changed.await {
            return error;
        }
        sleep(SETTLING).await;
    }
}
