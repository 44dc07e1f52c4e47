//! The handle through which other threads watch a run and cancel it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

/// How much was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commands read.
    pub commands: u64,
    /// Bytes of the stream read.
    pub bytes: u64,
    /// Bytes of file data that were written or cloned, as the reader of the files sees them.
    pub bytes_written: u64,
    /// Payloads that went to disk as they came.
    pub encoded_writes: u64,
    /// Payloads that were decoded here and written plainly.
    pub fallback_writes: u64,
    /// Plain writes, after joining.
    pub plain_writes: u64,
    /// Reflinks made.
    pub clones: u64,
    /// Inodes created.
    pub files: u64,
}

/// What a run looks like from outside at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the stream read.
    pub bytes: u64,
    /// How long the reader has waited for its input, all in all: it could have taken more, and nothing came.
    pub waited: Duration,
    /// Everything that is counted.
    pub counts: Counts,
}

/// A shared handle on a run: clone it, watch and cancel from any thread.
#[derive(Debug, Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cancelled: AtomicBool,
    /// Set while the current run must end; a later run with the same handle need not.
    stopped: AtomicBool,
    /// Readable once the run shall end; the reader polls it beside its input.
    wake: EventFd,
    tally: Tally,
    waits: Mutex<Waits>,
}

/// The reader's waits for its input.
#[derive(Debug, Default)]
struct Waits {
    /// Those that ended.
    ended: Duration,
    /// When the current one began.
    since: Option<Instant>,
}

/// A wait of the reader's for its input, until it is dropped.
#[derive(Debug)]
pub(crate) struct InputWait<'c>(&'c Inner);

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) commands: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) bytes_written: AtomicU64,
    pub(crate) encoded_writes: AtomicU64,
    pub(crate) fallback_writes: AtomicU64,
    pub(crate) plain_writes: AtomicU64,
    pub(crate) clones: AtomicU64,
    pub(crate) files: AtomicU64,
}

impl Control {
    /// A handle for one run.
    ///
    /// # Errors
    /// `eventfd(2)` failed: no descriptors or no memory.
    pub fn new() -> std::io::Result<Self> {
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let (cancelled, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self {
            inner: Arc::new(Inner { cancelled, stopped, wake, tally: Tally::default(), waits: Mutex::default() }),
        })
    }

    /// Asks the run to end: it stops at the next command, removes its hidden subvolume and fails as cancelled.
    pub fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Whether [`Control::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Relaxed)
    }

    /// Asks the current run to end as [`Control::cancel`] does; after [`Control::resume`] another may begin.
    pub fn stop(&self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Takes a [`Control::stop`] back, also one that came when no run went on any more.
    pub fn resume(&self) {
        self.inner.stopped.store(false, Ordering::SeqCst);
    }

    /// Counts bytes of the input as read that need not be received.
    pub fn pass(&self, bytes: u64) {
        Tally::add(&self.tally().bytes, bytes);
    }

    /// What was done so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let counts = self.inner.tally.counts();
        let waits = self.inner.waits();
        let going_on = waits.since.map_or(Duration::ZERO, |since| since.elapsed());
        Progress { bytes: counts.bytes, waited: waits.ended.saturating_add(going_on), counts }
    }

    /// The reader waits for its input from now on.
    pub(crate) fn wait_for_input(&self) -> InputWait<'_> {
        self.inner.waits().since = Some(Instant::now());
        InputWait(&self.inner)
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.inner.tally
    }

    /// Whether the run shall end.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_cancelled() || self.inner.stopped.load(Ordering::Relaxed)
    }

    /// A run begins: what woke the reader of one before wakes this one's only where it shall end too.
    pub(crate) fn begin(&self) {
        match self.inner.wake.read() {
            // EAGAIN: no wake-up.
            Ok(_) | Err(Errno::EAGAIN | _) => {}
        }
        // A request from now on wakes it again, and an earlier request has set its flag.
        if self.inner.cancelled.load(Ordering::SeqCst) || self.inner.stopped.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wakes the reader, whatever it waits for.
    pub(crate) fn wake(&self) {
        match self.inner.wake.write(1) {
            // EAGAIN: the counter is full, so it is readable already.
            Ok(_) | Err(Errno::EAGAIN | _) => {}
        }
    }

    pub(crate) fn wake_fd(&self) -> BorrowedFd<'_> {
        self.inner.wake.as_fd()
    }
}

impl Inner {
    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InputWait<'_> {
    fn drop(&mut self) {
        let mut waits = self.0.waits();
        if let Some(since) = waits.since.take() {
            waits.ended = waits.ended.saturating_add(since.elapsed());
        }
    }
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            commands: read(&self.commands),
            bytes: read(&self.bytes),
            bytes_written: read(&self.bytes_written),
            encoded_writes: read(&self.encoded_writes),
            fallback_writes: read(&self.fallback_writes),
            plain_writes: read(&self.plain_writes),
            clones: read(&self.clones),
            files: read(&self.files),
        }
    }
}
