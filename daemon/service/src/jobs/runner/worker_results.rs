//! What the worker of a job has reported, until its end.

use butterdock_receive::Phase;
use butterdock_worker::verify;

use crate::backups::{
    BackupEvent, DeletionEvent, Identity, KeptBecause, Lineage, Listings, MOST_DELETED, RecordUpdate, SharedSnapshot,
};
use crate::jobs::source_space::FreeableSpace;
use crate::worker::{Report, WorkerError};

/// More restored snapshots of one worker are not recorded.
const MOST_RESTORED: usize = 1000;
/// More damaged files than a worker names; longer lists are cut. With more subvolumes, all count as damaged.
const MOST_DAMAGED_FILES: usize = 50;
pub(in crate::jobs) const MOST_DAMAGED_SUBVOLUMES: usize = 10_000;

/// What a worker reported.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Its reported result: an error or success.
    pub(super) result: Option<Option<WorkerError>>,
    /// The kernel writes data, according to its last report.
    pub(super) writing: bool,
    /// It may be publishing a subvolume, according to its last report.
    pub(super) naming: bool,
    pub(super) heard: WorkerResults,
}

/// The results in a worker's reports.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkerResults {
    /// The lineage of a backup's source.
    pub(in crate::jobs) lineage: Option<Lineage>,
    /// What the destination needs for its next increment.
    pub(in crate::jobs) learned: Option<RecordUpdate>,
    /// The restored snapshots.
    pub(in crate::jobs) restored: Vec<SharedSnapshot>,
    /// Whether the backup made a new snapshot; false if the source was unchanged.
    pub(in crate::jobs) made: bool,
    /// The recorded uuids of snapshots that were replaced on the destination,
    pub(in crate::jobs) replaced: Vec<Identity>,
    /// and whether the transfer has a parent.
    pub(in crate::jobs) has_parent: bool,
    /// The result of a verify, at its end;
    pub(in crate::jobs) found: Option<verify::Found>,
    /// the first damaged files,
    pub(in crate::jobs) damaged_files: Vec<Vec<u8>>,
    /// and the subvolumes that have damaged files.
    pub(in crate::jobs) damaged_subvolumes: Vec<Identity>,
    /// The snapshots on both sides.
    pub(in crate::jobs) listings: Listings,
    /// What the snapshots beside the source hold.
    pub(in crate::jobs) freeable: Option<FreeableSpace>,
    /// The snapshots that were deleted, or did not exist any more,
    pub(in crate::jobs) deleted: Vec<Identity>,
    /// and those that were not deleted.
    pub(in crate::jobs) kept: Vec<(Identity, KeptBecause)>,
}

impl Followed {
    /// A subvolume was received completely and is being made durable.
    pub(super) fn is_settling(&self) -> bool {
        self.writing || self.naming
    }

    /// Applies a report; returns whether it was a step.
    pub(super) fn hear(&mut self, report: &Report) -> bool {
        match report {
            Report::Phase(phase) => {
                self.writing = matches!(phase, Phase::Syncing | Phase::Checking | Phase::Settling);
                // The worker waits for this report before it publishes; earlier steps may be skipped.
                self.naming = !matches!(phase, Phase::Receiving | Phase::Syncing);
                true
            }
            Report::Published { .. } => {
                (self.writing, self.naming) = (false, false);
                true
            }
            Report::Backup(event) => {
                match event {
                    BackupEvent::Lineage(lineage) => self.heard.lineage = Some(lineage.clone()),
                    BackupEvent::Pinned { learned } => {
                        (self.heard.learned, self.heard.made) = (Some(learned.clone()), true);
                    }
                    BackupEvent::Unchanged { learned } => {
                        (self.heard.learned, self.heard.has_parent) = (Some(learned.clone()), true);
                    }
                    BackupEvent::Parent { uuid, why: _ } => self.heard.has_parent = uuid.is_some(),
                    BackupEvent::Replaced { there } => self.heard.replaced.clone_from(there),
                    BackupEvent::Restored { shared } => self.heard.hear_restored(*shared),
                    BackupEvent::Seen { drive, snapshots, last } => self.heard.listings.hear(*drive, snapshots, *last),
                    BackupEvent::Source { .. }
                    | BackupEvent::Continued
                    | BackupEvent::Snapshot { .. }
                    | BackupEvent::FlagsNotSent { .. }
                    | BackupEvent::Estimated { .. }
                    | BackupEvent::LeftOut(_)
                    | BackupEvent::Nested { .. }
                    | BackupEvent::RestoredNested { .. }
                    | BackupEvent::FromFuture { .. }
                    | BackupEvent::Freeable { .. }
                    | BackupEvent::Pruned { .. }
                    | BackupEvent::Kept { .. } => {}
                }
                false
            }
            Report::Verify(event) => {
                self.hear_verify(event);
                false
            }
            Report::Deletion(event) => {
                self.hear_deletion(event);
                false
            }
            Report::Confined { .. }
            | Report::Began { .. }
            | Report::Streams(_)
            | Report::Files(_)
            | Report::Progress { .. }
            | Report::Unapplied { .. }
            | Report::Warning(_)
            | Report::Ended { .. } => false,
        }
    }
}

impl WorkerResults {
    fn hear_restored(&mut self, shared: SharedSnapshot) {
        // A worker restores fewer.
        if self.restored.len() < MOST_RESTORED {
            self.restored.push(shared);
        }
    }
}

impl Followed {
    fn hear_deletion(&mut self, event: &DeletionEvent) {
        let WorkerResults { deleted, kept, .. } = &mut self.heard;
        match *event {
            DeletionEvent::Deleted { uuid } | DeletionEvent::Kept { uuid, why: KeptBecause::Missing } => {
                if deleted.len() < MOST_DELETED {
                    deleted.push(uuid);
                }
            }
            DeletionEvent::Kept { uuid, why } if kept.len() < MOST_DELETED => kept.push((uuid, why)),
            DeletionEvent::Kept { .. }
            | DeletionEvent::Total { .. }
            | DeletionEvent::Size { .. }
            | DeletionEvent::Freed { .. } => {}
        }
    }

    fn hear_verify(&mut self, event: &verify::VerifyEvent) {
        let WorkerResults { found, damaged_files, damaged_subvolumes, .. } = &mut self.heard;
        match event {
            verify::VerifyEvent::Found(result) => *found = Some(*result),
            verify::VerifyEvent::DamagedFile { path } if damaged_files.len() < MOST_DAMAGED_FILES => {
                damaged_files.push(path.clone());
            }
            verify::VerifyEvent::DamagedSubvolume { uuid } if damaged_subvolumes.len() < MOST_DAMAGED_SUBVOLUMES => {
                damaged_subvolumes.push(*uuid);
            }
            verify::VerifyEvent::Total { .. }
            | verify::VerifyEvent::Read { .. }
            | verify::VerifyEvent::DamagedFile { .. }
            | verify::VerifyEvent::DamagedSubvolume { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_the_check_the_subvolume_may_be_published() {
        let mut seen = Followed::default();
        for (phase, writing, naming) in [
            (Phase::Receiving, false, false),
            (Phase::Syncing, true, false),
            (Phase::Checking, true, true),
            (Phase::Publishing, false, true),
            (Phase::Settling, true, true),
        ] {
            assert!(seen.hear(&Report::Phase(phase)));
            assert_eq!((seen.writing, seen.naming), (writing, naming), "{phase:?}");
        }
        seen.hear(&Report::Published {
            name: Vec::new(),
            subvolume_id: 256,
            received_uuid: [0; 16],
            state: butterdock_receive::SubvolumeState::default(),
            incremental: false,
            parent_number_differs: false,
            end: 1,
        });
        assert!(!seen.naming);
    }
}
