//! The snapshots beside a source, and what deleting snapshots frees, on a drive and beside a source. These are no jobs; the caller
//! waits for the answer.

use std::os::fd::AsFd as _;
use std::time::Duration;

use butterdock_btrfs::{Error as Fault, filesystem};
use tokio::time::timeout;

use super::handle::Jobs;
use super::source_store::{Look, SourceStore};
use super::worker_queries::Answer;
use crate::backups::{Backups, DeletionEvent, Hold, Identity, SnapshotOnDrive, Task, set_hold};
use crate::blocking::Unanswered;
use crate::config::BackupRule;
use crate::destinations::{Destination as _, DriveDestination, SourceFolder, close, no_descriptor};
use crate::drives::{DriveManager, Lease};
use crate::types::{Error, ErrorCode};
use crate::worker::{Order, Priority, Report, WorkerFds, public_of_deletion};

/// Timeout for opening a source, and for listing its snapshots.
const LOOKING: Duration = Duration::from_secs(30);
/// Timeout for finding out what a deletion frees.
const MEASURING: Duration = Duration::from_secs(60);

/// What deleting snapshots frees, in bytes of data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    /// An upper bound; None if it takes too long to find out.
    pub(crate) freed: Option<u64>,
    /// The size of each snapshot: what a full transfer of it sends, about.
    pub(crate) sizes: Vec<(Identity, u64)>,
}

impl Measured {
    /// The size of a snapshot.
    pub(crate) fn size(&self, uuid: Identity) -> Option<u64> {
        self.sizes.iter().find(|(known, _)| *known == uuid).map(|(_, bytes)| *bytes)
    }

    fn of(answer: Answer) -> Result<Self, Error> {
        let (reports, error) = answer;
        if let Some(error) = error {
            tracing::warn!("cannot find out what a deletion frees: {}", error.message);
            return Err(Error::new(ErrorCode::Failed, public_of_deletion(error.kind)));
        }
        let mut measured = Self::default();
        for report in reports {
            let Report::Deletion(event) = report else { continue };
            match event {
                DeletionEvent::Total { bytes } => measured.freed = Some(bytes),
                DeletionEvent::Size { uuid, bytes } => measured.sizes.push((uuid, bytes)),
                DeletionEvent::Deleted { .. } | DeletionEvent::Kept { .. } | DeletionEvent::Freed { .. } => {}
            }
        }
        Ok(measured)
    }
}

impl Jobs {
    /// The snapshots beside the source of a backup, the newest first. If it is not known what the drives need, each counts as needed.
    ///
    /// # Errors
    /// The source is not there, has no snapshots yet, or does not answer.
    pub(crate) async fn list_beside_source(
        &self,
        manager: &DriveManager,
        rule: &BackupRule,
    ) -> Result<Vec<SnapshotOnDrive>, Error> {
        let sources = &self.queries.sources;
        let folder = open_to_list(sources, manager, rule).await?;
        let (folder, listed) = list_in(sources, rule, folder).await?;
        close(Box::new(folder)).await;
        let listed =
            listed.map_err(|fault| Error::new(ErrorCode::Failed, format!("cannot list the snapshots: {fault}")));
        let mut rows = listed?;
        if manager.unread_pins(rule.name.as_str()).is_some() {
            rows.iter_mut().for_each(|row| row.pinned = true);
        }
        Ok(rows)
    }

    /// Holds a snapshot beside the source of a backup, or releases it.
    ///
    /// # Errors
    /// As for [`Self::list_beside_source`]; `NotFound`: there is no such snapshot; the hold cannot be written.
    pub(crate) async fn set_hold_beside_source(
        &self,
        manager: &DriveManager,
        rule: &BackupRule,
        uuid: Identity,
        hold: Option<Hold>,
    ) -> Result<(), Error> {
        let sources = &self.queries.sources;
        let folder = open_to_list(sources, manager, rule).await?;
        let (folder, listed) = list_in(sources, rule, folder).await?;
        let is_listed = listed.is_ok_and(|rows| rows.iter().any(|row| row.uuid == uuid));
        let (looks, here) = (sources.spaces.looks(rule.name.as_str()), hold);
        let set = move || {
            let done = match filesystem::open_top_writable(folder.directory()) {
                Ok(top) if is_listed => set_hold(top.as_fd(), uuid, here.as_ref()),
                Ok(_) => Ok(false),
                Err(fault) => Err(fault),
            };
            (folder, done)
        };
        let (folder, done) = looks.run(LOOKING, set).await.map_err(silent)?;
        close(Box::new(folder)).await;
        hold_result(done, "source's filesystem")
    }

    /// What deleting these snapshots on a drive frees.
    ///
    /// # Errors
    /// The drive does not answer.
    pub(crate) async fn measure_on(&self, lease: &Lease, snapshots: Vec<Identity>) -> Result<Measured, Error> {
        let place = DriveDestination::of(lease);
        let place = place.map_err(|error| Error::new(ErrorCode::Failed, no_descriptor(&error)))?;
        let order = Order::Delete { snapshots, measure: true };
        let handed = WorkerFds::destination(place.directory());
        let asked = self.queries.ask(Some(lease), order, handed, Priority::default(), MEASURING).await;
        close(Box::new(place)).await;
        Measured::of(asked?)
    }

    /// What deleting these snapshots beside the source of a backup frees.
    ///
    /// # Errors
    /// As for [`Self::list_beside_source`].
    pub(crate) async fn measure_beside_source(
        &self,
        manager: &DriveManager,
        rule: &BackupRule,
        snapshots: Vec<Identity>,
    ) -> Result<Measured, Error> {
        let folder = open_beside(&self.queries.sources, manager, rule).await?;
        let order = Order::Delete { snapshots, measure: true };
        let answer = self.queries.answer(order, WorkerFds::destination(folder.directory()), Priority::default());
        let answered = timeout(MEASURING, answer).await;
        close(Box::new(folder)).await;
        Measured::of(answered.map_err(|_late| silent(Unanswered::Silent))??)
    }
}

/// Opens the folder for the snapshots of a backup, to delete some.
///
/// # Errors
/// As for [`open_to_list`]; `Failed`: it is not known what the drives need.
pub(super) async fn open_beside(
    sources: &SourceStore,
    manager: &DriveManager,
    rule: &BackupRule,
) -> Result<SourceFolder, Error> {
    match manager.unread_pins(rule.name.as_str()) {
        Some(unread) => Err(Error::new(ErrorCode::Failed, unread)),
        None => open_to_list(sources, manager, rule).await,
    }
}

/// Opens the folder for the snapshots of a backup.
///
/// # Errors
/// `DeviceGone`: the source is not there, or has no snapshots yet.
async fn open_to_list(sources: &SourceStore, manager: &DriveManager, rule: &BackupRule) -> Result<SourceFolder, Error> {
    let name = rule.name.as_str();
    let (store, looked) = (sources.clone(), rule.clone());
    let look = move || Some((store.look(&looked)?, store.of(&looked).ok().flatten()));
    let found = sources.spaces.looks(name).run(LOOKING, look).await.map_err(silent)?;
    let Some((Look { folder, space: _ }, Some(lineage))) = found else {
        let text = "the source of the backup is not there, or has no snapshots yet; mount it, or run butterdock backup";
        return Err(Error::new(ErrorCode::DeviceGone, text));
    };
    let task = Task::pruning(name.as_bytes(), manager.machine(), lineage);
    Ok(SourceFolder { folder, task: Task { former: rule.former.clone(), pins: manager.pins(name), ..task } })
}

/// Lists the snapshots in it.
///
/// # Errors
/// The source does not answer.
pub(super) async fn list_in(
    sources: &SourceStore,
    rule: &BackupRule,
    folder: SourceFolder,
) -> Result<(SourceFolder, Result<Vec<SnapshotOnDrive>, Fault>), Error> {
    let list = move || {
        // The records of destinations are in the folder's task.
        let none = Backups {
            machine: folder.task.machine,
            known: Vec::new(),
            pins: Vec::new(),
            configured: Vec::new(),
            former: Vec::new(),
        };
        let listed = folder.list(&none);
        (folder, listed)
    };
    sources.spaces.looks(rule.name.as_str()).run(LOOKING, list).await.map_err(silent)
}

/// The result of a change of a hold on a filesystem.
pub(crate) fn hold_result(done: Result<bool, Fault>, place: &str) -> Result<(), Error> {
    use butterdock_btrfs::Errno;
    match done {
        Ok(true) => Ok(()),
        Ok(false) => {
            let text = "there is no such snapshot there; butterdock snapshots lists the snapshots";
            Err(Error::new(ErrorCode::NotFound, text))
        }
        Err(Fault { errno: Errno::EROFS, .. }) => {
            let text =
                format!("the {place} is write-protected or read-only, and a hold is written there; make it writable");
            Err(Error::new(ErrorCode::ReadOnly, text))
        }
        Err(Fault { errno: Errno::ENOSPC, .. }) => {
            let text = format!("the {place} is full, and a hold is written there; free some space on it");
            Err(Error::new(ErrorCode::NoSpace, text))
        }
        Err(fault) => {
            let text = format!("cannot write the hold: {fault}; check the device and its cable (dmesg)");
            Err(Error::new(ErrorCode::Failed, text))
        }
    }
}

fn silent(unanswered: Unanswered) -> Error {
    match unanswered {
        Unanswered::NoThread => Error::new(ErrorCode::Failed, unanswered.to_string()),
        Unanswered::Busy => Error::new(ErrorCode::Busy, unanswered.to_string()),
        Unanswered::Silent => {
            let text = "the source does not respond; check its disk and cable (dmesg)";
            Error::new(ErrorCode::DeviceGone, text)
        }
    }
}
