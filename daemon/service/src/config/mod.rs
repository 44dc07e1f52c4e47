//! The configuration: its keys, its files and its mistakes.
//!
//! ```text
//! /usr/lib/butterdock/butterdock.toml   the maker's configuration; may be on a read-only root
//! /etc/butterdock/butterdock.toml       the administrator's configuration
//! ```
//!
//! A key of the second file replaces the same key of the first, table by table. `volume`, `backup` and `import` are
//! one key each, so that an administrator can also remove a volume. `file` has the keys, `load` reads and merges.
//! Every mistake is reported with file, line and column; an unknown key is a mistake.

mod backup;
mod command;
mod drives;
mod file;
mod load;
mod streams;
mod validated;

use std::path::PathBuf;

pub use backup::{BackupRule, Schedule};
pub use command::Command;
pub use drives::{DriveRules, ImportRule, MatchRule, OnFinish};
pub use load::{Sources, load};
pub use streams::{ByteRate, StreamRules, duration_words};
pub use validated::{FilesystemUuid, IoClass, VolumeName};

/// What the service goes by. Every value is within its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The volumes that may be received into, in the order of the file; names and paths are there once.
    pub volumes: Vec<VolumeRule>,
    /// What is backed up, in the order of the file; names are there once.
    pub backups: Vec<BackupRule>,
    /// Where stream files are, in the order of the file; a drive is there once.
    pub imports: Vec<ImportRule>,
    /// How many jobs of one class run at the same time.
    pub max_jobs: usize,
    /// How many jobs of one class may be unfinished at the same time.
    pub max_queued: usize,
    /// How many of them may have been started by the same user.
    pub max_queued_per_user: usize,
    /// What is asked of streams that callers hand in.
    pub streams: StreamRules,
    /// How many ended jobs are remembered on disk.
    pub history: usize,
    /// How a worker runs.
    pub worker: WorkerRule,
    /// Where what must survive a restart is kept.
    pub state: PathBuf,
    /// Where what ends with the machine is kept: drives are mounted in it.
    pub run: PathBuf,
    /// What is done with drives.
    pub drives: DriveRules,
}

/// A volume that may be received into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRule {
    /// What callers call it.
    pub name: VolumeName,
    /// The directory that subvolumes appear in; absolute.
    pub path: PathBuf,
    /// The filesystem that has to be there; any btrfs where nothing is said.
    pub uuid: Option<FilesystemUuid>,
}

/// The priorities of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerRule {
    /// As `nice(2)` has it: -20 to 19.
    pub nice: i8,
    /// The class of `ioprio_set(2)`.
    pub io_class: IoClass,
    /// The priority in that class: 0 to 7, 0 is first.
    pub io_priority: u8,
    /// How many threads write data; one for each core where nothing is said.
    pub writer_threads: Option<u16>,
}

impl Config {
    /// The backup of this name.
    pub fn backup(&self, name: &str) -> Option<&BackupRule> {
        self.backups.iter().find(|rule| rule.name.as_str() == name)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            volumes: Vec::new(),
            backups: Vec::new(),
            imports: Vec::new(),
            max_jobs: 4,
            max_queued: 200,
            max_queued_per_user: 100,
            streams: StreamRules::default(),
            history: 200,
            worker: WorkerRule { nice: 10, io_class: IoClass::BestEffort, io_priority: 6, writer_threads: None },
            state: PathBuf::from("/var/lib/butterdock"),
            run: PathBuf::from("/run/butterdock"),
            drives: DriveRules::default(),
        }
    }
}
