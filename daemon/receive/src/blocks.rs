//! Wakes the reader when blocks of the input are free again.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// When nothing was freed for this long, a writer waits for the disk.
const PATIENCE: Duration = Duration::from_millis(50);

/// Counts what the writer threads free. It wakes the reader seldom: a wake-up costs as much as copying 100 KiB.
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
    /// The reader waits until `freed` has come so far.
    wanted: Option<u64>,
    /// Nothing was freed since the reader's timeout.
    stuck: bool,
}

/// The counters at one counters. Taken before the reader counts its blocks, so that what is freed between
/// the counting and the waiting is not missed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counters {
    freed: u64,
    idle: u64,
}

impl Blocks {
    /// Parts of blocks, of `bytes` together, were dropped. `idle` says that the thread which dropped them has no more work:
    /// then the reader is woken in any case.
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

    /// Now.
    pub(crate) fn counters(&self) -> Counters {
        let state = self.lock();
        Counters { freed: state.freed, idle: state.idle }
    }

    /// Waits until about `bytes` were freed since `counters`, or a thread has no more work, or a timeout. Answers
    /// whether waiting on is worth it: while nothing moves at all, the reader reads ahead.
    pub(crate) fn wait(&self, counters: Counters, bytes: usize) -> bool {
        let mut state = self.lock();
        let wanted = counters.freed.saturating_add(bytes as u64);
        if state.stuck || state.idle != counters.idle || state.freed >= wanted {
            return !state.stuck;
        }
        state.wanted = Some(wanted);
        let waited = self.changed.wait_timeout_while(state, PATIENCE, |state| state.wanted.is_some());
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state.wanted = None;
        state.stuck = timeout.timed_out() && state.freed == counters.freed;
        !state.stuck
    }

    /// Waits briefly until anything is freed.
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
    fn a_reader_waits_briefly_when_nothing_is_freed() {
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
