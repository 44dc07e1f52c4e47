//! Deletions in the background, which continue after an interruption; and why a snapshot is not deleted.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::{LostIncrement, SnapshotPlace, increment, uuids_of};
use crate::backups::{Identity, MOST_DELETED, SnapshotOnDrive};
use crate::blocking::local;
use crate::deletion_orders::{DeletionOrder, OrderPlace};
use crate::drives::DriveId;
use crate::jobs::{Chosen, DeleteBesideSource, DeleteJob, Job, JobHandle, Refusal, refusal_of_run, runs};
use crate::service::Service;
use crate::types::{DriveState, Error, ErrorCode, JobState};

/// A deletion that was interrupted so often since the start of the service
const SOON: usize = 8;
/// is tried again after this time only.
const LATER: Duration = Duration::from_secs(60);

impl Service {
    /// Deletes these snapshots, known by their uuids, in the background: also if the service or the drive goes away meanwhile, after
    /// the next start or plug. With `force` also those that are the parent of the next increment.
    ///
    /// # Errors
    /// Then none is deleted. `NotFound`; `NotAllowed`: this machine did not make it; `Held`; `Shared`: without `force`; `Busy`.
    pub async fn delete_snapshots(
        &self,
        place: &SnapshotPlace,
        snapshots: &[String],
        force: bool,
        uid: u32,
    ) -> Result<JobHandle, Error> {
        let wanted = uuids_of(snapshots)?;
        let rows = self.list_snapshots_at(place).await?;
        let runs = runs(&wanted, &rows);
        let wanted = runs.concat();
        for run in &runs {
            match refusal_of_run(run, &rows, force) {
                None => {}
                Some((Refusal::Shared, Some(row))) => return Err(self.shared(place, &wanted, &rows, row).await),
                Some((Refusal::Missing, _) | (_, None)) => return Err(missing()),
                Some((refused, Some(row))) => return Err(refused_error(&refused, row)),
            }
        }
        if wanted.len() > MOST_DELETED {
            return Err(Error::InvalidArgs(format!("the runs have more than {MOST_DELETED} snapshots; name fewer")));
        }
        let order = DeletionOrder {
            place: match place {
                SnapshotPlace::Destination(id) => OrderPlace::Drive(self.0.manager.named(id.as_str()).to_string()),
                SnapshotPlace::Source(backup) => OrderPlace::Source(backup.clone()),
            },
            snapshots: wanted,
            force,
            uid,
        };
        let (orders, recorded) = (self.0.deletions.clone(), order.clone());
        let written = local(move || orders.add(recorded)).await.unwrap_or_else(|lost| Err(std::io::Error::other(lost)));
        let id = match written {
            Ok(Some(id)) => id,
            Ok(None) => {
                let text = "too many deletions wait for their drives; cancel one, or plug the drives in";
                return Err(Error::new(ErrorCode::Busy, text));
            }
            Err(error) => {
                let text = format!("cannot record the request: {error}; check the disk of the state directory");
                return Err(Error::new(ErrorCode::Failed, text));
            }
        };
        match self.begin_deletion(id, order).await {
            Ok(handle) => Ok(handle),
            Err(error) => {
                self.end_deletion(id).await;
                Err(error)
            }
        }
    }

    /// Makes a job of a recorded request, and follows it to its end.
    async fn begin_deletion(&self, id: Uuid, order: DeletionOrder) -> Result<JobHandle, Error> {
        let DeletionOrder { place, snapshots, force, uid } = order;
        let (jobs, manager, chosen) = (&self.0.jobs, &self.0.manager, Chosen { snapshots, force });
        let handle = match place {
            OrderPlace::Drive(drive) => {
                let drive = self.about(DriveId(drive))?;
                let reservation = manager.reserve(&drive.id);
                jobs.start(DeleteJob { reservation, drive, chosen, uid }).await?
            }
            OrderPlace::Source(backup) => {
                jobs.start(DeleteBesideSource { manager: manager.clone(), backup, chosen, uid }).await?
            }
        };
        let (service, mut job) = (self.clone(), handle.job.clone());
        tokio::spawn(async move {
            // A scheduler that has ended has ended the service.
            let Ok(end) = job.wait_for(Job::has_ended).await.map(|end| end.clone()) else { return };
            if is_done(&end, service.0.deletions.is_ending()) {
                service.end_deletion(id).await;
            } else {
                service.wait_again(id).await;
            }
        });
        Ok(handle)
    }

    /// A recorded deletion waits for its place again. The first times it may begin at once: the drive may be plugged in already.
    async fn wait_again(&self, id: Uuid) {
        if self.0.deletions.attempts(id) > SOON {
            sleep(LATER).await;
        }
        self.0.deletions.set_waiting(id);
    }

    async fn end_deletion(&self, id: Uuid) {
        let orders = self.0.deletions.clone();
        if local(move || orders.remove(id)).await.is_err() {
            tracing::warn!("the record of a deletion stays until the next start");
        }
    }

    /// Begins the recorded deletions again whose place is there: those that the end of the service or an unplug interrupted.
    pub(crate) async fn begin_deletions(&self) {
        for (id, order) in self.0.deletions.waiting() {
            if !self.can_delete_at(&order.place) || !self.0.deletions.set_begun(id) {
                continue;
            }
            tracing::info!("a deletion of {} snapshots that was interrupted begins again", order.snapshots.len());
            if let Err(error) = self.begin_deletion(id, order).await {
                tracing::warn!("a deletion that was interrupted cannot begin again: {error}");
                let service = self.clone();
                tokio::spawn(async move { service.wait_again(id).await });
            }
        }
    }

    fn can_delete_at(&self, place: &OrderPlace) -> bool {
        match place {
            OrderPlace::Drive(drive) => {
                let id = DriveId(drive.clone());
                let shown = self.0.manager.drive(&id);
                self.0.manager.volume_name(&id).is_some()
                    || shown.is_some_and(|drive| {
                        let is_open = match drive.is.state {
                            DriveState::Present | DriveState::Unlocked | DriveState::Mounted | DriveState::Busy => true,
                            DriveState::Locked | DriveState::Safe | DriveState::Away => false,
                        };
                        is_open && drive.is.enrolled && !drive.device.is_empty()
                    })
            }
            OrderPlace::Source(backup) => self.0.manager.rule(backup).is_some(),
        }
    }

    /// The error for a snapshot that is the parent of the next increment, with what that would cost.
    async fn shared(
        &self,
        place: &SnapshotPlace,
        deleted: &[Identity],
        rows: &[SnapshotOnDrive],
        row: &SnapshotOnDrive,
    ) -> Error {
        let lost = self.lost_parents(place, deleted, rows);
        let Some(lost) = lost.into_iter().find(|lost| lost.snapshot == row.uuid) else {
            let text = format!("the snapshot {} is needed for the next increment; delete it with force", shown(row));
            return Error::new(ErrorCode::Shared, text);
        };
        // The refusal does not depend on the number.
        let measured = self.measure(place, vec![row.uuid]).await.unwrap_or_default();
        Error::new(ErrorCode::Shared, shared_text(row, &increment(lost, &measured)))
    }
}

/// Whether a request ends with this job. It does not if the drive was unplugged, or the service ended.
fn is_done(end: &Job, is_ending: bool) -> bool {
    let code = end.failure.as_ref().map(|failure| failure.name);
    match end.state {
        JobState::Succeeded => true,
        JobState::Cancelled => !is_ending,
        JobState::Failed | JobState::Queued | JobState::Running | JobState::Flushing => {
            code != Some(ErrorCode::DeviceGone)
        }
    }
}

pub(super) fn shared_text(row: &SnapshotOnDrive, lost: &LostIncrement) -> String {
    let LostIncrement { backup, destination, is_full, bytes } = lost;
    let size = bytes.map_or_else(String::new, |bytes| format!(" of about {} MiB", bytes.div_ceil(1 << 20)));
    let next = if *is_full {
        format!("the next backup there is a full one{size}")
    } else {
        format!(
            "the next backup there starts from an older shared snapshot, or is a full one{size} if the other side has none"
        )
    };
    format!(
        "the snapshot {} is the parent of the next increment of the backup \"{}\" to \"{}\"; without it {next}. To delete it \
         nevertheless, use --force (the option force)",
        shown(row),
        backup.escape_debug(),
        destination.escape_debug()
    )
}

pub(super) fn refused_error(refused: &Refusal, row: &SnapshotOnDrive) -> Error {
    let name = shown(row);
    match refused {
        Refusal::Held(hold) => {
            let reason =
                if hold.reason.is_empty() { String::new() } else { format!(" ({})", hold.reason.escape_debug()) };
            let text = format!("the snapshot {name} is held{reason}; release it first: butterdock snapshots release");
            Error::new(ErrorCode::Held, text)
        }
        Refusal::NotOurs => {
            let text = format!(
                "this machine did not make the snapshot {name}, or it was changed since, so it is not deleted; delete it on the \
                 machine that made it, or as root with btrfs subvolume delete"
            );
            Error::new(ErrorCode::NotAllowed, text)
        }
        Refusal::OfRun => {
            let text = format!(
                "the snapshot {name} was made together with a snapshot of the backup's source, and they are deleted together: \
                 delete the snapshot of the source"
            );
            Error::new(ErrorCode::NotAllowed, text)
        }
        Refusal::Missing | Refusal::Shared => missing(),
    }
}

/// The name of a snapshot, for those who may know it.
pub(super) fn shown(row: &SnapshotOnDrive) -> String {
    row.name.escape_ascii().to_string()
}

pub(super) fn missing() -> Error {
    let text = "there is no such snapshot there; butterdock snapshots lists the snapshots";
    Error::new(ErrorCode::NotFound, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{About, JobError, Total};
    use crate::types::Trigger;

    #[test]
    fn a_request_is_done_unless_the_drive_or_the_service_went_away() {
        let about = About { kind: crate::types::JobKind::Delete, volume: None, drive: None, backup: None };
        let end = |state, code: Option<ErrorCode>| {
            let failure = code.map(|code| JobError::plain(code, "x"));
            Job { state, failure, ..Job::new(Uuid::nil(), about.clone(), Trigger::User(0), 0, Total::UNKNOWN) }
        };
        for (state, code, ending, done) in [
            (JobState::Succeeded, None, false, true),
            (JobState::Cancelled, Some(ErrorCode::Cancelled), false, true),
            (JobState::Cancelled, Some(ErrorCode::Cancelled), true, false),
            (JobState::Failed, Some(ErrorCode::DeviceGone), false, false),
            (JobState::Failed, Some(ErrorCode::Held), false, true),
            (JobState::Failed, Some(ErrorCode::ReadOnly), false, true),
        ] {
            assert_eq!(is_done(&end(state, code), ending), done, "{state} {code:?}");
        }
    }
}
