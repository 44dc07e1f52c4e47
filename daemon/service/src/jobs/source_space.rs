//! What is known of the space of the sources: how much is free, and what deleting the backups' snapshots would free.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::backups::BackupEvent;
use crate::blocking::{BlockingQueue, BlockingQueues};
use crate::destinations::Space;

/// Snapshots that are all needed are pruned again after this time, while their source is short of space.
const AGAIN: Duration = Duration::from_secs(600);

/// The space of one source, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SourceSpace {
    pub(crate) free: u64,
    /// What must stay free.
    pub(crate) reserve: u64,
    /// What deleting the snapshots of the backup would free, when that was found out last.
    pub(crate) freeable: Option<FreeableSpace>,
    /// When they were last pruned to the newest.
    pub(crate) pruned: Option<Instant>,
    /// Whether it was unknown at the last look what the drives need of them.
    pub(crate) is_unread: bool,
}

/// The snapshots of a backup beside its source, and what deleting them would free.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FreeableSpace {
    /// Their number.
    pub(crate) snapshots: u64,
    /// What deleting all of them would free, in bytes of data, if it could be found out.
    pub(crate) bytes: Option<u64>,
}

impl SourceSpace {
    /// Whether less is free than must stay free.
    pub(crate) fn is_short(&self) -> bool {
        self.free < self.reserve
    }

    /// Whether the snapshots are to be pruned to the newest now.
    pub(super) fn is_due(&self) -> bool {
        self.is_short() && self.pruned.is_none_or(|pruned| pruned.elapsed() >= AGAIN)
    }
}

impl FreeableSpace {
    /// That of a worker's report.
    pub(super) fn of(event: &BackupEvent) -> Option<Self> {
        if let BackupEvent::Freeable { snapshots, bytes } = *event { Some(Self { snapshots, bytes }) } else { None }
    }
}

/// The spaces by backup. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct SourceSpaces {
    all: Arc<Mutex<BTreeMap<String, SourceSpace>>>,
    looks: Arc<BlockingQueues<String>>,
    /// Changes when the free space, or what deleting the snapshots would free, may be another.
    changed: watch::Sender<()>,
}

impl SourceSpaces {
    pub(super) fn new() -> Self {
        let looks = Arc::new(BlockingQueues::new("look at source", 1));
        Self { all: Arc::default(), looks, changed: watch::Sender::new(()) }
    }

    /// Changes when what is known of a source may be something else.
    pub(super) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// The thread that may block while it looks at the source of a backup.
    pub(super) fn looks(&self, backup: &str) -> BlockingQueue {
        self.looks.of(backup.to_owned())
    }

    pub(super) fn of(&self, backup: &str) -> Option<SourceSpace> {
        self.lock().get(backup).copied()
    }

    /// Notes the free space, and returns all that is known.
    pub(super) fn note(&self, backup: &str, space: Space, reserve: u64) -> SourceSpace {
        let mut all = self.lock();
        let known = all.entry(backup.to_owned()).or_default();
        let was_short = known.is_short();
        (known.free, known.reserve) = (space.free, reserve);
        match (was_short, known.is_short()) {
            (false, true) => tracing::warn!(
                "the source of \"{backup}\" has {} MiB free, less than its reserve of {} MiB",
                space.free >> 20,
                reserve >> 20
            ),
            (true, false) => {
                known.pruned = None;
                tracing::info!("the source of \"{backup}\" has {} MiB free again", space.free >> 20);
            }
            (true, true) | (false, false) => {}
        }
        self.changed.send_replace(());
        *known
    }

    /// Notes what deleting its snapshots would free.
    pub(super) fn note_freeable(&self, backup: &str, freeable: FreeableSpace) {
        self.lock().entry(backup.to_owned()).or_default().freeable = Some(freeable);
        self.changed.send_replace(());
    }

    /// Notes whether it is unknown what the drives need. Returns whether that has changed.
    pub(super) fn note_unread(&self, backup: &str, is_unread: bool) -> bool {
        let mut all = self.lock();
        let known = all.entry(backup.to_owned()).or_default();
        std::mem::replace(&mut known.is_unread, is_unread) != is_unread
    }

    /// Notes that its snapshots were pruned to the newest now.
    pub(super) fn note_pruned(&self, backup: &str) {
        self.lock().entry(backup.to_owned()).or_default().pruned = Some(Instant::now());
    }

    /// Forgets a source that is not there.
    pub(super) fn forget(&self, backup: &str) {
        self.lock().remove(backup);
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, SourceSpace>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_short_source_is_pruned_at_once_and_then_from_time_to_time() {
        let spaces = SourceSpaces::new();
        let note = |free| spaces.note("home", Space { size: 1000, free }, 50);
        assert!(!note(50).is_short());
        assert!(note(49).is_due());
        spaces.note_pruned("home");
        assert!(note(49).is_short() && !note(49).is_due());
        tokio::time::advance(AGAIN).await;
        assert!(note(49).is_due());
        spaces.note_pruned("home");
        note(50);
        assert!(note(10).is_due(), "it was not short in between");
    }
    #[test]
    fn what_cannot_be_read_is_news_once() {
        let spaces = SourceSpaces::new();
        let news = [false, true, true, false, true].map(|is_unread| {
            spaces.note("home", Space { size: 1000, free: 10 }, 50);
            spaces.note_unread("home", is_unread)
        });
        assert_eq!(news, [false, true, false, true, true]);
    }
}
