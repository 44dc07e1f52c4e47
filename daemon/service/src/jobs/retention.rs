//! The facts that retention needs in addition to its rule: the time, whether the clock is trusted, and when each
//! snapshot of a backup was first seen on each filesystem. The last is recorded in `seen` of the state directory: one file for
//! each backup and filesystem.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use butterdock_btrfs::filesystem;

use crate::backups::{FirstSeen, Identity, Listings, Seen, TaskTime};
use crate::blocking::local;
use crate::clock::{ClockTrust, Elapsed, Stop};
use crate::config::BackupRule;
use crate::durable::{self, Loaded};

/// The clocks and the records. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Retention {
    pub(super) clock: ClockTrust,
    pub(super) seen: SeenStore,
}

/// The two filesystems of a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sides {
    source: Identity,
    drive: Identity,
}

impl Sides {
    /// Those of the folder for snapshots and of the destination. Everything is protected on a filesystem that cannot be
    /// identified.
    pub(super) fn of(folder: impl AsFd, destination: impl AsFd) -> Self {
        let id = |fd: &dyn AsFd| filesystem::info(fd.as_fd()).map_or(Identity::NONE, |info| Identity(info.fsid));
        Self { source: id(&folder), drive: id(&destination) }
    }
}

impl Sides {
    /// That of the folder for snapshots alone.
    pub(super) fn of_source(folder: impl AsFd) -> Self {
        let source = filesystem::info(folder).map_or(Identity::NONE, |info| Identity(info.fsid));
        Self { source, drive: Identity::NONE }
    }
}

impl Retention {
    pub(super) fn new(state: &Path, clock: ClockTrust) -> Self {
        Self { clock, seen: SeenStore::new(state) }
    }

    /// The time for an order; and the reason, if nothing may be deleted.
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
        // Without an answer nothing is deleted.
        asked.await.unwrap_or_else(|_lost| (TaskTime { stopped: true, ..TaskTime::default() }, None))
    }

    /// Records a worker's list of snapshots.
    pub(super) async fn remember(&self, rule: &BackupRule, sides: Sides, listings: Listings) {
        let (this, name) = (self.clone(), rule.name.as_str().to_owned());
        let written = local(move || {
            // The record needs no answer of a time service.
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

/// A file has ten thousand snapshots at most.
const LARGEST: u64 = 4 << 20;
/// Records are kept of this many filesystems, and of this many backups on each. Beyond that the oldest is deleted: its
/// snapshots count as first seen now, which keeps them longer.
const MOST: usize = 256;

/// The folder of the records. Cheap to clone; every call blocks.
#[derive(Debug, Clone)]
pub(super) struct SeenStore {
    folder: PathBuf,
    /// Held from reading to writing.
    writing: Arc<Mutex<()>>,
}

impl SeenStore {
    /// In this state directory.
    pub(super) fn new(state: &Path) -> Self {
        Self { folder: state.join("seen"), writing: Arc::default() }
    }

    /// The record of a backup on a filesystem. An unreadable one is quarantined: all snapshots count as first seen now.
    pub(super) fn of(&self, filesystem: Identity, backup: &str) -> FirstSeen {
        let file = self.file(filesystem, backup);
        let (error, now) = match durable::load(&file, LARGEST, |bytes| Ok(serde_json::from_slice(bytes)?)) {
            Ok(Loaded::Read(known)) => return known,
            Ok(Loaded::Missing | Loaded::SetAside) => return FirstSeen::default(),
            Ok(Loaded::Unreadable { error, aside }) => (error, format!("is {} now", aside.display())),
            Err(error) => (error, "stays".to_owned()),
        };
        let text = "all its snapshots count as new, so none is deleted yet";
        tracing::error!(
            "cannot read when the snapshots of the backup \"{backup}\" were first seen: {error}; {text}; the file {now}"
        );
        FirstSeen::default()
    }

    /// Records all present snapshots of the backup on the filesystem.
    ///
    /// # Errors
    /// It cannot be written; the old record stays.
    pub(super) fn remember(&self, filesystem: Identity, backup: &str, there: &[Seen], now: Elapsed) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, file) = (self.of(filesystem, backup), self.file(filesystem, backup));
        let after = before.after(there, now);
        if after == before {
            return Ok(());
        }
        durable::write(&file, &serde_json::to_vec(&after)?)?;
        for folder in [Some(self.folder.as_path()), file.parent()].into_iter().flatten() {
            bound(folder, &file)?;
        }
        Ok(())
    }

    /// What is recorded of a backup, on all filesystems, is that of another name from now on.
    ///
    /// # Errors
    /// A record cannot be renamed.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let filesystems = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            filesystems => filesystems?,
        };
        for filesystem in filesystems {
            let folder = filesystem?.path();
            durable::rename(&folder.join(from), &folder.join(to))?;
        }
        Ok(())
    }

    fn file(&self, filesystem: Identity, backup: &str) -> PathBuf {
        self.folder.join(filesystem.to_string()).join(backup)
    }
}

/// Removes the oldest entries beyond the limit, but never one that leads to `current`.
fn bound(folder: &Path, current: &Path) -> io::Result<()> {
    let mut entries: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        entries.push((entry.metadata()?.modified()?, entry.path()));
    }
    entries.retain(|(_, path)| !current.starts_with(path));
    entries.sort();
    for (_, path) in entries.iter().take(entries.len().saturating_sub(MOST)) {
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const DISK: Identity = Identity([7; 16]);

    fn seen(number: u8) -> Seen {
        Seen { uuid: Identity([number; 16]), otransid: u64::from(number) }
    }

    fn at(seconds: u64) -> Elapsed {
        Elapsed { series: Uuid::from_u128(1), seconds }
    }

    #[test]
    fn first_sightings_are_recorded_per_filesystem_and_backup() {
        let state = tempfile::tempdir().expect("a folder");
        let store = SeenStore::new(state.path());
        store.remember(DISK, "home", &[seen(3)], at(0)).expect("written");
        store.remember(DISK, "home", &[seen(3), seen(4)], at(50)).expect("written");
        let again = SeenStore::new(state.path());
        assert_eq!(again.of(DISK, "home").settled(60, at(60)), 3);
        assert_eq!(again.of(DISK, "etc"), FirstSeen::default());
        assert_eq!(again.of(Identity([8; 16]), "home"), FirstSeen::default());
    }

    #[test]
    fn an_unreadable_record_is_quarantined_and_snapshots_are_protected() {
        let state = tempfile::tempdir().expect("a folder");
        let store = SeenStore::new(state.path());
        store.remember(DISK, "home", &[seen(3)], at(0)).expect("written");
        let file = store.file(DISK, "home");
        fs::write(&file, "{").expect("written");
        assert_eq!(store.of(DISK, "home").settled(60, at(60)), 0);
        assert!(file.with_file_name("home.unreadable").exists());
        store.remember(DISK, "home", &[seen(3)], at(100)).expect("written");
        assert_eq!((store.of(DISK, "home").settled(60, at(159)), store.of(DISK, "home").settled(60, at(160))), (0, 3));
    }

    #[test]
    fn the_oldest_records_are_dropped() {
        let state = tempfile::tempdir().expect("a folder");
        for number in 0..MOST + 100 {
            let folder = state.path().join(number.to_string());
            fs::create_dir(&folder).expect("made");
            fs::write(folder.join("home"), "").expect("written");
        }
        // Made first or not: what was just written stays.
        let current = state.path().join("0/home");
        bound(state.path(), &current).expect("removed");
        assert_eq!(fs::read_dir(state.path()).expect("listed").count(), MOST + 1);
        assert!(current.exists());
    }
}
