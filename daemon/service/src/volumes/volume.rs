//! One configured volume and its last known state.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::statvfs::fstatvfs;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::time::{Instant, timeout};

use super::open_volume::{DirIdentity, OpenVolume, Unusable, open};
use super::subvolumes::{Subvolume, list};
use crate::blocking::{BlockingQueue, Unanswered};
use crate::config::VolumeRule;

/// A volume's numbers are not looked up more often than this.
const FRESH: Duration = Duration::from_secs(1);

/// Timeout until a look can begin: longer than any other call on a drive that answers.
const TURN: Duration = Duration::from_secs(60);

/// What was last seen of a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its directory; None if it cannot be received into.
    pub place: Option<DirIdentity>,
    /// The filesystem's size in bytes; 0 if it is not mounted.
    pub size: u64,
    /// What can still be written, in bytes, as the filesystem estimates it.
    pub free: u64,
}

impl Seen {
    /// Whether it can be received into: its directory exists, on btrfs and on the configured filesystem.
    pub fn mounted(&self) -> bool {
        self.place.is_some()
    }
}

/// A configured volume. Shared by the front ends and the jobs.
#[derive(Debug)]
pub struct Volume {
    /// Its rule.
    pub rule: VolumeRule,
    seen: watch::Sender<Seen>,
    /// One thread at a time waits for its drive.
    queue: BlockingQueue,
    /// The time of the last look. Locked while a look runs or waits for its turn.
    looked: Arc<Mutex<Option<Instant>>>,
}

impl Volume {
    /// A volume without a look yet.
    pub fn new(rule: VolumeRule) -> Arc<Self> {
        Arc::new(Self {
            rule,
            seen: watch::Sender::default(),
            queue: BlockingQueue::new("volume", 1),
            looked: Arc::default(),
        })
    }

    /// What was last seen.
    pub fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Changes when it was mounted or unmounted, and after jobs; the value may be the same.
    pub fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Looks at it if the last look is older than a second, and waits for that up to `limit`. Returns at once while another
    /// look runs.
    pub async fn glance(self: &Arc<Self>, limit: Duration) {
        let Ok(looked) = Arc::clone(&self.looked).try_lock_owned() else { return };
        if looked.is_none_or(|when| when.elapsed() >= FRESH) {
            self.look_holding(looked, limit, false).await;
        }
    }

    /// Looks at it now, waits for that up to `limit`, and notifies watchers.
    pub async fn look(self: &Arc<Self>, limit: Duration) {
        if let Ok(looked) = timeout(limit, Arc::clone(&self.looked).lock_owned()).await {
            self.look_holding(looked, limit, true).await;
        }
    }

    async fn look_holding(
        self: &Arc<Self>,
        mut looked: OwnedMutexGuard<Option<Instant>>,
        limit: Duration,
        notify: bool,
    ) {
        let volume = Arc::clone(self);
        let look = move || {
            let seen = look_at(&volume.rule);
            volume.seen.send_if_modified(|old| {
                let before = std::mem::replace(old, seen);
                // Every write changes the free space: a change of it alone wakes no watcher.
                notify || before.place != seen.place
            });
            *looked = Some(Instant::now());
        };
        let volume = Arc::clone(self);
        // A task of its own: after the timeout it keeps its turn, and its result is still used.
        let looking = tokio::spawn(async move { volume.queue.run(TURN, look).await.unwrap_or_default() });
        drop(timeout(limit, looking).await);
    }

    /// Opens its directory.
    ///
    /// # Errors
    /// There was no answer within `limit`; within, why it cannot be received into.
    pub(crate) async fn open(&self, limit: Duration) -> Result<Result<OpenVolume, Unusable>, Unanswered> {
        let rule = self.rule.clone();
        self.queue.run(limit, move || open(&rule)).await
    }

    /// Lists the subvolumes in its directory.
    ///
    /// # Errors
    /// There was no answer within `limit`; within, why it cannot be received into; within, why it cannot be read.
    pub async fn list(
        &self,
        limit: Duration,
    ) -> Result<Result<butterdock_btrfs::Result<Vec<Subvolume>>, Unusable>, Unanswered> {
        let rule = self.rule.clone();
        let until = std::time::Instant::now() + limit;
        self.queue.run(limit, move || open(&rule).map(|folder| list(&folder, until))).await
    }
}

/// Blocks as long as the drive does.
fn look_at(rule: &VolumeRule) -> Seen {
    let Ok(folder) = open(rule) else { return Seen::default() };
    let Ok(facts) = fstatvfs(&folder) else { return Seen::default() };
    let bytes = |blocks: u64| blocks.saturating_mul(facts.fragment_size());
    Seen { place: Some(folder.place), size: bytes(facts.blocks()), free: bytes(facts.blocks_available()) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::VolumeName;

    fn volume(path: &str) -> Arc<Volume> {
        let name = VolumeName::try_from("tank".to_owned()).expect("a name");
        Volume::new(VolumeRule { name, path: PathBuf::from(path), uuid: None })
    }

    #[tokio::test]
    async fn a_volume_not_on_btrfs_is_not_mounted() {
        let volume = volume("/proc");
        volume.look(Duration::from_secs(5)).await;
        assert_eq!(volume.seen(), Seen::default());
    }

    #[tokio::test]
    async fn a_glance_does_not_wait_for_a_running_check() {
        let volume = volume("/proc");
        let _looking = Arc::clone(&volume.looked).lock_owned().await;
        volume.glance(Duration::from_secs(3600)).await;
    }
}
