//! The due backups of a plug that never became jobs, because the drive was not mounted: they are a problem when the plug ends.
//! Until then a missing device may come, or a person may unlock the drive.

use std::collections::BTreeSet;

use super::DriveId;
use super::entry::DriveEntry;
use super::manager::DriveManager;
use super::table::DriveTable;
use crate::policy::Action;
use crate::types::{Attempt, Error, ErrorCode};

/// A plug ended before its backups could begin.
#[derive(Debug)]
pub(crate) struct NotBegun {
    pub drive: DriveId,
    /// The names of the backups.
    pub backups: Vec<String>,
    /// The last reason.
    pub error: Error,
}

/// Notes why the due backups of this plug have not begun.
pub(super) fn note(action: &Action, entry: &mut DriveEntry) {
    if entry.served || entry.beginning {
        return;
    }
    entry.not_begun = match action {
        Action::Backup => None,
        Action::Refuse(sentence) | Action::Degraded { problem: sentence, .. } => Some(sentence.public().to_owned()),
        Action::AwaitSecret(_) if entry.problem.is_none() => {
            Some("the drive was not unlocked; plug it in again and unlock it (butterdock unlock)".to_owned())
        }
        // Empty while it is tried for the first time.
        Action::AwaitSecret(_) | Action::Unlock(_) | Action::Mount(_) => {
            Some(entry.problem.as_ref().map(|problem| problem.english.clone()).unwrap_or_default())
        }
        // It is as it was.
        Action::Leave | Action::Show => return,
    };
}

/// The backups of the plugs that have ended: the drive was pulled, or made safe. A drive that was mounted without
/// a missing device is not over when it is released: the device may still come.
pub(super) fn of_ended(table: &mut DriveTable, there: &BTreeSet<DriveId>) -> Vec<NotBegun> {
    let is_safe =
        |entry: &DriveEntry| entry.released && entry.safe.is_some() && (entry.removed || !entry.is_degraded());
    let is_over = |id: &DriveId, entry: &DriveEntry| !there.contains(id) || is_safe(entry);
    take(table, is_over, "the drive was unplugged before the backup could begin; plug it in again")
}

/// Takes them out, once. `untried`: the reason where nothing went wrong.
fn take(table: &mut DriveTable, is_over: impl Fn(&DriveId, &DriveEntry) -> bool, untried: &str) -> Vec<NotBegun> {
    let over = table.entries.iter_mut().filter(|(id, entry)| is_over(id, entry));
    let over: Vec<_> = over.filter_map(|(id, entry)| Some((id.clone(), entry.not_begun.take()?))).collect();
    let not_begun = over.into_iter().map(|(drive, reason)| {
        let is_settled = |name: &String| table.entries.get(&drive).is_some_and(|entry| entry.settled.contains(name));
        let backups = table.due_at_plug(&drive, false).into_iter().filter(|name| !is_settled(name)).collect();
        let error = match reason.as_str() {
            "" => Error::new(ErrorCode::DeviceGone, untried),
            reason => Error::new(ErrorCode::Failed, reason),
        };
        NotBegun { drive, backups, error }
    });
    not_begun.filter(|not_begun| !not_begun.backups.is_empty()).collect()
}

impl DriveManager {
    /// The service ends: no later one knows of these plugs.
    pub(super) fn note_all_not_begun(&self) {
        let time = self.0.clock.micros();
        let mut table = self.lock();
        let all =
            take(&mut table, |_, _| true, "the service ended before the backup could begin; plug the drive in again");
        for NotBegun { drive, backups, error } in all {
            let Some(enrolled) = drive.enrolment() else { continue };
            for backup in backups {
                table.not_done.set(enrolled, &backup, Attempt::not_begun(time, &error));
            }
        }
    }
}
