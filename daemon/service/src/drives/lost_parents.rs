//! What the records of drives lose when a person deletes snapshots, and which drives need a full transfer then.

use std::collections::BTreeSet;

use super::DriveId;
use super::manager::DriveManager;
use super::problem::failed;
use super::records::value;
use super::shared_records;
use crate::backups::{Identity, SharedRecord, SharedSnapshot};
use crate::enrolment::Enrolment;
use crate::types::Error;

/// The side of a shared snapshot that is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DeletedOn {
    /// On this drive.
    Drive(DriveId),
    /// Beside the source of this backup.
    Source(String),
}

/// A backup to a drive that loses the parent of its next increment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LostParent {
    pub(crate) backup: String,
    /// The drive's label.
    pub(crate) label: String,
    /// The snapshot, on the side where it is deleted.
    pub(crate) snapshot: Identity,
    /// No older shared snapshot is left: the next backup is a full one.
    pub(crate) is_full: bool,
}

impl DriveManager {
    /// The backups that lose the parent of their next increment, if these snapshots are deleted. `present` are all on that side.
    pub(crate) fn lost_parents(&self, on: &DeletedOn, deleted: &[Identity], present: &[Identity]) -> Vec<LostParent> {
        let table = self.lock();
        let mut lost = Vec::new();
        for enrolment in &table.enrolments {
            let names: BTreeSet<&String> = enrolment.shared.keys().chain(enrolment.pins.keys()).collect();
            let is_meant = |name: &str| match on {
                DeletedOn::Drive(id) => *id == DriveId::from(enrolment.id),
                DeletedOn::Source(backup) => backup == name,
            };
            for name in names.into_iter().filter(|name| is_meant(name) && !enrolment.unpinned.contains_key(*name)) {
                // A record that cannot be read ends each backup, which says so.
                let Ok(known) = shared_records::known(enrolment, name) else { continue };
                lost.extend(lost_parent(&known, on, deleted, present).map(|(snapshot, is_full)| LostParent {
                    backup: name.clone(),
                    label: enrolment.label().to_owned(),
                    snapshot,
                    is_full,
                }));
            }
        }
        lost
    }

    /// Records that snapshots on a drive were deleted: they are no parents any more.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) async fn deleted(&self, id: &DriveId, gone: Vec<Identity>) -> Result<(), Error> {
        if gone.is_empty() || id.enrolment().is_none() {
            return Ok(());
        }
        self.write_down(id, move |enrolment| {
            let names: BTreeSet<String> = enrolment.shared.keys().chain(enrolment.pins.keys()).cloned().collect();
            let mut restored = shared_records::restored(enrolment);
            restored.retain(|shared| !gone.contains(&shared.uuids().there));
            enrolment.restored = value(&restored)?;
            names.iter().try_for_each(|name| forget(enrolment, name, |shared| gone.contains(&shared.uuids().there)))
        })
        .await
    }

    /// Records that snapshots beside the source of a backup were deleted.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub(crate) async fn deleted_beside_source(&self, backup: &str, gone: Vec<Identity>) -> Result<(), Error> {
        let ids: Vec<DriveId> = self.lock().enrolments.iter().map(|enrolment| DriveId::from(enrolment.id)).collect();
        for id in ids.into_iter().filter(|_| !gone.is_empty()) {
            let (name, gone) = (backup.to_owned(), gone.clone());
            let change =
                move |enrolment: &mut Enrolment| forget(enrolment, &name, |shared| gone.contains(&shared.uuids().here));
            self.write_down(&id, change).await?;
        }
        Ok(())
    }
}

/// The newest shared snapshot, if it is deleted; and whether no older one is left on that side.
fn lost_parent(
    known: &SharedRecord,
    on: &DeletedOn,
    deleted: &[Identity],
    present: &[Identity],
) -> Option<(Identity, bool)> {
    let side = |shared: &SharedSnapshot| match on {
        DeletedOn::Drive(_) => shared.uuids().there,
        DeletedOn::Source(_) => shared.uuids().here,
    };
    let newest = known.newest().map(side).filter(|newest| deleted.contains(newest))?;
    let stays = |shared: &SharedSnapshot| present.contains(&side(shared)) && !deleted.contains(&side(shared));
    Some((newest, !known.shared.iter().any(stays)))
}

/// Removes the shared snapshots that `is_gone`. If none is left, the next backup is a full one, and says why.
fn forget(enrolment: &mut Enrolment, backup: &str, is_gone: impl Fn(&SharedSnapshot) -> bool) -> Result<(), Error> {
    let mut known = shared_records::known(enrolment, backup).map_err(failed)?;
    let before = known.all().len();
    known.shared.retain(|shared| !is_gone(shared));
    known.nested.retain(|shared| !is_gone(shared));
    if known.all().len() == before {
        return Ok(());
    }
    if known.shared.is_empty() {
        enrolment.unpinned.insert(backup.to_owned(), true);
    }
    enrolment.shared.insert(backup.to_owned(), value(&known)?);
    enrolment.pins.remove(backup);
    Ok(())
}

#[cfg(test)]
mod tests {
    use butterdock_receive::SubvolumeState;
    use uuid::Uuid;

    use super::*;

    fn shared(number: u8) -> SharedSnapshot {
        let here = SubvolumeState { uuid: [number; 16], ..SubvolumeState::default() };
        let there = SubvolumeState { uuid: [number + 100; 16], ..SubvolumeState::default() };
        SharedSnapshot { here, there, time: i64::from(number) }
    }

    fn id(number: u8) -> Identity {
        Identity([number; 16])
    }

    #[test]
    fn the_next_backup_is_full_only_without_an_older_shared_snapshot() {
        let known = SharedRecord { shared: vec![shared(1), shared(2)], ..SharedRecord::default() };
        let (drive, source) = (DeletedOn::Drive(DriveId("x".to_owned())), DeletedOn::Source("home".to_owned()));
        let on_drive = |deleted: &[Identity]| lost_parent(&known, &drive, deleted, &[id(101), id(102)]);
        assert_eq!(on_drive(&[id(101)]), None, "it is not the newest");
        assert_eq!(on_drive(&[id(102)]), Some((id(102), false)));
        assert_eq!(on_drive(&[id(101), id(102)]), Some((id(102), true)));
        assert_eq!(lost_parent(&known, &source, &[id(2)], &[id(2)]), Some((id(2), true)), "the older one was pruned");
        assert_eq!(lost_parent(&SharedRecord::default(), &source, &[id(2)], &[id(2)]), None);
    }

    #[test]
    fn a_deleted_parent_is_forgotten_and_the_last_one_unpinned() {
        let mut blue = Enrolment::new(Uuid::from_u128(1), "Blue".to_owned(), Vec::new(), 7);
        let known = SharedRecord { sources: vec![id(9)], shared: vec![shared(1), shared(2)], nested: vec![shared(3)] };
        blue.shared.insert("home".to_owned(), serde_json::to_value(&known).expect("written"));
        forget(&mut blue, "home", |shared| shared.uuids().there == id(102)).expect("known");
        let left = shared_records::known(&blue, "home").expect("read");
        assert_eq!((left.shared.as_slice(), blue.unpinned.len()), (&[shared(1)][..], 0));
        assert_eq!(left.nested, [shared(3)]);
        forget(&mut blue, "home", |shared| [id(1), id(3)].contains(&shared.uuids().here)).expect("known");
        let left = shared_records::known(&blue, "home").expect("read");
        assert_eq!((left.all().len(), left.sources), (0, vec![id(9)]), "the source stays recorded");
        assert_eq!(blue.unpinned.get("home"), Some(&true));
    }
}
