//! Wakes the reader when blocks of the input become free.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// If nothing is freed for this time, the writer threads wait for the disk.
const PATIENCE: Duration = Duration::from_millis(50);

/// Counts the bytes that the writer threads free. It wakes the reader rarely: a wake-up costs as much as copying 100 KiB.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes freed so far.
    freed: u64,
    /// How often a thread ran out of work.
    idle: u64,
    /// The value of `freed` that the reader waits for.
    wanted: Option<u64>,
    /// Nothing was freed since the reader's last timeout.
    stuck: bool,
}

/// The counters at one time. The reader takes them before it counts its blocks, so that it does not miss a block that is
/// freed between the counting and the waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    freed: u64,
    idle: u64,
}

impl Blocks {
    /// A thread dropped parts of blocks, `bytes` together. With `idle` the thread has no more work, and the reader is always
    /// woken.
    pub(crate) fn freed(&self, bytes: usize, idle: bool) {
        let mut state = self.lock();
        state.freed = state.freed.saturating_add(bytes as u64);
        state.idle = state.idle.wrapping_add(u64::from(idle));
        state.stuck = false;
        if state.wanted.is_some_and(|wanted| idle || state.freed >= wanted) {
            state.wanted = None;
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The counters now.
    pub(crate) fn counters(&self) -> Counters {
        let state = self.lock();
        Counters { freed: state.freed, idle: state.idle }
    }

    /// Waits until about `bytes` were freed since `before`, or a thread has no more work, or a timeout. Returns whether to
    /// wait again: while nothing is freed at all, the reader reads ahead.
    pub(crate) fn wait(&self, before: Counters, bytes: usize) -> bool {
        let mut state = self.lock();
        let wanted = before.freed.saturating_add(bytes as u64);
        if state.stuck || state.idle != before.idle || state.freed >= wanted {
            return !state.stuck;
        }
        state.wanted = Some(wanted);
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| state.wanted.is_some());
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wanted = None;
        state.stuck = timeout.timed_out() && state.freed == before.freed;
        !state.stuck
    }

    /// Waits briefly until some bytes are freed.
    pub(crate) fn wait_any(&self) {
        self.lock().stuck = false;
        self.wait(self.counters(), 1);
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
    fn a_reader_waits_briefly_if_nothing_is_freed() {
        let blocks = Blocks::default();
        assert!(!blocks.wait(blocks.counters(), 1 << 20));
        assert!(!blocks.wait(blocks.counters(), 1 << 20));
        let before = blocks.counters();
        blocks.freed(10, false);
        assert!(blocks.wait(before, 10));
    }

    #[test]
    fn an_idle_writer_thread_wakes_the_reader() {
        let blocks = Blocks::default();
        let before = blocks.counters();
        scope(|threads| {
            threads.spawn(|| {
                sleep(Duration::from_millis(10));
                blocks.freed(1, true);
            });
            assert!(blocks.wait(before, usize::MAX));
        });
    }

    #[test]
    fn blocks_freed_between_counting_and_waiting_are_noticed() {
        let blocks = Blocks::default();
        let before = blocks.counters();
        blocks.freed(1, true);
        assert!(blocks.wait(before, usize::MAX));
    }
}
