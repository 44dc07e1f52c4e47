//! The configuration: its keys, its files and its mistakes.
//!
//! ```text
//! /usr/lib/butterdock/butterdock.toml   the maker's configuration; may be on a read-only root
//! /etc/butterdock/butterdock.toml       the administrator's configuration
//! ```
//!
//! A key of the second file replaces the same key of the first, table by table; the tables of a list are those of
//! one name. `enabled = false` removes one of the maker's. `merge` merges the trees of the two files, `file` has the
//! keys, `load` reads the files. Every mistake is reported with file, line and column; an unknown key is a mistake.

mod apply;
mod backup;
mod command;
mod destination;
mod drives;
mod file;
mod load;
mod max_rate;
mod merge;
mod notify;
mod source_reserve;
mod streams;
mod validated;

use std::path::PathBuf;

pub use backup::{BackupRule, Nested};
pub use command::Command;
pub use destination::{DestinationPlace, DestinationRule};
pub use drives::{DriveRules, ImportRule, MatchRule, OnFinish};
#[cfg(test)]
pub(crate) use load::ConfigText;
pub use load::{ConfigFiles, load, unread_file};
pub(crate) use load::{ConfigTexts, LARGEST};
pub use max_rate::MaxRate;
pub(crate) use max_rate::RateNow;
pub(crate) use merge::{LISTS, Layers, Mistake, OLDER_NAMES, Origin};
pub use notify::{MailRule, NotifyChannel, NotifyEvent, NotifyRule};
pub use streams::{ByteRate, StreamRules, duration_words};
pub use validated::{FilesystemUuid, IoClass, VolumeName};

/// The configuration of the service. Every value is within its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The volumes that may be received into, in the order of the file; names and paths are unique.
    pub volumes: Vec<VolumeRule>,
    /// The backups, in the order of the file; names are unique.
    pub backups: Vec<BackupRule>,
    /// Where backups go by a name of its own, in the order of the file; names are unique.
    pub destinations: Vec<DestinationRule>,
    /// Who hears of failures, in the order of the file; names are unique.
    pub notify: Vec<NotifyRule>,
    /// The folders of stream files, in the order of the file; up to one for each drive.
    pub imports: Vec<ImportRule>,
    /// Limit of jobs of one class that run at the same time.
    pub max_jobs: usize,
    /// Limit of unfinished jobs of one class.
    pub max_queued: usize,
    /// Limit of unfinished jobs of one class that one user started.
    pub max_queued_per_user: usize,
    /// Limits for streams that callers pass.
    pub streams: StreamRules,
    /// Limit of ended jobs in the history on disk.
    pub history: usize,
    /// The priorities of workers.
    pub worker: WorkerRule,
    /// The directory for state that must survive a restart.
    pub state: PathBuf,
    /// The directory for state that ends with the boot: drives are mounted in it.
    pub run: PathBuf,
    /// The rules for drives.
    pub drives: DriveRules,
}

/// A volume that may be received into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRule {
    /// Its name for callers.
    pub name: VolumeName,
    /// The directory in which subvolumes appear; absolute.
    pub path: PathBuf,
    /// The required filesystem (default: any btrfs).
    pub uuid: Option<FilesystemUuid>,
}

/// The priorities of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerRule {
    /// The niceness of `nice(2)`: -20 to 19.
    pub nice: i8,
    /// The class of `ioprio_set(2)`.
    pub io_class: IoClass,
    /// The priority in that class: 0 to 7, 0 is first.
    pub io_priority: u8,
    /// The number of threads that write data (default: one for each core).
    pub writer_threads: Option<u16>,
}

impl Config {
    /// The configured destination of this name.
    pub fn destination(&self, name: &str) -> Option<&DestinationRule> {
        self.destinations.iter().find(|rule| rule.name.as_str() == name)
    }

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
            destinations: Vec::new(),
            notify: Vec::new(),
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
