//! Subvolumes that are deleted, and whose space is not free yet: it is given back in the background.

use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use butterdock_btrfs::{Error as Fault, roots, space, subvolumes};
use butterdock_receive::Control;

/// Those of a filesystem.
#[derive(Debug)]
pub(super) struct Deleted<'f> {
    folder: BorrowedFd<'f>,
    ids: Vec<u64>,
    /// When it is not worth waiting for them any more.
    late: Instant,
}

/// So long their space is waited for,
const PATIENCE: Duration = Duration::from_secs(120);
/// looking this often.
const PAUSE: Duration = Duration::from_millis(100);

impl<'f> Deleted<'f> {
    /// All of the filesystem under `folder`.
    pub(super) fn all(folder: BorrowedFd<'f>) -> Result<Self, Fault> {
        // Its place goes at once; that nothing refers to it any more is only written with the next commit.
        let all = subvolumes::all(folder)?.into_iter();
        Ok(Self::these(
            folder,
            all.filter(|subvolume| subvolume.place.is_none()).map(|subvolume| subvolume.id).collect(),
        ))
    }

    /// These of it.
    pub(super) fn these(folder: BorrowedFd<'f>, ids: Vec<u64>) -> Self {
        Self { folder, ids, late: Instant::now() + PATIENCE }
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_free(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether it takes too long.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.late
    }

    /// Waits until all is free, or too long, or until the job is cancelled.
    pub(super) fn wait(&mut self, control: &Control) -> Result<(), Fault> {
        while !self.is_free() && !self.is_late() && !control.is_cancelled() {
            self.wait_a_moment()?;
        }
        Ok(())
    }

    /// Looks which are left, after a while.
    pub(super) fn wait_a_moment(&mut self) -> Result<(), Fault> {
        space::wake_cleaner(self.folder)?;
        sleep(PAUSE);
        let mut left = Vec::new();
        for &id in &self.ids {
            if roots::root_item(self.folder, id)?.is_some() {
                left.push(id);
            }
        }
        self.ids = left;
        if self.is_free() {
            // What was given back can be used after a commit.
            space::wake_cleaner(self.folder)?;
        }
        Ok(())
    }
}
