//! What a worker asks of the kernel for itself: its priority, and the limit of open files.

use butterdock_btrfs::best_effort;
use butterdock_btrfs::system::{IoClass, set_io_class};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::process::setpriority_process;
use serde::{Deserialize, Serialize};

/// The priority of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Priority {
    /// For the processor: as nice(1), from -20 to 19.
    pub nice: i8,
    /// For the drives: as ionice(1).
    pub io: IoPriority,
}

/// The I/O priority, where the drive's scheduler supports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IoPriority {
    /// What the kernel makes of `nice`.
    #[default]
    None,
    /// Shared with others, from 0, the first, to 7, the last.
    BestEffort(u8),
    /// Only when the drive is otherwise idle.
    Idle,
}

impl Priority {
    /// Sets it for this thread and those that it starts. A higher priority is a privilege; where it is refused, the
    /// usual priority stays, which does no harm.
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

/// Clone sources and directories are kept open. Programs that use select(2) need the soft limit low; this one does not.
pub fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    // Where it is refused the old limit stays, which is enough for most streams.
    best_effort(raised);
}
