//! The facts that retention needs in addition to its rule: the time, whether the clock is trusted, and when each
//! snapshot was first seen.

use std::os::fd::AsFd;
use std::path::Path;

use butterdock_btrfs::filesystem;

use super::seen::SeenStore;
use crate::backups::{Identity, Listings, TaskTime};
use crate::blocking::local;
use crate::clock::{ClockKeeper, Stop};
use crate::config::BackupRule;

/// The clocks and what was seen when. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Retention {
    pub(super) clock: ClockKeeper,
    seen: SeenStore,
}

/// The two filesystems of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides {
    source: Identity,
    drive: Identity,
}

impl Sides {
    /// Those of the folder for snapshots and of the destination. One that cannot be told is none: nothing is known of it, and
    /// everything on it is protected.
    pub(super) fn of(folder: impl AsFd, destination: impl AsFd) -> Self {
        let id = |fd: &dyn AsFd| filesystem::info(fd.as_fd()).map_or(Identity::NONE, |info| Identity(info.fsid));
        Self { source: id(&folder), drive: id(&destination) }
    }
}

impl Retention {
    pub(super) fn new(state: &Path, clock: ClockKeeper) -> Self {
        Self { clock, seen: SeenStore::new(state) }
    }

    /// What an order says of time, and why nothing may be deleted where that is so.
    pub(super) async fn time(&self, rule: &BackupRule, sides: Sides) -> (TaskTime, Option<Stop>) {
        let (this, name, protect) = (self.clone(), rule.name.as_str().to_owned(), rule.protect.as_secs());
        let answer = self.clock.ask().await;
        let asked = local(move || {
            let observed = this.clock.observe(answer);
            let settled = |filesystem: Identity| {
                let known = filesystem.known().map(|filesystem| this.seen.of(filesystem, &name));
                known.map_or(0, |known| known.settled(protect, observed.elapsed))
            };
            let time = TaskTime {
                settled_source: settled(sides.source),
                settled_drive: settled(sides.drive),
                ..TaskTime::of(&observed.reading, observed.stop.is_some())
            };
            (time, observed.stop)
        });
        // If the thread did not return, nothing is known, and nothing is deleted.
        asked.await.unwrap_or_else(|_lost| (TaskTime { stopped: true, ..TaskTime::default() }, None))
    }

    /// Takes a worker's list of snapshots.
    pub(super) async fn remember(&self, rule: &BackupRule, sides: Sides, listings: Listings) {
        let (this, name) = (self.clone(), rule.name.as_str().to_owned());
        let written = local(move || {
            // Nothing is decided here that another program's answer would change.
            let now = this.clock.observe(None).elapsed;
            for (filesystem, there) in [(sides.source, listings.source), (sides.drive, listings.drive)] {
                if let (Some(filesystem), Some(there)) = (filesystem.known(), there)
                    && let Err(error) = this.seen.remember(filesystem, &name, &there, now)
                {
                    let text = "the snapshots are protected longer";
                    tracing::warn!("cannot record the snapshots of \"{name}\": {error}; {text}");
                }
            }
        });
        if written.await.is_err() {
            tracing::warn!("the thread that records snapshots has ended; the snapshots are protected longer");
        }
    }
}
