//! The handle through which other threads watch a run and cancel it.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::throttle::{Monotonic, Throttle, Time};

/// How much a run has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Commands read.
    pub commands: u64,
    /// Bytes of the stream read.
    pub bytes: u64,
    /// Bytes of file data that were written or cloned, decompressed.
    pub bytes_written: u64,
    /// Payloads that were written encoded.
    pub encoded_writes: u64,
    /// Payloads that were decoded and written plainly, and clones that were copied.
    pub fallback_writes: u64,
    /// Plain writes, after adjacent ones were joined.
    pub plain_writes: u64,
    /// Reflinks made.
    pub clones: u64,
    /// Inodes created.
    pub files: u64,
}

/// The progress of a run at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the stream read.
    pub bytes: u64,
    /// How long the reader has waited for its input in total.
    pub waited: Duration,
    /// All counters.
    pub counts: Counts,
}

/// A shared handle on a run: clone it, and watch or cancel the run from any thread.
#[derive(Debug, Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cancelled: AtomicBool,
    /// Set while the current run must end; a later run with the same handle may continue.
    stopped: AtomicBool,
    /// Readable when the run must end; the reader polls it together with its input.
    wake: EventFd,
    tally: RunCounters,
    waits: Mutex<Waits>,
    throttle: Throttle,
}

/// The reader's waits for its input.
#[derive(Debug, Default)]
struct Waits {
    /// The duration of the waits that ended.
    ended: Duration,
    /// When the current one began.
    since: Option<Instant>,
}

/// A wait of the reader for its input; dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct InputWait<'c>(&'c Inner);

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct RunCounters {
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
        Self::with_time(Monotonic(Instant::now()))
    }

    /// A handle whose [rate limit](Control::set_max_rate) uses this clock.
    pub(crate) fn with_time(time: impl Time + 'static) -> std::io::Result<Self> {
        let wake = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let (cancelled, stopped) = (AtomicBool::new(false), AtomicBool::new(false));
        let (tally, waits, throttle) = (RunCounters::default(), Mutex::default(), Throttle::new(time));
        Ok(Self { inner: Arc::new(Inner { cancelled, stopped, wake, tally, waits, throttle }) })
    }

    /// Cancels the run: it stops at the next command, deletes its hidden subvolume and fails with [`Cause::Cancelled`](crate::Cause::Cancelled).
    pub fn cancel(&self) {
        self.inner.cancelled.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Whether [`Control::cancel`] was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.load(Ordering::Relaxed)
    }

    /// Ends the current run as [`Control::cancel`] does. After [`Control::resume`] another one may begin.
    pub fn stop(&self) {
        self.inner.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Withdraws a [`Control::stop`], also one that came after the run had ended.
    pub fn resume(&self) {
        self.inner.stopped.store(false, Ordering::SeqCst);
    }

    /// Limits the rate at which this run and later ones with this handle read their input, in bytes per second (default: no limit).
    /// A new limit counts within a quarter of a second.
    pub fn set_max_rate(&self, rate: Option<u64>) {
        self.inner.throttle.set(rate.unwrap_or(0));
    }

    /// Adds bytes of the input that were skipped to the bytes read.
    pub fn pass(&self, bytes: u64) {
        RunCounters::add(&self.tally().bytes, bytes);
    }

    /// The progress so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let counts = self.inner.tally.counts();
        let waits = self.inner.waits();
        let current = waits.since.map_or(Duration::ZERO, |since| since.elapsed());
        Progress { bytes: counts.bytes, waited: waits.ended.saturating_add(current), counts }
    }

    /// The reader begins to wait for its input.
    pub(crate) fn wait_for_input(&self) -> InputWait<'_> {
        self.inner.waits().since = Some(Instant::now());
        InputWait(&self.inner)
    }

    /// The time since some moment.
    pub(crate) fn now(&self) -> Duration {
        self.inner.throttle.now()
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.inner.throttle
    }

    pub(crate) fn tally(&self) -> &RunCounters {
        &self.inner.tally
    }

    /// Whether the run must end.
    pub(crate) fn is_ending(&self) -> bool {
        self.is_cancelled() || self.inner.stopped.load(Ordering::Relaxed)
    }

    /// A run begins. A wake-up for an earlier run is removed, unless this run must end too.
    pub(crate) fn begin(&self) {
        match self.inner.wake.read() {
            // EAGAIN: there was no wake-up.
            Ok(_) | Err(Errno::EAGAIN | _) => {}
        }
        // A later request wakes the reader again, and an earlier one has set its flag.
        if self.inner.cancelled.load(Ordering::SeqCst) || self.inner.stopped.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wakes the reader if it waits for input.
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

impl RunCounters {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Sets all counters, for a run that starts over.
    pub(crate) fn set(&self, counts: Counts) {
        let Counts { commands, bytes, bytes_written, encoded_writes, fallback_writes, plain_writes, clones, files } =
            counts;
        for (counter, value) in [
            (&self.commands, commands),
            (&self.bytes, bytes),
            (&self.bytes_written, bytes_written),
            (&self.encoded_writes, encoded_writes),
            (&self.fallback_writes, fallback_writes),
            (&self.plain_writes, plain_writes),
            (&self.clones, clones),
            (&self.files, files),
        ] {
            counter.store(value, Ordering::Relaxed);
        }
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
