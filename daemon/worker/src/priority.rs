//! A worker's CPU and I/O priority, and its limit of open files.

use butterdock_btrfs::best_effort;
use butterdock_btrfs::system::{IoClass, set_io_class};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::process::setpriority_process;
use serde::{Deserialize, Serialize};

/// The priority of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priority {
    /// CPU priority as in nice(1), from -20 to 19.
    pub nice: i8,
    /// I/O priority as in ionice(1).
    pub io: IoPriority,
}

/// The I/O priority. It has an effect only if the drive's I/O scheduler supports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IoPriority {
    /// The kernel derives it from `nice`.
    #[default]
    None,
    /// Best effort, from 0 (highest) to 7 (lowest).
    BestEffort(u8),
    /// Only while the drive is idle.
    Idle,
}

impl Priority {
    /// Sets the priority of this thread and of the threads that it starts. If the kernel refuses a higher priority, the
    /// default priority stays.
    pub fn take(self) {
        if self.nice != 0 {
            best_effort(setpriority_process(None, self.nice.into()));
        }
        let class = match self.io {
            IoPriority::None => return,
            IoPriority::BestEffort(level) => IoClass::BestEffort(level),
            IoPriority::Idle => IoClass::Idle,
        };
        best_effort(set_io_class(class));
    }
}

/// Raises the soft limit of open files to the hard limit, because clone sources and directories stay open. Only programs that
/// use select(2) need a low soft limit.
pub fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    // If the kernel refuses, the old limit stays, which is enough for most streams.
    best_effort(raised);
}
