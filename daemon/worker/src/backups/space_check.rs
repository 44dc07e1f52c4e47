//! Whether a transfer fits on the destination. It is checked before the transfer if the estimate is ready in time, and again
//! when a late estimate arrives.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use butterdock_btrfs::space::{self, Kind, Space};
use butterdock_btrfs::{Error as Fault, best_effort};
use butterdock_receive::{Control, ErrorKind, Observer, sweep};

use super::error::BackupError;
use super::freed_space_wait::DeletedSubvolumes;
use super::stream::{Estimate, Stream, no_pipe};
use super::task::BackupEvent;

/// A transfer waits this long for the estimate, and then begins. With so many files that the estimate takes longer, waiting for
/// the rest of a second takes a tenth of the time of the whole backup, and the estimate is rarely ready then.
pub(crate) const ESTIMATE_TIMEOUT: Duration = Duration::from_millis(250);

/// The space check of the transfers of a run.
#[derive(Clone, Copy)]
pub(super) struct SpaceCheck<'p> {
    pub streams: &'p [Stream<'p>],
    pub destination: BorrowedFd<'p>,
    /// The transfer waits this long for the estimate.
    pub estimate_timeout: Duration,
    pub control: &'p Control,
    /// Gets warnings.
    pub observer: &'p dyn Observer,
    pub report: &'p (dyn Fn(BackupEvent) + Sync),
    pub errors: SpaceErrors,
}

/// The errors about the destination.
#[derive(Clone, Copy)]
pub(super) struct SpaceErrors {
    /// There is too little space.
    pub too_small: fn(Shortage) -> BackupError,
    /// The free space cannot be read.
    pub unknown: fn(Fault) -> BackupError,
}

impl SpaceCheck<'_> {
    /// Calls `transfer` if there is enough space. A late estimate that does not fit stops the transfer.
    pub(super) fn transfer<T>(
        &self,
        estimated: &OnceLock<Estimate>,
        transfer: impl FnOnce() -> Result<T, BackupError>,
    ) -> Result<T, BackupError> {
        let (before, stopped, late) = (Mutex::new(None), AtomicBool::new(false), OnceLock::new());
        let transferred = std::thread::scope(|threads| {
            let (done, wait) = channel();
            let estimate = || {
                if estimated.get().is_none() {
                    self.estimate(estimated, &before, &stopped, &late);
                }
            };
            Builder::new()
                .name("estimate".to_owned())
                .spawn_scoped(threads, move || {
                    estimate();
                    // The receiver is closed after the timeout.
                    best_effort(done.send(()));
                })
                .map_err(|error| no_pipe(&error))?;
            match wait.recv_timeout(self.estimate_timeout) {
                Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
            }
            let transferred = self.check(estimated, &before).and_then(|()| transfer());
            stopped.store(true, Ordering::Relaxed);
            transferred
        });
        // A late estimate may have stopped it after its end.
        self.control.resume();
        match (transferred, late.into_inner()) {
            (Err(BackupError::Receive(failure)), Some(shortage))
                if failure.error.kind() == ErrorKind::Cancelled && !self.control.is_cancelled() =>
            {
                Err((self.errors.too_small)(shortage))
            }
            (transferred, _) => transferred,
        }
    }

    /// Waits for enough space, and returns the space of the destination; `None` if the kernel is still freeing space, so that
    /// the free space is unknown. Without a known need, the filesystem's own minimum must be free.
    ///
    /// First the leftovers of killed runs are swept. If there is too little space, a commit makes recently deleted subvolumes
    /// free theirs, and this function waits for it, also while the need is unknown. After a timeout the transfer begins, and
    /// fails if the space is too small.
    pub(super) fn wait_for_space(&self, need: impl Fn() -> Option<Need>) -> Result<Option<Space>, BackupError> {
        // An error is ignored: the receiver begins with the same step, and reports it.
        best_effort(sweep(self.destination));
        let mut deleted = DeletedSubvolumes::all(self.destination).map_err(self.errors.unknown)?;
        if fits(&self.space()?, need().unwrap_or_default()).is_err() {
            space::wake_cleaner(self.destination).map_err(self.errors.unknown)?;
        }
        loop {
            let (space, need) = (self.space()?, need());
            let room = fits(&space, need.unwrap_or_default());
            if deleted.is_free() {
                return room.map(|()| Some(space)).map_err(self.errors.too_small);
            }
            if (need.is_some() && room.is_ok()) || deleted.is_late() || self.control.is_cancelled() {
                return Ok(None);
            }
            deleted.check_after_pause().map_err(self.errors.unknown)?;
        }
    }

    /// Makes the estimate. An error is ignored: the transfer reports it.
    fn estimate(
        &self,
        estimated: &OnceLock<Estimate>,
        before: &Mutex<Option<Space>>,
        stopped: &AtomicBool,
        late: &OnceLock<Shortage>,
    ) {
        let Ok(Some(estimate)) = Estimate::make(self.streams, stopped) else { return };
        (self.report)(estimated_event(&estimate));
        let before = lock(before);
        estimated.get_or_init(|| estimate);
        // The transfer has begun. The estimate includes the bytes that it has already written, so it is compared with the space
        // before the transfer.
        if let Some(space) = *before {
            self.warn(&space, &estimate);
            if let Err(shortage) = fits(&space, Need::of(&estimate)) {
                late.get_or_init(|| shortage);
                self.control.stop();
            }
        }
    }

    /// Warns if an estimate that is an upper bound does not fit.
    fn warn(&self, space: &Space, estimate: &Estimate) {
        if let Err(Shortage { needed, free, .. }) = fits(space, Need::at_most(estimate))
            && estimate.is_upper_bound
        {
            self.observer.warning(&format!(
                "the source has so many fragments that it is not known how much of its data is shared; up to {} MiB are needed \
                 and {} MiB are free, so the transfer may not fit",
                needed.div_ceil(1 << 20),
                free >> 20
            ));
        }
    }

    /// Checks the space, and keeps it for an estimate that comes later.
    fn check(&self, estimated: &OnceLock<Estimate>, before: &Mutex<Option<Space>>) -> Result<(), BackupError> {
        let need = || estimated.get().map(Need::of);
        let space = self.wait_for_space(need)?;
        let mut before = lock(before);
        if let (Some(space), Some(estimate)) = (&space, estimated.get()) {
            self.warn(space, estimate);
            // The estimate may have come meanwhile.
            fits(space, Need::of(estimate)).map_err(self.errors.too_small)?;
        }
        *before = space;
        Ok(())
    }

    fn space(&self) -> Result<Space, BackupError> {
        space::space(self.destination).map_err(self.errors.unknown)
    }
}

fn lock(before: &Mutex<Option<Space>>) -> MutexGuard<'_, Option<Space>> {
    before.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn estimated_event(estimate: &Estimate) -> BackupEvent {
    BackupEvent::Estimated { bytes: estimate.bytes() }
}

/// The space that a transfer needs, in bytes before replication.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub data: u64,
    pub metadata: u64,
}

/// Too little space, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shortage {
    /// The needed space, including the headroom that must stay free.
    pub needed: u64,
    /// The free space.
    pub free: u64,
    /// Both are of metadata, otherwise of data.
    pub metadata: bool,
}

impl Need {
    /// The need of an estimated stream. Names and attributes take about twice as much in the trees as in the stream, and each
    /// extent has a tree item, references and checksums.
    pub(super) fn of(estimate: &Estimate) -> Self {
        let need = Self::at_most(estimate);
        // The kernel sends shared data once, so an upper bound forbids nothing.
        if estimate.is_upper_bound { Self { data: 0, ..need } } else { need }
    }

    fn at_most(estimate: &Estimate) -> Self {
        let data = estimate.data.min(estimate.stored);
        Self { data, metadata: estimate.commands.saturating_mul(2).saturating_add(data / 256) }
    }
}

/// Whether `need` fits.
pub(super) fn fits(space: &Space, need: Need) -> Result<(), Shortage> {
    let Space { data, metadata, reserve: _, unallocated } = *space;
    let (headroom, metadata_free) = (space.metadata_kept(), space.metadata_free());
    let metadata_need = need.metadata.saturating_add(headroom);
    let data_need = need.data.saturating_add(Space::DATA_KEPT);
    let data_short = data_need.saturating_sub(data.free()).saturating_mul(data.copies.max(1));
    let mixed = data == metadata;
    let beyond = if mixed {
        let need = need.data.saturating_add(metadata_need).saturating_sub(metadata_free);
        need.saturating_mul(data.copies.max(1))
    } else {
        let metadata_short = metadata_need.saturating_sub(metadata_free).saturating_mul(metadata.copies.max(1));
        data_short.saturating_add(metadata_short)
    };
    if beyond <= unallocated {
        return Ok(());
    }
    if !mixed && data_short == 0 {
        let free = metadata_free.saturating_add(unallocated / metadata.copies.max(1));
        return Err(Shortage { needed: metadata_need, free, metadata: true });
    }
    let free = if mixed { metadata_free } else { data.free() };
    Err(Shortage {
        needed: data_need.saturating_add(need.metadata).saturating_add(headroom),
        free: free.saturating_add(unallocated / data.copies.max(1)),
        metadata: false,
    })
}

/// Whether `need` would fit if all data and metadata were deleted.
pub(super) fn fits_when_empty(space: &Space, need: Need) -> bool {
    let empty = |kind: Kind| Kind { used: 0, ..kind };
    fits(&Space { data: empty(space.data), metadata: empty(space.metadata), ..*space }, need).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    fn drive(data_free: u64, metadata_free: u64, unallocated: u64) -> Space {
        Space {
            data: Kind { total: 10 * GIB + data_free, used: 10 * GIB, copies: 1 },
            metadata: Kind { total: GIB + metadata_free, used: GIB, copies: 2 },
            reserve: 0,
            unallocated,
        }
    }

    fn need(data: u64) -> Need {
        Need { data, metadata: data / 256 }
    }

    #[test]
    fn data_grows_into_unallocated_space() {
        let kept = Space::DATA_KEPT;
        assert_eq!(fits(&drive(GIB + kept, GIB, 0), need(GIB)), Ok(()));
        assert_eq!(fits(&drive(0, GIB, GIB + kept), need(GIB)), Ok(()));
        assert!(fits(&drive(0, GIB, GIB / 2), need(GIB)).is_err());
    }

    #[test]
    fn a_backup_leaves_space_for_the_token_of_the_drive() {
        assert!(fits(&drive(GIB, GIB, 0), need(GIB)).is_err());
        assert!(fits(&drive(GIB, GIB, MIB), need(GIB)).is_err());
        assert_eq!(fits(&drive(GIB, GIB, 16 * MIB), need(GIB)), Ok(()));
    }

    #[test]
    fn free_data_space_does_not_help_full_metadata() {
        let shortage = fits(&drive(100 * GIB, 0, 0), need(MIB)).expect_err("no metadata");
        assert!(shortage.metadata && shortage.free == 0 && shortage.needed > 16 * MIB, "{shortage:?}");
        assert!(fits(&drive(100 * GIB, 0, 200 * MIB), need(MIB)).is_err(), "both copies need room");
        assert_eq!(fits(&drive(100 * GIB, 0, 2 * GIB), need(MIB)), Ok(()));
    }

    #[test]
    fn data_that_may_be_shared_forbids_nothing() {
        let estimate = Estimate { data: 9 * GIB, stored: 9 * GIB, ..Estimate::default() };
        assert!(fits(&drive(GIB, GIB, 0), Need::of(&estimate)).is_err());
        assert_eq!(fits(&drive(GIB, GIB, 0), Need::of(&Estimate { is_upper_bound: true, ..estimate })), Ok(()));
    }

    #[test]
    fn the_kernels_reserve_is_not_free() {
        let full = Space { reserve: 500 * MIB, ..drive(GIB, 520 * MIB, 0) };
        assert!(fits(&full, need(MIB)).is_err());
        assert_eq!(fits(&Space { reserve: 0, ..full }, need(MIB)), Ok(()));
    }

    #[test]
    fn what_is_larger_than_the_drive_never_fits() {
        assert!(fits_when_empty(&drive(GIB, GIB, 0), need(11 * GIB - Space::DATA_KEPT)));
        assert!(!fits_when_empty(&drive(GIB, GIB, 0), need(12 * GIB)));
    }

    #[test]
    fn the_error_has_the_figures_of_the_drive() {
        let shortage = fits(&drive(GIB, GIB, GIB), need(5 * GIB)).expect_err("too small");
        assert_eq!((shortage.free, shortage.metadata), (2 * GIB, false));
        assert!(shortage.needed > 5 * GIB);
    }
}
