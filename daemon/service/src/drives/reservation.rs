//! Who needs a drive, and what happens when the last of them needs it no more.
//!
//! A job reserves its drive from when it is accepted until it has ended, also while it is queued; so do the backups
//! that a plug begins, until they are jobs. A lease is a reservation of a drive that is mounted. The end of the last
//! reservation releases the drive, and nothing else does but [`DriveManager::safely_remove`].

use tokio::runtime::Handle;

use crate::config::OnFinish;
use crate::types::{Condition, Error};

use super::DriveId;
use super::drive_lock::answer;
use super::manager::DriveManager;

/// A reference that keeps a mounted drive mounted.
#[derive(Debug)]
pub(crate) struct DriveReservation {
    manager: DriveManager,
    id: DriveId,
    is_of_job: bool,
    has_ended: bool,
}

/// What the end of a reservation depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReleaseInput {
    /// Other reservations.
    pub(super) reserved: usize,
    /// A lease mounted the drive, a job used it, or its last release failed.
    pub(super) due: bool,
    /// A person mounted it.
    pub(super) kept: bool,
    /// A person asked for its removal, which failed.
    pub(super) unremoved: bool,
    /// The backups of its plug begin next.
    pub(super) backups_begin: bool,
    pub(super) on_finish: OnFinish,
}

/// The action on a drive when its last reservation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterUse {
    /// It is as it was: others need it, or nothing was done with it.
    Unchanged,
    /// It stays mounted, because a person or the configuration wants that.
    Kept,
    /// It is unmounted and locked, and switched off where that is configured.
    Released { switched_off: bool },
}

/// Decides the action on a drive when its last reservation ends.
pub(super) fn after_use(input: ReleaseInput) -> AfterUse {
    let ReleaseInput { reserved, due, kept, unremoved, backups_begin, on_finish } = input;
    if reserved > 0 || !due || backups_begin {
        return AfterUse::Unchanged;
    }
    match on_finish {
        _ if unremoved => AfterUse::Released { switched_off: true },
        _ if kept => AfterUse::Kept,
        OnFinish::Keep => AfterUse::Kept,
        OnFinish::Unmount => AfterUse::Released { switched_off: false },
        OnFinish::PowerOff => AfterUse::Released { switched_off: true },
    }
}

impl DriveManager {
    /// Reserves a drive for what a caller asks for.
    pub(crate) fn reserve(&self, id: &DriveId) -> DriveReservation {
        self.lock().reserve(id);
        self.reserved(id)
    }

    /// The reservation of a drive that is counted already.
    pub(super) fn reserved(&self, id: &DriveId) -> DriveReservation {
        DriveReservation { manager: self.clone(), id: id.clone(), is_of_job: false, has_ended: false }
    }
}

impl DriveReservation {
    /// The drives.
    pub(crate) fn manager(&self) -> &DriveManager {
        &self.manager
    }

    /// A job was accepted that uses the drive: it is released afterwards also where it was mounted before.
    pub(crate) fn set_of_job(&mut self) {
        self.is_of_job = true;
    }

    /// Ends it. Where it was the last one, this returns when the drive is released, with its condition then; None where the
    /// drive is not released now.
    ///
    /// # Errors
    /// The drive cannot be released: it is not safe to unplug. It is tried again.
    pub(crate) async fn end(mut self) -> Result<Option<Condition>, Error> {
        if !self.is_last() {
            return Ok(None);
        }
        let (manager, id) = (self.manager.clone(), self.id.clone());
        answer(async move { manager.release_unreserved(&id).await }).await
    }

    /// Counts it no more. Answers whether it was the last one.
    fn is_last(&mut self) -> bool {
        if std::mem::replace(&mut self.has_ended, true) {
            return false;
        }
        let mut table = self.manager.lock();
        if self.is_of_job
            && let Some(entry) = table.entries.get_mut(&self.id)
        {
            entry.due |= entry.mount.is_some();
        }
        table.end_reservation(&self.id)
    }
}

impl Drop for DriveReservation {
    fn drop(&mut self) {
        // Without a runtime the service has ended.
        if self.is_last()
            && let Ok(runtime) = Handle::try_current()
        {
            let (manager, id) = (self.manager.clone(), self.id.clone());
            // What goes wrong is the drive's problem, and is in the journal.
            runtime.spawn(async move { drop(manager.release_unreserved(&id).await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reservation_releases_the_drive() {
        const OFF: AfterUse = AfterUse::Released { switched_off: true };
        const UNMOUNTED: AfterUse = AfterUse::Released { switched_off: false };
        let last = ReleaseInput {
            reserved: 0,
            due: true,
            kept: false,
            unremoved: false,
            backups_begin: false,
            on_finish: OnFinish::Unmount,
        };
        let table = [
            ("the last one ends", last, UNMOUNTED),
            ("it is configured so", ReleaseInput { on_finish: OnFinish::PowerOff, ..last }, OFF),
            ("it stays mounted", ReleaseInput { on_finish: OnFinish::Keep, ..last }, AfterUse::Kept),
            ("a job waits, or a listing has not ended", ReleaseInput { reserved: 1, ..last }, AfterUse::Unchanged),
            ("it was mounted before the look", ReleaseInput { due: false, ..last }, AfterUse::Unchanged),
            ("its plug's backups begin", ReleaseInput { backups_begin: true, ..last }, AfterUse::Unchanged),
            ("its removal failed", ReleaseInput { kept: true, unremoved: true, ..last }, OFF),
            (
                "its removal failed, and a job waits",
                ReleaseInput { unremoved: true, reserved: 1, ..last },
                AfterUse::Unchanged,
            ),
            ("a person mounted it", ReleaseInput { kept: true, ..last }, AfterUse::Kept),
            ("by a person, with a job", ReleaseInput { kept: true, reserved: 1, ..last }, AfterUse::Unchanged),
            (
                "by a person, to be switched off",
                ReleaseInput { kept: true, on_finish: OnFinish::PowerOff, ..last },
                AfterUse::Kept,
            ),
        ];
        for (what, input, expected) in table {
            assert_eq!(after_use(input), expected, "{what}");
        }
    }
}
