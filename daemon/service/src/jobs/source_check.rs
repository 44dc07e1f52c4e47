//! Looks at the source of a backup while no job does: prunes beside a source that is short of space, deletes what was unpinned,
//! and finds out what deleting the snapshots would free.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::handle::Jobs;
use super::retention::Sides;
use super::runner::priority;
use super::source_space::{FreeableSpace, SourceSpace};
use super::source_store::{Look, SourceStore};
use crate::backups::{BackupEvent, Lineage, Listings, SourcePruning, Task};
use crate::config::BackupRule;
use crate::dir_handle::DirHandle;
use crate::drives::DriveManager;
use crate::prune_locks::Exclusive;
use crate::worker::{Order, Priority, Report};

/// Timeout for opening the source.
const LOOKING: Duration = Duration::from_secs(30);
/// Timeout for the worker. It is not killed after it: until it ends, no job uses the source.
const PRUNING: Duration = Duration::from_secs(60);

/// A source as it is now.
pub(super) struct Looked {
    /// The folder for its snapshots.
    folder: DirHandle,
    /// What is recorded of it.
    source: Option<Lineage>,
    /// What is known of its space.
    known: SourceSpace,
}

/// Looks at the source of a backup, and notes its space. None if it is not there, or has no snapshots yet.
async fn look_at(sources: &SourceStore, rule: &BackupRule) -> Option<Looked> {
    let name = rule.name.as_str();
    let (looks, store, looked) = (sources.spaces.looks(name), sources.clone(), rule.clone());
    let look = move || {
        let look = store.look(&looked)?;
        // A record that cannot be read ends each backup, which says so.
        Some((look, store.of(&looked).ok().flatten()))
    };
    let Ok(Some((Look { folder, space }, source))) = looks.run(LOOKING, look).await else {
        sources.spaces.forget(name);
        return None;
    };
    let known = sources.spaces.note(name, space, rule.source_reserve.of(space.size));
    Some(Looked { folder, source, known })
}

/// What is to be pruned beside the source of a backup that has ended.
pub(super) async fn after_backup(sources: &SourceStore, rule: &BackupRule) -> SourcePruning {
    match look_at(sources, rule).await {
        Some(looked) if looked.known.is_short() => SourcePruning::ToNewest,
        Some(_) | None => SourcePruning::Rule,
    }
}

/// Notes what deleting the snapshots of a backup would free after they were pruned, and the space that is free now.
pub(super) async fn note_pruned(sources: &SourceStore, rule: &BackupRule, freeable: Option<FreeableSpace>) {
    if let Some(freeable) = freeable {
        sources.spaces.note_freeable(rule.name.as_str(), freeable);
    }
    look_at(sources, rule).await;
}

impl Jobs {
    /// The space of the source of a backup, if it was looked at.
    pub(crate) fn source_space(&self, backup: &str) -> Option<SourceSpace> {
        self.queries.sources.spaces.of(backup)
    }

    /// Changes when [`Self::source_space`] may have another answer.
    pub(crate) fn source_spaces_changed(&self) -> watch::Receiver<()> {
        self.queries.sources.spaces.changed()
    }

    /// Looks at the source of a backup. With `prune`, its snapshots are pruned by the rule even if it has enough space. A job that
    /// uses the source does all of this itself.
    pub(crate) async fn check_source(&self, manager: &DriveManager, name: &str, prune: bool) {
        let Some((rule, worker)) = manager.rule(name) else { return };
        let (sources, spaces) = (&self.queries.sources, &self.queries.sources.spaces);
        let Some(Looked { folder, source, known }) = look_at(sources, &rule).await else { return };
        let unread = manager.unread_pins(name);
        if let (true, Some(text)) = (spaces.note_unread(name, unread.is_some()), &unread) {
            tracing::warn!("old snapshots beside the source of \"{name}\" are not deleted: {text}");
        }
        let source_pruning = match (known.is_due(), prune) {
            // Measuring needs no pins.
            (_, _) if unread.is_some() && known.freeable.is_none() => SourcePruning::Nothing,
            (_, _) if unread.is_some() => return,
            (true, _) => SourcePruning::ToNewest,
            (false, true) => SourcePruning::Rule,
            (false, false) if known.freeable.is_none() => SourcePruning::Nothing,
            (false, false) => return,
        };
        let Some(source) = source else { return };
        let share = self.prune_locks.join(name).await;
        let Some(alone) = share.release() else { return };
        let sides = Sides::of_source(&folder);
        let task = Task::pruning(name.as_bytes(), manager.machine(), source);
        let task = Task { former: rule.former.clone(), ..task };
        let task = Task { pins: manager.pins(name), unpinned: manager.unpinned(name), measure: true, ..task };
        let (time, _) = self.queries.retention.time(&rule, sides).await;
        let task = Task { time, keep: rule.keep, protect: rule.protect.as_secs(), source_pruning, ..task };
        if source_pruning == SourcePruning::ToNewest {
            spaces.note_pruned(name);
        }
        match self.prune(task, folder, priority(worker), alone).await {
            Ok((listings, freeable)) => {
                note_pruned(sources, &rule, freeable).await;
                self.queries.retention.remember(&rule, sides, listings).await;
            }
            Err(text) => tracing::warn!("cannot prune the snapshots beside the source of \"{name}\": {text}"),
        }
    }

    /// Has a worker prune in `folder`, of which this has exclusive use. Returns the snapshots, and what they hold.
    async fn prune(
        &self,
        task: Task,
        folder: DirHandle,
        priority: Priority,
        alone: Exclusive,
    ) -> Result<(Listings, Option<FreeableSpace>), String> {
        let queries = self.queries.clone();
        let work = tokio::spawn(async move {
            let answer = queries.answer(Order::Prune(task), [folder].into(), priority).await;
            drop(alone);
            answer
        });
        let answered = timeout(PRUNING, work).await.map_err(|_late| "it takes long".to_owned())?;
        let (reports, error) = answered.map_err(|lost| lost.to_string())?.map_err(|error| error.to_string())?;
        if let Some(error) = error {
            return Err(error.message);
        }
        let (mut listings, mut freeable) = (Listings::default(), None);
        for report in &reports {
            let Report::Backup(event) = report else { continue };
            if let BackupEvent::Seen { drive, snapshots, last } = event {
                listings.hear(*drive, snapshots, *last);
            }
            freeable = freeable.or_else(|| FreeableSpace::of(event));
        }
        Ok((listings, freeable))
    }
}
