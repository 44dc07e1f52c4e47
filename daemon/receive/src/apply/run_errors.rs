//! The errors of one run, from all threads.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use butterdock_stream::Position;

use crate::control::Control;
use crate::error::{Cause, Error};

/// Collects errors, and stops the run at the limit.
#[derive(Debug)]
pub(crate) struct RunErrors {
    limit: u64,
    control: Control,
    stopped: AtomicBool,
    /// The number of the command whose error stopped the run.
    last: AtomicU64,
    /// The destination, whose space is examined at the first error: later the incomplete subvolume is deleted.
    destination: Option<OwnedFd>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    count: u64,
    /// The error that is first in the stream.
    first: Option<Error>,
}

impl RunErrors {
    /// Stops at `limit` errors; 0 never stops.
    pub(crate) fn new(limit: u64, control: Control) -> Self {
        Self {
            limit,
            control,
            stopped: AtomicBool::new(false),
            last: AtomicU64::new(u64::MAX),
            destination: None,
            found: Mutex::new(Found::default()),
        }
    }

    /// Adds the cause to an error for lack of space on the filesystem under `destination`.
    pub(crate) fn examining(self, destination: BorrowedFd<'_>) -> Self {
        // Without a descriptor the error has no cause.
        Self { destination: destination.try_clone_to_owned().ok(), ..self }
    }

    /// Adds an error. At the limit the run stops.
    pub(crate) fn report(&self, error: Error) {
        let mut found = self.found();
        found.count = found.count.saturating_add(1);
        let place = error.place.map_or(u64::MAX, |place| place.command);
        let earlier = match (&found.first, error.place) {
            (None, _) => true,
            (Some(first), Some(place)) => first.place.is_some_and(|there| place.command < there.command),
            (Some(_), None) => false,
        };
        if earlier {
            found.first = Some(match &self.destination {
                Some(destination) => error.with_space_cause(destination),
                None => error,
            });
        }
        let at_limit = self.limit != 0 && found.count >= self.limit;
        drop(found);
        if at_limit {
            self.last.fetch_min(place, Ordering::Relaxed);
            self.stop();
        }
    }

    /// Adds an error that stops the run in any case.
    pub(crate) fn report_fatal(&self, error: Error) {
        self.report(error);
        self.stop();
    }

    /// Whether the run has stopped.
    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.control.is_ending()
    }

    /// Whether the command at `place` must not be performed. Commands before the one that stopped the run are still performed:
    /// otherwise the reported error would be the first in time, not the first in the stream.
    pub(crate) fn ends_before(&self, place: Position) -> bool {
        self.control.is_ending() || place.command > self.last.load(Ordering::Relaxed)
    }

    /// Whether there was an error. Then no subvolume may be published.
    pub(crate) fn any(&self) -> bool {
        self.found().count != 0
    }

    /// The error of the run, if it had one. A complete run (`whole`) can no longer be cancelled.
    pub(crate) fn into_error(self, whole: bool) -> Option<Error> {
        let found = self.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        match (found.first, found.count) {
            _ if !whole && self.control.is_ending() => Some(Error::new(Cause::Cancelled)),
            (None, _) => None,
            (Some(first), 1) => Some(first),
            (Some(first), count) if self.limit != 1 => {
                Some(Error::new(Cause::Several { count, first: Box::new(first) }))
            }
            (Some(first), _) => Some(first),
        }
    }

    /// Stops the run, and wakes the reader if it waits for input.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.control.wake();
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
