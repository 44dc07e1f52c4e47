//! Threads that close descriptors.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use tokio::sync::oneshot;

/// Drops values on up to `limit` threads of its own. While all of them block, further values stay open and wait; the
/// caller never waits.
pub(crate) struct Closer {
    name: &'static str,
    limit: usize,
    state: Mutex<State>,
}

struct State {
    waiting: VecDeque<Box<dyn Send>>,
    threads: usize,
}

impl Closer {
    /// Its threads have this name, of up to 15 bytes.
    pub(crate) const fn new(name: &'static str, limit: usize) -> Self {
        Self { name, limit, state: Mutex::new(State { waiting: VecDeque::new(), threads: 0 }) }
    }

    /// Drops it soon. What the value has behind the descriptor, such as the share of its user, is dropped after it.
    pub(crate) fn close(&'static self, value: impl Send + 'static) {
        let mut state = self.lock();
        state.waiting.push_back(Box::new(value));
        if state.threads >= self.limit {
            return;
        }
        state.threads = state.threads.saturating_add(1);
        drop(state);
        if Builder::new().name(self.name.to_owned()).spawn(|| self.work()).is_err() {
            // Without a thread it stays open until the next one is closed.
            let mut state = self.lock();
            state.threads = state.threads.saturating_sub(1);
        }
    }

    /// The same; the receiver returns, with whatever result, when it is closed.
    pub(crate) fn close_and_report(&'static self, value: impl Send + 'static) -> oneshot::Receiver<()> {
        let (report, closed) = oneshot::channel();
        #[cfg(test)]
        let report = (report, super::queue::hold_paused_clock());
        self.close((value, report));
        closed
    }

    /// Each thread was started for a value, and ends when none waits.
    fn work(&self) {
        while let Some(value) = self.next() {
            drop(value);
        }
    }

    fn next(&self) -> Option<Box<dyn Send>> {
        let mut state = self.lock();
        let value = state.waiting.pop_front();
        if value.is_none() {
            state.threads = state.threads.saturating_sub(1);
        }
        value
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, pipe};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn closed_descriptors_are_closed_soon() {
        static CLOSER: Closer = Closer::new("closer", 64);
        let (mut reader, writer) = pipe().expect("a pipe");
        for _ in 0..1000 {
            CLOSER.close(writer.try_clone().expect("a copy"));
        }
        CLOSER.close(writer);
        assert_eq!(reader.read(&mut [0]).expect("the end"), 0);
    }

    /// A value that blocks in its drop, as a descriptor can.
    struct Hanging(mpsc::Receiver<()>);

    impl Drop for Hanging {
        fn drop(&mut self) {
            assert!(self.0.recv().is_err(), "nothing is sent");
        }
    }

    /// A value whose drop takes a while.
    struct Slow;

    impl Drop for Slow {
        fn drop(&mut self) {
            (0..1000).for_each(|_| std::thread::yield_now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_clock_waits_for_what_is_reported() {
        static CLOSER: Closer = Closer::new("closer", 1);
        let closed = tokio::time::timeout(std::time::Duration::from_millis(1), CLOSER.close_and_report(Slow));
        assert!(closed.await.is_ok(), "the clock advanced meanwhile");
    }

    #[tokio::test]
    async fn values_that_block_use_few_threads() {
        static CLOSER: Closer = Closer::new("closer", 2);
        let (wakes, hanging): (Vec<_>, Vec<_>) = (0..100).map(|_| mpsc::channel()).unzip();
        let closed: Vec<_> = hanging.into_iter().map(|wake| CLOSER.close_and_report(Hanging(wake))).collect();
        assert_eq!(CLOSER.lock().threads, 2);
        drop(wakes);
        for one in closed {
            assert!(one.await.is_err(), "its sender is dropped after it");
        }
    }
}
