//! Waits for the space of deleted subvolumes, which the kernel frees in the background.

use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use butterdock_btrfs::{Error as Fault, roots, space, subvolume};
use butterdock_receive::Control;

/// Deleted subvolumes whose space the kernel has not freed yet.
#[derive(Debug)]
pub(super) struct DeletedSubvolumes<'f> {
    folder: BorrowedFd<'f>,
    ids: Vec<u64>,
    deadline: Instant,
}

/// The timeout for the space of deleted subvolumes.
const TIMEOUT: Duration = Duration::from_secs(120);
/// The time between two checks.
const PAUSE: Duration = Duration::from_millis(100);

impl<'f> DeletedSubvolumes<'f> {
    /// All deleted subvolumes of the filesystem that `folder` is on.
    pub(super) fn all(folder: BorrowedFd<'f>) -> Result<Self, Fault> {
        // A deleted subvolume has no place at once; its reference count is only written with the next commit.
        let all = subvolume::all(folder)?.into_iter();
        Ok(Self::these(
            folder,
            all.filter(|subvolume| subvolume.place.is_none()).map(|subvolume| subvolume.id).collect(),
        ))
    }

    /// These subvolumes of it.
    pub(super) fn these(folder: BorrowedFd<'f>, ids: Vec<u64>) -> Self {
        Self { folder, ids, deadline: Instant::now() + TIMEOUT }
    }

    /// Those whose space is not free yet.
    pub(super) fn ids(&self) -> &[u64] {
        &self.ids
    }

    /// Whether the space of all is free.
    pub(super) fn is_free(&self) -> bool {
        self.ids.is_empty()
    }

    /// Whether the timeout has passed.
    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Waits until the space of all is free, up to the timeout, or until the job is cancelled.
    pub(super) fn wait(&mut self, control: &Control) -> Result<(), Fault> {
        while !self.is_free() && !self.is_late() && !control.is_cancelled() {
            self.check_after_pause()?;
        }
        Ok(())
    }

    /// Waits until the space of all is free, up to `limit`.
    pub(super) fn wait_for(self, limit: Duration) -> Result<(), Fault> {
        let mut this = Self { deadline: Instant::now() + limit, ..self };
        while !this.is_free() && !this.is_late() {
            this.check_after_pause()?;
        }
        Ok(())
    }

    /// Waits for a short time, and then checks which are left.
    pub(super) fn check_after_pause(&mut self) -> Result<(), Fault> {
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
            // The freed space can be used after a commit.
            space::wake_cleaner(self.folder)?;
        }
        Ok(())
    }
}
