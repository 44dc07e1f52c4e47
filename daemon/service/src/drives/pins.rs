//! The shared snapshots that sources keep for drives that are away, and when they are unpinned: after `keep_shared_for`, or by a
//! command. A snapshot that was unpinned is deleted beside the source, unless another drive needs it. The next backup to its
//! drive builds on an older shared snapshot that the rule keeps; without one it is a full one.

use std::collections::BTreeSet;

use super::DriveId;
use super::entry::VolumeEntry;
use super::manager::DriveManager;
use super::problem::failed;
use super::shared_records;
use super::table::{DriveTable, goes};
use crate::backups::{Identity, MOST_PINS, PairUuids, SharedSnapshot, UnpinReason};
use crate::config::BackupRule;
use crate::enrolment::Enrolment;
use crate::types::{Error, ErrorCode};

/// It is recorded so often that a drive is attached.
const SEEN_EVERY: u64 = 3600 * 1_000_000;

/// A drive that needs a snapshot beside a source for its next increment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NeedingDrive {
    pub(crate) label: String,
    pub(crate) is_attached: bool,
    /// Since when it is away, in microseconds since 1970.
    pub(crate) since: u64,
}

impl DriveManager {
    /// What all enrolled drives, present or not, need for their next increment of a backup, as far as it can be read.
    pub(crate) fn pins(&self, backup: &str) -> Vec<PairUuids> {
        let table = self.lock();
        let needing = table.enrolments.iter().filter(|enrolment| !enrolment.unpinned.contains_key(backup));
        let known = needing.filter_map(|enrolment| shared_records::known(enrolment, backup).ok());
        super::once(known.filter_map(|known| known.newest().map(SharedSnapshot::uuids)).collect())
    }

    /// The snapshots beside the source of a backup that were unpinned, and that no drive needs.
    pub(crate) fn unpinned(&self, backup: &str) -> Vec<Identity> {
        let pinned = self.pins(backup);
        let table = self.lock();
        let unpinned = table.enrolments.iter().filter(|enrolment| enrolment.unpinned.contains_key(backup));
        let newest = unpinned
            .filter_map(|enrolment| Some(shared_records::known(enrolment, backup).ok()?.newest()?.uuids().here));
        newest.filter(|here| !pinned.iter().any(|pin| pin.here == *here)).take(MOST_PINS).collect()
    }

    /// Why the shared snapshot of a backup on this drive was unpinned, if it was.
    pub(crate) fn unpin_reason(&self, id: &DriveId, backup: &str) -> Option<UnpinReason> {
        because(self.lock().enrolment(id)?, backup)
    }

    /// The drives for which the source of a backup keeps a snapshot.
    pub(crate) fn needing_drives(&self, backup: &str) -> Vec<NeedingDrive> {
        let table = self.lock();
        let needs = |enrolment: &&Enrolment| needs_snapshot(enrolment, backup);
        let needing = |enrolment: &Enrolment| NeedingDrive {
            label: enrolment.label().to_owned(),
            is_attached: is_attached(&table, enrolment),
            since: enrolment.attached_last(),
        };
        table.enrolments.iter().filter(needs).map(needing).collect()
    }

    /// Unpins what the sources keep for a drive: for one backup, or for all. Returns the backups.
    ///
    /// # Errors
    /// `NotFound`: it is not enrolled, or the source keeps nothing for it; the state directory cannot be written.
    pub(crate) async fn unpin(&self, id: &DriveId, only: Option<&str>) -> Result<Vec<String>, Error> {
        let backups: BTreeSet<String> = {
            let table = self.lock();
            let text = "no such drive is enrolled; butterdock backups lists the drives";
            let enrolment = table.enrolment(id).ok_or_else(|| Error::new(ErrorCode::NotFound, text))?;
            let names = enrolment.shared.keys().chain(enrolment.pins.keys());
            let wanted = |name: &&String| only.is_none_or(|only| *only == **name) && needs_snapshot(enrolment, name);
            names.filter(wanted).cloned().collect()
        };
        if backups.is_empty() {
            let text = "no source keeps a snapshot for this drive and backup, so there is nothing to unpin";
            return Err(Error::new(ErrorCode::NotFound, text));
        }
        self.record_unpinned(id, backups.clone(), true).await?;
        Ok(backups.into_iter().collect())
    }

    /// Unpins what the source of a backup keeps for drives that have been away for too long. Returns whether there was any.
    pub(crate) async fn unpin_after(&self, rule: &BackupRule) -> bool {
        let name = rule.name.as_str();
        let (now, limit) = (self.0.clock.micros(), u64::try_from(rule.keep_shared_for.as_micros()).unwrap_or(u64::MAX));
        let is_too_long = |enrolment: &Enrolment| now.saturating_sub(enrolment.attached_last()) > limit;
        let away: Vec<(DriveId, String)> = {
            let table = self.lock();
            let kept = table.enrolments.iter().filter(|one| needs_snapshot(one, name) && !is_attached(&table, one));
            kept.filter(|one| is_too_long(one)).map(|one| (DriveId::from(one.id), one.label().to_owned())).collect()
        };
        let mut any = false;
        for (id, label) in away {
            let text = "the next backup to it sends more, or everything";
            match self.record_unpinned(&id, BTreeSet::from([name.to_owned()]), false).await {
                Ok(()) => {
                    any = true;
                    tracing::warn!(
                        BUTTERDOCK_DRIVE = id.as_str(),
                        "the drive \"{label}\" was away for longer than keep_shared_for of the backup \"{name}\", so its shared snapshot is no longer kept; {text}"
                    );
                }
                Err(error) => tracing::warn!(
                    "cannot record that the snapshot of \"{name}\" for \"{label}\" is no longer kept: {error}"
                ),
            }
        }
        any
    }

    /// Records which enrolled drives are attached now.
    pub(crate) async fn note_attached(&self) {
        let now = self.0.clock.micros();
        let attached: Vec<DriveId> = {
            let table = self.lock();
            let is_due = |enrolment: &&Enrolment| now.saturating_sub(enrolment.last_seen) > SEEN_EVERY;
            let attached = table.enrolments.iter().filter(is_due).filter(|one| is_attached(&table, one));
            attached.map(|enrolment| DriveId::from(enrolment.id)).collect()
        };
        for id in attached {
            let written = self.write_down(&id, move |enrolment| {
                enrolment.last_seen = now;
                Ok(())
            });
            if let Err(error) = written.await {
                tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "cannot record that the drive is attached: {error}");
            }
        }
    }

    /// Records that an enrolled drive was attached until now.
    pub(super) async fn note_unplugged(&self, id: &DriveId) {
        let now = self.0.clock.micros();
        let written = self.write_down(id, move |enrolment| {
            enrolment.last_seen = now;
            Ok(())
        });
        if let Err(error) = written.await {
            tracing::warn!(BUTTERDOCK_DRIVE = id.as_str(), "cannot record when the drive was unplugged: {error}");
        }
    }

    async fn record_unpinned(&self, id: &DriveId, backups: BTreeSet<String>, by_command: bool) -> Result<(), Error> {
        self.write_down(id, move |enrolment| {
            for backup in backups {
                // It names the snapshot: without a record nothing could be unpinned.
                shared_records::known(enrolment, &backup).map_err(failed)?;
                enrolment.unpinned.insert(backup, by_command);
            }
            Ok(())
        })
        .await
    }
}

/// Why the shared snapshot of a backup was unpinned, if it was.
pub(super) fn because(enrolment: &Enrolment, backup: &str) -> Option<UnpinReason> {
    let by_command = *enrolment.unpinned.get(backup)?;
    Some(if by_command { UnpinReason::Command } else { UnpinReason::Away })
}

/// Whether a later backup may build on the newest snapshot of this one on the drive. If it is not configured any more, that is a backup
/// which has not run on the drive yet: perhaps it is this one with another name.
pub(super) fn is_needed_on(table: &DriveTable, enrolment: &Enrolment, backup: &str) -> bool {
    let has_run = |name: &str| shared_records::known(enrolment, name).is_ok_and(|known| known.newest().is_some());
    let is_new = |rule: &BackupRule| goes(&table.config, rule, enrolment) && !has_run(rule.name.as_str());
    let is_needed = || table.config.backup(backup).is_some() || table.config.backups.iter().any(is_new);
    !enrolment.unpinned.contains_key(backup) && is_needed()
}

fn needs_snapshot(enrolment: &Enrolment, backup: &str) -> bool {
    let known = || shared_records::known(enrolment, backup).is_ok_and(|known| known.newest().is_some());
    !enrolment.unpinned.contains_key(backup) && known()
}

pub(super) fn is_attached(table: &DriveTable, enrolment: &Enrolment) -> bool {
    if enrolment.is_volume {
        return table.volumes.get(&enrolment.id).is_some_and(VolumeEntry::is_there);
    }
    let shown = table.shown.get(&DriveId::from(enrolment.id));
    shown.is_some_and(|shown| !shown.borrow().device.is_empty())
}
