//! A source and a drive on real volumes, and backups between them.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use butterdock_btrfs::file::clone_range;
use butterdock_btrfs::{Error as Fault, subvolume};
use butterdock_fixtures::{Layout, Sandbox, Volume};
use butterdock_receive::{Control, Kind, Observer, Publication};

use crate::backups::error::BackupError;
use crate::backups::nested::{EarlierRuns, NestedSubvolumes};
use crate::backups::retention::RetentionRule;
use crate::backups::run::{BackupDirectories, Run};
use crate::backups::snapshot::Identity;
use crate::backups::task::{BackupEvent, Given, Task, TaskTime};
use crate::clock::boot_time;

pub(super) const KEEP_ONE: RetentionRule =
    RetentionRule { last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };

pub(super) struct Silent;

impl Observer for Silent {}

/// Another writer on the drive, after the transfer has begun.
pub(super) struct OtherWriter {
    pub(super) folder: PathBuf,
    /// MiB
    pub(super) writes: AtomicUsize,
}

impl Observer for OtherWriter {
    fn began(&self, _name: &[u8], _kind: Kind) {
        let writes = self.writes.swap(0, Ordering::Relaxed);
        if writes != 0 {
            let file = File::create(self.folder.join("other")).expect("made");
            (&file).write_all(&noise(writes)).expect("written");
            file.sync_all().expect("synced");
        }
    }
}

pub(super) struct World {
    pub(super) task: Task,
    /// The timeout of the estimate.
    pub(super) estimate_timeout: Duration,
    /// Wall time, which advances 10 seconds with each backup, because names have seconds.
    pub(super) wall: AtomicI64,
    pub(super) mine: Volume,
    pub(super) drive: Volume,
    /// The subvolumes below the source cannot be listed.
    pub(super) unlisted: Option<Fault>,
    pub(super) _sandbox: Sandbox,
}

impl World {
    /// A drive of this many mebibytes.
    pub(super) fn new(drive: u64) -> Self {
        Self::with(&Layout::sized(2048, ""), &Layout::sized(drive, ""))
    }

    pub(super) fn with(source: &Layout, drive: &Layout) -> Self {
        let sandbox = Sandbox::new().expect("a sandbox");
        let mine = sandbox.volume("source", source).expect("a volume");
        let drive = sandbox.volume("drive", drive).expect("a volume");
        subvolume::create(File::open(mine.path()).expect("open"), c"live").expect("a source");
        fs::create_dir(mine.join("snapshots")).expect("a folder");
        let task = Task { keep: KEEP_ONE, ..Task::of(b"home", Identity([1; 16])) };
        Self {
            task,
            estimate_timeout: Duration::ZERO,
            unlisted: None,
            wall: AtomicI64::new(TaskTime::default().now()),
            mine,
            drive,
            _sandbox: sandbox,
        }
    }

    /// Replaces the source's file.
    pub(super) fn fill(&self, mebibytes: usize) {
        fs::write(self.mine.join("live/large"), noise(mebibytes)).expect("written");
    }

    /// Adds a file of this many mebibytes, and `clones` that share its data.
    pub(super) fn share(&self, name: &str, mebibytes: usize, clones: usize) {
        let at = |name: String| self.mine.join("live").join(name);
        fs::write(at(name.to_owned()), noise(mebibytes)).expect("written");
        let file = File::open(at(name.to_owned())).expect("open");
        file.sync_all().expect("synced");
        for number in 0..clones {
            let clone = File::create(at(format!("{name}-{number}"))).expect("made");
            clone_range(&clone, 0, &file, 0, 0).expect("cloned");
        }
    }

    /// The number of names on the drive, without the directory of the records.
    pub(super) fn on_drive(&self) -> usize {
        let names = fs::read_dir(self.drive.path()).expect("listed").flatten().map(|entry| entry.file_name());
        names.filter(|name| name != ".butterdock-staging").count()
    }

    /// Runs a backup; returns the received bytes and the events.
    pub(super) fn back_up(&self, task: &Task) -> (Result<(), BackupError>, u64, Vec<BackupEvent>) {
        self.back_up_with(task, &Silent)
    }

    pub(super) fn back_up_with(
        &self,
        task: &Task,
        observer: &dyn Observer,
    ) -> (Result<(), BackupError>, u64, Vec<BackupEvent>) {
        let open = |path| File::open(path).expect("open").into();
        let (source, folder): (OwnedFd, OwnedFd) = (open(self.mine.join("live")), open(self.mine.join("snapshots")));
        let found =
            || NestedSubvolumes::find(source.as_fd(), Some(folder.as_fd()), task.nested, EarlierRuns::default());
        let nested = self.unlisted.map_or_else(found, Err);
        let directories = BackupDirectories {
            source,
            folder,
            destination: open(self.drive.path().to_owned()),
            top: None,
            publication: Publication::Rename,
            swapfiles: Vec::new(),
            nested,
        };
        let (control, events) = (Control::new().expect("a control"), Mutex::new(Vec::new()));
        let report = |event| events.lock().expect("unpoisoned").push(event);
        let estimate_timeout = self.estimate_timeout;
        let given = Given { wall: self.wall.fetch_add(10, Ordering::Relaxed), boot: boot_time() };
        let task = &Task { time: TaskTime { given: Some(given), ..task.time }, ..task.clone() };
        let run = Run {
            directories: &directories,
            task,
            version: 2,
            estimate_timeout,
            control: &control,
            observer,
            report: &report,
        };
        let done = run.run();
        (done, control.progress().bytes, events.into_inner().expect("unpoisoned"))
    }
}

/// Incompressible bytes.
pub(super) fn noise(mebibytes: usize) -> Vec<u8> {
    let mut bytes = vec![0; mebibytes << 20];
    File::open("/dev/urandom").expect("open").read_exact(&mut bytes).expect("read");
    bytes
}
