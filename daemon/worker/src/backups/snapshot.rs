//! The snapshots of a filesystem and their identities, as far as a backup needs them.

use std::fmt;
use std::os::fd::AsFd;

use butterdock_btrfs::roots::RootItem;
use butterdock_btrfs::{Error as Fault, contents, subvolume};
use butterdock_receive::{Origin, SubvolumeState};
use serde::{Deserialize, Serialize};

use super::name;
use super::owner::Owner;
use super::shared::Mark;
use crate::bytes;

/// A read-only subvolume, wherever on its filesystem it is. Transactions are those of its own filesystem, but `stransid`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Its id there.
    pub id: u64,
    pub uuid: Identity,
    pub parent_uuid: Identity,
    pub received_uuid: Identity,
    /// When it last changed.
    pub ctransid: u64,
    /// When it was made.
    pub otransid: u64,
    /// The sender's ctransid.
    pub stransid: u64,
    /// When it was marked as received.
    pub rtransid: u64,
    /// When it was made: seconds since 1970.
    pub made: i64,
    /// It was made writable and changed since it was received or made, as far as that was asked.
    pub changed: bool,
    /// Its name, where it is in the folder that was asked about.
    pub name: Option<Vec<u8>>,
    /// Whose it is, where a record beside it says so and that was looked up.
    pub origin: Option<Origin>,
}

impl Snapshot {
    /// What `btrfs send` calls it: a subvolume that was received goes by its first name.
    pub(crate) fn sent_as(&self) -> Identity {
        self.received_uuid.known().unwrap_or(self.uuid)
    }

    /// Whether the mark means it.
    pub(crate) fn bears(&self, mark: &Mark) -> bool {
        self.uuid == mark.here || self.uuid == mark.there
    }

    /// As it is written down.
    pub(crate) fn state(&self) -> SubvolumeState {
        let Self { uuid, received_uuid, stransid, rtransid, ctransid, .. } = *self;
        SubvolumeState { uuid: uuid.0, received_uuid: received_uuid.0, stransid, rtransid, ctransid }
    }
}

/// All read-only subvolumes of the filesystem that `folder` is on, but those with hidden names: one that was not received whole
/// may be marked as received and read-only already, and lacks nothing but its name when it is swept. Whether those were changed
/// is asked that were received, and those in `known`.
pub(super) fn list(folder: impl AsFd, known: &[Identity]) -> Result<Vec<Snapshot>, Fault> {
    let folder = folder.as_fd();
    let (held_by, directory) = (subvolume::info(folder)?.id, butterdock_btrfs::file::stat(folder)?.ino);
    let mut found = Vec::new();
    for subvolume::Subvolume { id, item, place } in subvolume::all(folder)? {
        let Some(place) = place.filter(|place| name::hidden(&place.name).is_none()) else { continue };
        if !item.read_only || item.refs == 0 {
            continue;
        }
        let (uuid, received_uuid) = (Identity(item.uuid), Identity(item.received_uuid));
        let asked = received_uuid.known().is_some() || known.contains(&uuid);
        let changed = asked && is_changed(folder, id, &item)?;
        found.push(Snapshot {
            id,
            uuid,
            parent_uuid: Identity(item.parent_uuid),
            received_uuid,
            ctransid: item.ctransid,
            otransid: item.otransid,
            stransid: item.stransid,
            rtransid: item.rtransid,
            made: item.otime,
            changed,
            name: (place.parent_id == held_by && place.dir_id == directory).then_some(place.name),
            origin: None,
        });
    }
    Ok(found)
}

/// Whether it was changed since it was received, or else made. A later number alone is none: data that is written out late, and
/// deduplication, change it, and no time of an inode.
fn is_changed(folder: impl AsFd, id: u64, item: &RootItem) -> Result<bool, Fault> {
    let received = Identity(item.received_uuid).known().is_some();
    let made = (item.otime, item.otime_nanoseconds);
    let (since, time) = if received { (item.rtransid, item.rtime) } else { (item.otransid, made) };
    Ok(item.ctransid > since && contents::newest_ctime(folder, id, since)?.is_some_and(|ctime| ctime > time))
}

/// When butterdock made it, by its name; none for what it did not make for the backup `backup`.
///
/// The name alone is what anybody can give. On the side of the source it must be a snapshot of that very subvolume, made when
/// the name says; on the drive a record must say that it is this backup's.
pub(super) fn made_by_us(snapshot: &Snapshot, backup: &[u8], side: Side<'_>) -> Option<i64> {
    /// A clock may be set while a snapshot is made.
    const APART: u64 = 600;
    let time = name::parse(backup, snapshot.name.as_deref()?)?;
    let made = match side {
        Side::Source { uuid } => snapshot.parent_uuid == uuid && snapshot.made.abs_diff(time) < APART,
        Side::Drive(owner) => owner.owns(snapshot),
    };
    made.then_some(time)
}

/// Where a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side<'o> {
    /// Beside the source, which has this uuid.
    Source { uuid: Identity },
    /// On a drive: the machine and backup whose snapshots are pruned.
    Drive(&'o Owner),
}

impl Side<'_> {
    /// Whether it is the drive's.
    pub(super) fn is_drive(self) -> bool {
        matches!(self, Self::Drive(_))
    }
}

/// A uuid of a subvolume; hexadecimal digits where it is written down.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(#[serde(with = "bytes::uuid")] pub [u8; 16]);

impl Identity {
    /// The uuid that the kernel has where there is none.
    pub const NONE: Self = Self([0; 16]);

    /// Itself, unless it is none.
    pub fn known(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0), f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_no_proof_of_ownership() {
        let uuid = Identity([1; 16]);
        let name = name::make(b"home", 1_000_000);
        let ours = Snapshot { parent_uuid: uuid, made: 1_000_001, name: Some(name), ..Snapshot::default() };
        let side = Side::Source { uuid };
        assert_eq!(made_by_us(&ours, b"home", side), Some(1_000_000));
        for other in [
            Snapshot { name: None, ..ours.clone() },
            Snapshot { parent_uuid: Identity([2; 16]), ..ours.clone() },
            Snapshot { made: 2_000_000, ..ours.clone() },
        ] {
            assert_eq!(made_by_us(&other, b"home", side), None);
        }
        let owner = Owner { machine: uuid, backup: b"home".to_vec(), sources: vec![uuid] };
        let received = Snapshot { received_uuid: uuid, ..ours };
        assert_eq!(made_by_us(&received, b"home", Side::Drive(&owner)), None);
        let origin = Some(Origin { machine: uuid.0, source: uuid.0, backup: "home".to_owned() });
        let recorded = Snapshot { origin, ..received };
        assert_eq!(made_by_us(&recorded, b"home", Side::Drive(&owner)), Some(1_000_000));
    }
}
