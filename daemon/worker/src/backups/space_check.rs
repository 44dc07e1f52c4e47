//! Whether a transfer fits: checked before it where the estimate is ready in time, and again when a late estimate arrives.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use butterdock_btrfs::Error as Fault;
use butterdock_btrfs::best_effort;
use butterdock_btrfs::space::{self, Space};
use butterdock_receive::{Control, ErrorKind, Outcome, sweep};

use super::error::BackupError;
use super::estimate::Estimate;
use super::prune::Deleted;
use super::task::BackupEvent;
use super::transfer::{Stream, no_pipe};

/// An estimate that takes longer is made beside the transfer. Where many files make it take that long, waiting for the rest of
/// a second costs a tenth of the whole backup, and brings it in few cases.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);

/// What is to be sent, and where to.
#[derive(Clone, Copy)]
pub(super) struct SpaceCheck<'p> {
    pub stream: &'p Stream<'p>,
    /// The id of the snapshot.
    pub id: u64,
    /// The transaction after which everything is new.
    pub since: u64,
    pub destination: BorrowedFd<'p>,
    /// The timeout of the estimate.
    pub patience: Duration,
    pub control: &'p Control,
    pub tell: &'p (dyn Fn(BackupEvent) + Sync),
    pub words: Words,
}

/// What is said of the destination.
#[derive(Clone, Copy)]
pub(super) struct Words {
    /// Where there is too little room.
    pub too_small: fn(Short) -> BackupError,
    /// Where the free space is unknown.
    pub unseen: fn(Fault) -> BackupError,
}

impl SpaceCheck<'_> {
    /// Has `transfer` done where there is room. An estimate that comes too late, and says that there is none, ends it.
    pub(super) fn transfer(
        &self,
        estimated: &OnceLock<Estimate>,
        transfer: impl FnOnce() -> Result<Outcome, BackupError>,
    ) -> Result<Outcome, BackupError> {
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
                    // The other end waits no longer than it is patient.
                    best_effort(done.send(()));
                })
                .map_err(|error| no_pipe(&error))?;
            match wait.recv_timeout(self.patience) {
                Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
            }
            let transferred = self.look(estimated, &before).and_then(|()| transfer());
            stopped.store(true, Ordering::Relaxed);
            transferred
        });
        // It may have been stopped when it was over.
        self.control.resume();
        match (transferred, late.into_inner()) {
            (Err(BackupError::Receive(failure)), Some(short))
                if failure.error.kind() == ErrorKind::Cancelled && !self.control.is_cancelled() =>
            {
                Err((self.words.too_small)(short))
            }
            (transferred, _) => transferred,
        }
    }

    /// Whether there is room for what is needed, as far as that is known, and how much there is; none where more is given back
    /// meanwhile and nobody can tell.
    ///
    /// What killed runs left makes room before it is looked at. Where there is too little, what was deleted a moment ago is
    /// written down, which frees it, and what deleted subvolumes have not given back yet is waited for, as it is where nobody
    /// knows; where that takes too long the transfer begins, and finds out.
    pub(super) fn look_for(&self, need: impl Fn() -> Option<Need>) -> Result<Option<Space>, BackupError> {
        // Where this fails, the receiver, which begins with it, says why.
        best_effort(sweep(self.destination));
        let mut deleted = Deleted::all(self.destination).map_err(self.words.unseen)?;
        if fits(&self.space()?, need().unwrap_or_default()).is_err() {
            space::wake_cleaner(self.destination).map_err(self.words.unseen)?;
        }
        loop {
            let (space, need) = (self.space()?, need());
            // At least there must be room for what a filesystem needs to work.
            let room = fits(&space, need.unwrap_or_default());
            if deleted.is_free() {
                return room.map(|()| Some(space)).map_err(self.words.too_small);
            }
            if (need.is_some() && room.is_ok()) || deleted.is_late() || self.control.is_cancelled() {
                return Ok(None);
            }
            deleted.wait_a_moment().map_err(self.words.unseen)?;
        }
    }

    /// A failed estimate is ignored: the transfer reports the error.
    fn estimate(
        &self,
        estimated: &OnceLock<Estimate>,
        before: &Mutex<Option<Space>>,
        stopped: &AtomicBool,
        late: &OnceLock<Short>,
    ) {
        let Ok(Some(estimate)) = Estimate::make(self.stream, self.id, self.since, stopped) else { return };
        (self.tell)(estimated_event(&estimate));
        let before = lock(before);
        estimated.get_or_init(|| estimate);
        // The transfer has begun. The estimate includes the bytes that it has written, so the free space is that from
        // before it.
        if let Some(space) = *before
            && let Err(short) = fits(&space, Need::of(&estimate))
        {
            late.get_or_init(|| short);
            self.control.stop();
        }
    }

    /// Looks for room, and leaves what there is to an estimate that comes later.
    fn look(&self, estimated: &OnceLock<Estimate>, before: &Mutex<Option<Space>>) -> Result<(), BackupError> {
        let need = || estimated.get().map(Need::of);
        let space = self.look_for(need)?;
        let mut before = lock(before);
        if let (Some(space), Some(need)) = (&space, need()) {
            // It may have come just now.
            fits(space, need).map_err(self.words.too_small)?;
        }
        *before = space;
        Ok(())
    }

    fn space(&self) -> Result<Space, BackupError> {
        space::space(self.destination).map_err(self.words.unseen)
    }
}

fn lock(before: &Mutex<Option<Space>>) -> MutexGuard<'_, Option<Space>> {
    before.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn estimated_event(estimate: &Estimate) -> BackupEvent {
    BackupEvent::Estimated { bytes: estimate.bytes() }
}

/// What a backup needs of a drive, in bytes as files see them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub data: u64,
    pub metadata: u64,
}

/// The figures of a drive that is too small, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    /// What would be needed, with what must be left over.
    pub needed: u64,
    /// The space for it.
    pub free: u64,
}

impl Need {
    /// What an estimated stream takes. Names and attributes take about twice as much in the trees as in the stream, and each
    /// extent has its place, its references and its checksums.
    pub(super) fn of(estimate: &Estimate) -> Self {
        let data = estimate.data.min(estimate.stored);
        Self { data, metadata: estimate.commands.saturating_mul(2).saturating_add(data / 256) }
    }
}

/// Whether `need` fits.
pub(super) fn fits(space: &Space, need: Need) -> Result<(), Short> {
    let Space { data, metadata, reserve: _, unallocated } = *space;
    let (headroom, metadata_free) = (space.metadata_kept(), space.metadata_free());
    let metadata_need = need.metadata.saturating_add(headroom);
    let mixed = data == metadata;
    let beyond = if mixed {
        let need = need.data.saturating_add(metadata_need).saturating_sub(metadata_free);
        need.saturating_mul(data.copies.max(1))
    } else {
        let data_short = need.data.saturating_sub(data.free()).saturating_mul(data.copies.max(1));
        let metadata_short = metadata_need.saturating_sub(metadata_free).saturating_mul(metadata.copies.max(1));
        data_short.saturating_add(metadata_short)
    };
    if beyond <= unallocated {
        return Ok(());
    }
    let mirrors = data.copies.max(1);
    let free = if mixed { metadata_free } else { data.free() };
    Err(Short {
        needed: need.data.saturating_add(need.metadata).saturating_add(headroom),
        free: free.saturating_add(unallocated / mirrors),
    })
}

#[cfg(test)]
mod tests {
    use butterdock_btrfs::space::Kind;

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
    fn data_grows_into_what_is_not_given_out() {
        assert_eq!(fits(&drive(GIB, GIB, 0), need(GIB)), Ok(()));
        assert_eq!(fits(&drive(0, GIB, GIB), need(GIB)), Ok(()));
        assert!(fits(&drive(0, GIB, GIB / 2), need(GIB)).is_err());
    }

    #[test]
    fn room_for_data_does_not_help_when_metadata_is_full() {
        assert!(fits(&drive(100 * GIB, 0, 0), need(MIB)).is_err());
        assert!(fits(&drive(100 * GIB, 0, 200 * MIB), need(MIB)).is_err(), "both copies need room");
        assert_eq!(fits(&drive(100 * GIB, 0, 2 * GIB), need(MIB)), Ok(()));
    }

    #[test]
    fn what_the_kernel_holds_back_is_not_free() {
        let full = Space { reserve: 500 * MIB, ..drive(GIB, 520 * MIB, 0) };
        assert!(fits(&full, need(MIB)).is_err());
        assert_eq!(fits(&Space { reserve: 0, ..full }, need(MIB)), Ok(()));
    }

    #[test]
    fn the_figures_are_those_of_the_drive() {
        let short = fits(&drive(GIB, GIB, GIB), need(5 * GIB)).expect_err("too small");
        assert_eq!(short.free, 2 * GIB);
        assert!(short.needed > 5 * GIB);
    }
}
