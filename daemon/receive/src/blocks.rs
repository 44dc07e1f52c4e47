//! How the reader learns that blocks of the input were let go.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When nothing was let go for this long, something waits for the disk.
const PATIENCE: Duration = Duration::from_millis(50);

/// Counts what the lanes let go. It wakes the reader seldom: a wake-up costs as much as copying 100 KiB.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes let go since the reader last asked.
    freed: usize,
    /// So many the reader waits for; 0 when it does not wait.
    wanted: usize,
    /// Something was let go since the reader's patience ended.
    moving: bool,
}

impl Blocks {
    /// Parts of blocks, of `bytes` together, were dropped. `idle` says that whoever dropped them has no more work:
    /// then the reader is woken in any case.
    pub(crate) fn freed(&self, bytes: usize, idle: bool) {
        let mut state = self.lock();
        state.freed = state.freed.saturating_add(bytes);
        state.moving = true;
        if state.wanted != 0 && (idle || state.freed >= state.wanted) {
            state.wanted = 0;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Waits until about `bytes` were let go, or there is nobody at work. Returns at once while nothing moves at all:
    /// the reader reads ahead then.
    pub(crate) fn wait(&self, bytes: usize) {
        let mut state = self.lock();
        if !state.moving {
            return;
        }
        state.freed = 0;
        state.wanted = bytes.max(1);
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| state.wanted != 0);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wanted = 0;
        if timeout.timed_out() && state.freed == 0 {
            state.moving = false;
        }
    }

    /// Waits for anything at all to be let go, for a moment.
    pub(crate) fn wait_any(&self) {
        self.lock().moving = true;
        self.wait(1);
    }

    /// Whether things were let go lately, so that waiting for more is worth it.
    pub(crate) fn moving(&self) -> bool {
        self.lock().moving
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread::{scope, sleep};

    use super::*;

    #[test]
    fn a_reader_is_not_held_up_while_nothing_moves() {
        let blocks = Blocks::default();
        blocks.freed(1, false);
        blocks.wait(1 << 20);
        assert!(!blocks.moving());
        blocks.wait(1 << 20);
        blocks.freed(10, false);
        assert!(blocks.moving());
    }

    #[test]
    fn whoever_runs_out_of_work_wakes_the_reader() {
        let blocks = Blocks::default();
        blocks.freed(1, false);
        scope(|threads| {
            threads.spawn(|| {
                sleep(Duration::from_millis(10));
                blocks.freed(1, true);
            });
            blocks.wait(usize::MAX);
        });
        assert!(blocks.moving());
    }
}
