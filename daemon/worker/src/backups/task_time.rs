//! What a worker is told of time: it believes no clock of its own.

use serde::{Deserialize, Serialize};

use crate::clock::{Reading, boot_time};

/// What the daemon knows of time. As it is by default a worker has the kernel's wall time, and protects everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskTime {
    /// Wall time when the order was given, in seconds since 1970, and boot time then, from where the worker counts on.
    pub given: Option<Given>,
    /// The clock is in doubt: nothing is deleted.
    pub stopped: bool,
    /// Snapshots beside the source that were made before this transaction were seen first at least `protect` ago.
    pub settled_source: u64,
    /// The same on the drive, in its own transactions.
    pub settled_drive: u64,
}

/// A moment by both clocks, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Given {
    pub wall: i64,
    pub boot: u64,
}

impl TaskTime {
    /// What the clocks say, and whether that is in doubt.
    pub fn of(reading: &Reading, stopped: bool) -> Self {
        let Reading { wall, boot, .. } = *reading;
        Self { given: Some(Given { wall, boot }), stopped, ..Self::default() }
    }

    /// Wall time now, in seconds since 1970: the one that was given, and boot time since.
    pub fn now(&self) -> i64 {
        self.given.map_or_else(wall_time, |given| {
            let passed = boot_time().saturating_sub(given.boot);
            given.wall.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
        })
    }
}

/// The kernel's wall time.
fn wall_time() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_worker_has_the_time_that_it_is_given() {
        let reading = Reading { wall: 1000, boot: boot_time(), boot_id: Uuid::nil(), synchronised: Some(false) };
        let time = TaskTime::of(&reading, true);
        assert!((1000..1100).contains(&time.now()) && time.stopped);
        let past = TaskTime::of(&Reading { boot: boot_time() - 50, ..reading }, false);
        assert!((1050..1150).contains(&past.now()), "what passed since then is counted");
    }
}
