//! The snapshots of a filesystem, as far as a backup asks about them.

use std::os::fd::AsFd;

use butterdock_btrfs::{Error as Fault, changes, subvolume, subvolumes};

use super::identity::Identity;
use super::name;
use super::pins::Mark;

/// A read-only subvolume, wherever on its filesystem it is. Transactions are those of its own filesystem, but `stransid`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Its id there.
    pub(crate) id: u64,
    pub(crate) uuid: Identity,
    pub(crate) parent_uuid: Identity,
    pub(crate) received_uuid: Identity,
    /// When it last changed.
    pub(crate) ctransid: u64,
    /// When it was made.
    pub(crate) otransid: u64,
    /// The sender's ctransid.
    pub(crate) stransid: u64,
    /// When it was made: seconds since 1970.
    pub(crate) made: i64,
    /// It was received, made writable and changed.
    pub(crate) changed: bool,
    /// Its name, where it is in the folder that was asked about.
    pub(crate) name: Option<Vec<u8>>,
}

impl Snapshot {
    /// What `btrfs send` calls it: a subvolume that was received goes by its first name.
    pub(crate) fn sent_as(&self) -> Identity {
        self.received_uuid.known().unwrap_or(self.uuid)
    }

    /// What tells it from all others in a stream.
    pub(crate) fn mark(&self) -> Mark {
        Mark { sent_as: self.sent_as(), ctransid: self.ctransid }
    }

    /// Whether it is what the mark means, or its twin.
    pub(crate) fn bears(&self, mark: &Mark) -> bool {
        let is_twin = self.received_uuid == mark.sent_as && self.stransid == mark.ctransid;
        is_twin || self.uuid == mark.sent_as || self.mark() == *mark
    }
}

/// All read-only subvolumes of the filesystem that `folder` is on, but those with hidden names: one that was not received whole
/// may be marked as received and read-only already, and lacks nothing but its name when it is swept.
pub(crate) fn list(folder: impl AsFd) -> Result<Vec<Snapshot>, Fault> {
    let folder = folder.as_fd();
    let (held_by, directory) = (subvolume::info(folder)?.id, butterdock_btrfs::file::stat(folder)?.ino);
    let mut found = Vec::new();
    for subvolumes::Subvolume { id, item, place } in subvolumes::all(folder)? {
        let Some(place) = place.filter(|place| name::hidden(&place.name).is_none()) else { continue };
        if !item.read_only || item.refs == 0 {
            continue;
        }
        let received_uuid = Identity(item.received_uuid);
        let changed = received_uuid.known().is_some()
            && item.ctransid > item.rtransid
            && changes::newest_ctime(folder, id, item.rtransid)?.is_some_and(|ctime| ctime > item.rtime);
        found.push(Snapshot {
            id,
            uuid: Identity(item.uuid),
            parent_uuid: Identity(item.parent_uuid),
            received_uuid,
            ctransid: item.ctransid,
            otransid: item.otransid,
            stransid: item.stransid,
            made: item.otime,
            changed,
            name: (place.parent_id == held_by && place.dir_id == directory).then_some(place.name),
        });
    }
    Ok(found)
}

/// When butterdock made it, by its name; none for what it did not make for the backup `backup`.
///
/// The name alone is what anybody can give. On the side of the source it must be a snapshot of that very subvolume, made when
/// the name says; on the drive it must have been received.
pub(crate) fn made_by_us(snapshot: &Snapshot, backup: &[u8], side: Side) -> Option<i64> {
    /// A clock may be set while a snapshot is made.
    const APART: u64 = 600;
    let time = name::parse(backup, snapshot.name.as_deref()?)?;
    let made = match side {
        Side::Source { uuid } => snapshot.parent_uuid == uuid && snapshot.made.abs_diff(time) < APART,
        Side::Drive => snapshot.received_uuid.known().is_some(),
    };
    made.then_some(time)
}

/// Where a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Beside the source, which has this uuid.
    Source {
        uuid: Identity,
    },
    Drive,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_makes_nothing_ours() {
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
        assert_eq!(made_by_us(&ours, b"home", Side::Drive), None);
        let received = Snapshot { received_uuid: uuid, ..ours };
        assert_eq!(made_by_us(&received, b"home", Side::Drive), Some(1_000_000));
    }
}
