//! Snapshots in a person's hand: to list, hold, release and delete those on a drive or beside a source.

use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use crate::backups::{Hold, Identity, LONGEST_REASON, MOST_DELETED, SnapshotOnDrive, set_hold};
use crate::blocking::{Unanswered, detached, local};
use crate::config::BackupRule;
use crate::deletion_orders::{DeletionOrder, OrderPlace};
use crate::drives::{DeletedOn, DriveId, LostParent, Need};
use crate::jobs::{
    Chosen, DeleteBesideSource, DeleteJob, Job, JobHandle, Measured, Refusal, held, refusal_of_run, runs,
};
use crate::service::Service;
use crate::types::{DestinationId, DriveState, Error, ErrorCode, JobState};

/// Timeout for writing a hold.
const HOLDING: Duration = Duration::from_secs(20);
/// A deletion that was interrupted so often since the start of the service
const SOON: usize = 8;
/// is tried again after this time only.
const LATER: Duration = Duration::from_secs(60);

/// The side of a backup where snapshots are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotPlace {
    /// On a destination.
    Destination(DestinationId),
    /// Beside the source of the backup with this name.
    Source(String),
}

/// What deleting snapshots frees and costs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeletionEstimate {
    /// The bytes of data that it frees at most; None if that takes too long to find out.
    pub bytes: Option<u64>,
    /// The backups that lose the parent of their next increment.
    pub lost_parents: Vec<LostIncrement>,
}

/// A backup that loses the parent of its next increment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostIncrement {
    /// The name of the backup.
    pub backup: String,
    /// The label of the destination.
    pub destination: String,
    /// The next backup is a full one; otherwise it starts from an older shared snapshot, if both sides still have one.
    pub is_full: bool,
    /// How many bytes a full one sends, about; None if that is not known.
    pub bytes: Option<u64>,
}

impl Service {
    /// The snapshots at a place, the newest first.
    ///
    /// # Errors
    /// The drive or the source cannot be used, or does not answer.
    pub async fn list_snapshots_at(&self, place: &SnapshotPlace) -> Result<Vec<SnapshotOnDrive>, Error> {
        match place {
            SnapshotPlace::Destination(destination) => self.list_snapshots(destination).await,
            SnapshotPlace::Source(backup) => {
                self.0.jobs.list_beside_source(&self.0.manager, &self.rule_of(backup)?).await
            }
        }
    }

    /// Holds a snapshot, known by its uuid, for a reason: no rule and no shortage of space deletes it, on no machine.
    ///
    /// # Errors
    /// `NotFound`; `ReadOnly`: the hold is written beside the snapshot; `Busy`: it is being deleted; `InvalidArgs`: the reason is
    /// too long.
    pub async fn hold_snapshot(&self, place: &SnapshotPlace, snapshot: &str, reason: &str) -> Result<(), Error> {
        if reason.len() > LONGEST_REASON || reason.chars().any(char::is_control) {
            let text = format!("a reason is a line of up to {LONGEST_REASON} bytes");
            return Err(Error::InvalidArgs(text));
        }
        let since = i64::try_from(self.0.clock.micros() / 1_000_000).unwrap_or(i64::MAX);
        let hold = Hold { reason: reason.to_owned(), since, machine: self.0.manager.machine().0 };
        self.set_hold(place, uuid_of(snapshot)?, Some(hold)).await
    }

    /// Releases a snapshot: the rules may delete it from now on.
    ///
    /// # Errors
    /// As for [`Self::hold_snapshot`].
    pub async fn release_snapshot(&self, place: &SnapshotPlace, snapshot: &str) -> Result<(), Error> {
        self.set_hold(place, uuid_of(snapshot)?, None).await
    }

    async fn set_hold(&self, place: &SnapshotPlace, uuid: Identity, hold: Option<Hold>) -> Result<(), Error> {
        if self.0.deletions.includes(uuid) {
            return Err(Error::new(ErrorCode::Busy, "the snapshot is being deleted; cancel that job first"));
        }
        match place {
            SnapshotPlace::Destination(id) => self.set_hold_on(&DriveId::from(id), uuid, hold).await,
            SnapshotPlace::Source(backup) => {
                let rule = self.rule_of(backup)?;
                self.0.jobs.set_hold_beside_source(&self.0.manager, &rule, uuid, hold).await
            }
        }
    }

    async fn set_hold_on(&self, drive: &DriveId, uuid: Identity, hold: Option<Hold>) -> Result<(), Error> {
        let lease = self.0.manager.lease(drive, Need::Write).await?;
        let root = lease.root().try_clone_to_owned();
        let root = root.map_err(|error| Error::new(ErrorCode::Failed, error.to_string()))?;
        let setting = async move {
            let set = move || set_hold(root.as_fd(), uuid, hold.as_ref());
            let done = lease.reads().run(HOLDING, set).await;
            lease.close().await;
            done
        };
        let done = detached(HOLDING, setting).await.flatten();
        let done = done.map_err(|unanswered| match unanswered {
            Unanswered::Busy => Error::new(ErrorCode::Busy, unanswered.to_string()),
            Unanswered::Silent => Error::new(ErrorCode::DeviceGone, unanswered.to_string()),
            Unanswered::NoThread => Error::new(ErrorCode::Failed, unanswered.to_string()),
        })?;
        held(done, "drive")
    }

    /// What deleting these snapshots, known by their uuids, frees and costs. Deletes nothing.
    ///
    /// # Errors
    /// As for [`Self::list_snapshots_at`]; `NotFound`: there is no such snapshot.
    pub async fn estimate_deletion(
        &self,
        place: &SnapshotPlace,
        snapshots: &[String],
    ) -> Result<DeletionEstimate, Error> {
        let wanted = uuids_of(snapshots)?;
        let rows = self.list_snapshots_at(place).await?;
        if wanted.iter().any(|uuid| !rows.iter().any(|row| row.uuid == *uuid)) {
            return Err(missing());
        }
        let wanted = runs(&wanted, &rows).concat();
        let lost = self.lost_parents(place, &wanted, &rows);
        let measured = self.measure(place, wanted).await?;
        let lost_parents = lost.into_iter().map(|lost| increment(lost, &measured)).collect();
        Ok(DeletionEstimate { bytes: measured.freed, lost_parents })
    }

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
                SnapshotPlace::Destination(id) => OrderPlace::Drive(id.to_string()),
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

    fn rule_of(&self, backup: &str) -> Result<BackupRule, Error> {
        let text = "there is no such backup; butterdock backups lists the backups";
        self.0.manager.rule(backup).map(|(rule, _)| rule).ok_or_else(|| Error::new(ErrorCode::NotFound, text))
    }

    fn lost_parents(&self, place: &SnapshotPlace, deleted: &[Identity], rows: &[SnapshotOnDrive]) -> Vec<LostParent> {
        let on = match place {
            SnapshotPlace::Destination(id) => DeletedOn::Drive(DriveId::from(id)),
            SnapshotPlace::Source(backup) => DeletedOn::Source(backup.clone()),
        };
        let present: Vec<Identity> = rows.iter().map(|row| row.uuid).collect();
        self.0.manager.lost_parents(&on, deleted, &present)
    }

    async fn measure(&self, place: &SnapshotPlace, snapshots: Vec<Identity>) -> Result<Measured, Error> {
        match place {
            SnapshotPlace::Destination(id) => {
                let lease = self.0.manager.lease(&DriveId::from(id), Need::Read).await?;
                let measured = self.0.jobs.measure_on(&lease, snapshots).await;
                lease.close().await;
                measured
            }
            SnapshotPlace::Source(backup) => {
                self.0.jobs.measure_beside_source(&self.0.manager, &self.rule_of(backup)?, snapshots).await
            }
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

fn shared_text(row: &SnapshotOnDrive, lost: &LostIncrement) -> String {
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

fn increment(lost: LostParent, measured: &Measured) -> LostIncrement {
    let LostParent { backup, label, snapshot, is_full } = lost;
    LostIncrement { backup, destination: label, is_full, bytes: measured.size(snapshot) }
}

fn refused_error(refused: &Refusal, row: &SnapshotOnDrive) -> Error {
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
                "the snapshot {name} belongs to a run, which is deleted as a whole: name its snapshot of the source, and this one \
                 is deleted with it"
            );
            Error::new(ErrorCode::NotAllowed, text)
        }
        Refusal::Missing | Refusal::Shared => missing(),
    }
}

/// The name of a snapshot, for those who may know it.
fn shown(row: &SnapshotOnDrive) -> String {
    row.name.escape_ascii().to_string()
}

fn missing() -> Error {
    let text = "there is no such snapshot there; butterdock snapshots lists the snapshots";
    Error::new(ErrorCode::NotFound, text)
}

fn uuid_of(snapshot: &str) -> Result<Identity, Error> {
    let text = "a snapshot is named by its uuid; butterdock snapshots lists the snapshots";
    Uuid::try_parse(snapshot)
        .map(|uuid| Identity(uuid.into_bytes()))
        .map_err(|_error| Error::new(ErrorCode::NotFound, text))
}

fn uuids_of(snapshots: &[String]) -> Result<Vec<Identity>, Error> {
    if snapshots.is_empty() || snapshots.len() > MOST_DELETED {
        return Err(Error::InvalidArgs(format!("name from 1 to {MOST_DELETED} snapshots")));
    }
    let mut uuids = snapshots.iter().map(|snapshot| uuid_of(snapshot)).collect::<Result<Vec<_>, _>>()?;
    uuids.sort_unstable();
    uuids.dedup();
    Ok(uuids)
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

    #[test]
    fn snapshots_are_named_by_their_uuids_each_once() {
        let uuid = Uuid::from_u128(7).to_string();
        assert_eq!(uuids_of(&[uuid.clone(), uuid.clone()]).map(|all| all.len()), Ok(1));
        assert!(matches!(uuids_of(&[]), Err(Error::InvalidArgs(_))));
        assert!(matches!(uuids_of(&vec![uuid; MOST_DELETED + 1]), Err(Error::InvalidArgs(_))));
        assert_eq!(uuids_of(&["home.1".to_owned()]).map_err(|error| error.code()), Err(ErrorCode::NotFound));
    }
}
