//! Backups of attached drives that failed because their source was not there: they begin again when it appears, for example
//! because it was mounted later than the drive was plugged in.

use tokio::sync::watch;

use super::DriveId;
use super::manager::DriveManager;
use super::reservation::DriveReservation;
use super::shared_records;
use super::table::goes;
use crate::backups::{Identity, PairUuids, SharedSnapshot, SourceProblem};
use crate::config::BackupRule;
use crate::enrolment::Enrolment;
use crate::policy::Action;
use crate::schedule::Schedule;

/// A backup that waits for its source.
#[derive(Debug)]
pub(crate) struct AwaitedBackup {
    /// The attached drive.
    pub drive: DriveId,
    pub rule: BackupRule,
    /// Why its source was refused.
    pub problem: SourceProblem,
    /// The snapshots that the backup made, and those that were restored from its snapshots on this drive.
    pub ours: Vec<Identity>,
}

impl DriveManager {
    /// The backup failed because of its source: it begins again when the source can be backed up, unless the drive is pulled or
    /// made safe by a person before.
    pub(crate) fn await_source(&self, id: &DriveId, backup: &str, problem: SourceProblem) {
        self.entry(id, |entry| entry.awaited.insert(backup.to_owned(), problem));
        // It may have appeared while the job ended.
        self.look_for_sources();
    }

    /// The backups that wait for their sources, on drives that can be used.
    pub(crate) fn awaited(&self) -> Vec<AwaitedBackup> {
        let table = self.lock();
        let mut all = Vec::new();
        for (id, entry) in table.entries.iter().filter(|(_, entry)| !entry.awaited.is_empty() && !entry.absent) {
            let action = table.decision_after_release(id).map(|decision| decision.action);
            // A drive that is locked waits for its passphrase: mounting it is a change of mounts.
            let is_usable = action.is_some_and(|action| match action {
                Action::Mount(_) | Action::Unlock(_) | Action::Leave | Action::Backup => true,
                Action::Show | Action::Refuse(_) | Action::AwaitSecret(_) | Action::Degraded { .. } => false,
            });
            let Some(enrolment) = table.enrolment(id).filter(|_| is_usable) else { continue };
            for (backup, &problem) in &entry.awaited {
                let rule = table.config.backup(backup);
                let rule =
                    rule.filter(|rule| rule.schedule != Schedule::manual() && goes(&table.config, rule, enrolment));
                let awaited = |rule: &BackupRule| AwaitedBackup {
                    drive: id.clone(),
                    rule: rule.clone(),
                    problem,
                    ours: ours(enrolment, backup),
                };
                all.extend(rule.map(awaited));
            }
        }
        all
    }

    /// The source of the backup has appeared: it is no longer awaited. None where it was not.
    pub(crate) fn take_awaited(&self, id: &DriveId, backup: &str) -> Option<DriveReservation> {
        self.entry(id, |entry| entry.awaited.remove(backup)).flatten()?;
        Some(self.reserve(id))
    }

    /// A person asks to have the drive made safe: no backup begins on it by itself.
    pub(crate) fn forget_awaited(&self, id: &DriveId) {
        self.entry(id, |entry| entry.awaited.clear());
    }

    /// Changes whenever a source may have appeared.
    pub(crate) fn sources_changed(&self) -> watch::Receiver<()> {
        self.0.sources.subscribe()
    }

    /// A source may have appeared. Not every change is reported: a subvolume may be moved to its place.
    pub(crate) fn look_for_sources(&self) {
        self.0.sources.send_replace(());
    }
}

/// The subvolumes on this machine that the worker takes for the source's own, wherever they are now.
fn ours(enrolment: &Enrolment, backup: &str) -> Vec<Identity> {
    let known = shared_records::known(enrolment, backup).unwrap_or_default();
    let own: Vec<PairUuids> = known.shared.iter().map(SharedSnapshot::uuids).collect();
    let restored = shared_records::restored(enrolment).into_iter().map(|shared| shared.uuids());
    let restored = restored.filter(|pair| own.iter().any(|own| own.there == pair.there));
    own.iter().copied().chain(restored).map(|pair| pair.here).collect()
}
