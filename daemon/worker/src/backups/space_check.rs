//! Whether a transfer has room: looked at before it, by an estimate where that comes in time, and again when it comes later.

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

use super::deleted::Deleted;
use super::error::BackupError;
use super::estimate::Estimate;
use super::room::{Need, Short, fits};
use super::send::{Stream, no_pipe};
use super::task::BackupEvent;

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
    /// So long an estimate is waited for.
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
    /// Where nobody can tell how much there is.
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

    /// An estimate that fails is missed by nobody: the transfer says what is wrong.
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
        // The transfer goes on already. What it has brought is in the estimate, and the room is that of before it.
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
