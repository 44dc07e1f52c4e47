//! Snapshots in a person's hand: to list, hold, release and delete those on a drive or beside a source.

mod deletion;

use std::os::fd::AsFd as _;
use std::time::Duration;

use uuid::Uuid;

use self::deletion::missing;
use crate::backups::{Hold, Identity, LONGEST_REASON, MOST_DELETED, SnapshotOnDrive, set_hold};
use crate::blocking::{Unanswered, detached};
use crate::config::BackupRule;
use crate::drives::{DeletedOn, DriveId, LostParent, Need};
use crate::jobs::{Measured, hold_result, runs};
use crate::service::Service;
use crate::types::{DestinationId, Error, ErrorCode};

/// Timeout for writing a hold.
const HOLDING: Duration = Duration::from_secs(20);

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
            SnapshotPlace::Destination(id) => self.set_hold_on(&self.0.manager.named(id.as_str()), uuid, hold).await,
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
        hold_result(done, "drive")
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

    /// The backup with this name.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn rule_of(&self, backup: &str) -> Result<BackupRule, Error> {
        let text = "there is no such backup; butterdock backups lists the backups";
        self.0.manager.rule(backup).map(|(rule, _)| rule).ok_or_else(|| Error::new(ErrorCode::NotFound, text))
    }

    fn lost_parents(&self, place: &SnapshotPlace, deleted: &[Identity], rows: &[SnapshotOnDrive]) -> Vec<LostParent> {
        let on = match place {
            SnapshotPlace::Destination(id) => DeletedOn::Drive(self.0.manager.named(id.as_str())),
            SnapshotPlace::Source(backup) => DeletedOn::Source(backup.clone()),
        };
        let present: Vec<Identity> = rows.iter().map(|row| row.uuid).collect();
        self.0.manager.lost_parents(&on, deleted, &present)
    }

    async fn measure(&self, place: &SnapshotPlace, snapshots: Vec<Identity>) -> Result<Measured, Error> {
        match place {
            SnapshotPlace::Destination(id) => {
                let lease = self.0.manager.lease(&self.0.manager.named(id.as_str()), Need::Read).await?;
                let measured = self.0.jobs.measure_on(&lease, snapshots).await;
                lease.close().await;
                measured
            }
            SnapshotPlace::Source(backup) => {
                self.0.jobs.measure_beside_source(&self.0.manager, &self.rule_of(backup)?, snapshots).await
            }
        }
    }
}

fn increment(lost: LostParent, measured: &Measured) -> LostIncrement {
    let LostParent { backup, label, snapshot, is_full } = lost;
    LostIncrement { backup, destination: label, is_full, bytes: measured.size(snapshot) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_named_by_their_uuids_each_once() {
        let uuid = Uuid::from_u128(7).to_string();
        assert_eq!(uuids_of(&[uuid.clone(), uuid.clone()]).map(|all| all.len()), Ok(1));
        assert!(matches!(uuids_of(&[]), Err(Error::InvalidArgs(_))));
        assert!(matches!(uuids_of(&vec![uuid; MOST_DELETED + 1]), Err(Error::InvalidArgs(_))));
        assert_eq!(uuids_of(&["home.1".to_owned()]).map_err(|error| error.code()), Err(ErrorCode::NotFound));
    }
}
