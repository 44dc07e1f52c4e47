//! The read-only subvolumes of a filesystem, as far as a backup needs them, and their identities.

use std::collections::HashSet;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use butterdock_btrfs::roots::{RootItem, RootRef};
use butterdock_btrfs::{Error as Fault, contents, filesystem, subvolume};
use butterdock_receive::{Hold, Origin, SubvolumeState};
use serde::{Deserialize, Serialize};

use super::lineage::SnapshotFolder;
use super::name;
use crate::hex;

/// A read-only subvolume, anywhere on its filesystem. Transaction ids are of its own filesystem, except `stransid`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// Its id on its filesystem.
    pub id: u64,
    pub uuid: Identity,
    pub parent_uuid: Identity,
    pub received_uuid: Identity,
    /// The transaction of its last change.
    pub ctransid: u64,
    /// The transaction that made it.
    pub otransid: u64,
    /// The sender's `ctransid`.
    pub stransid: u64,
    /// The transaction that set `received_uuid`.
    pub rtransid: u64,
    /// When it was made: seconds since 1970.
    pub made: i64,
    /// Its files changed after it was received or made. Only set if [`list`] checked it.
    pub changed: bool,
    /// Its name, if it is in the listed folder or in a former one.
    pub name: Option<Vec<u8>>,
    /// It is in a folder that this backup used before, and not in the listed one.
    pub former: bool,
    /// The origin in its record, after [`look_up`](super::owner::look_up).
    pub origin: Option<Origin>,
    /// That a person holds it, after [`look_up`](super::folders::Folders::look_up_holds).
    pub held: Option<Hold>,
}

impl Snapshot {
    /// The uuid that `btrfs send` writes for it: `received_uuid` if it was received.
    pub(crate) fn sent_as(&self) -> Identity {
        self.received_uuid.known().unwrap_or(self.uuid)
    }

    /// Its state, for records.
    pub(crate) fn state(&self) -> SubvolumeState {
        let Self { uuid, received_uuid, stransid, rtransid, ctransid, .. } = *self;
        SubvolumeState { uuid: uuid.0, received_uuid: received_uuid.0, stransid, rtransid, ctransid }
    }
}

/// The snapshots of a filesystem, and the folders for snapshots of one backup on it.
#[derive(Debug, Clone, Default)]
pub(super) struct Listing {
    pub snapshots: Vec<Snapshot>,
    /// The listed folder, and then the former ones, also those on other filesystems.
    pub folders: Vec<SnapshotFolder>,
}

/// The former folders of a backup: those that are recorded. If none is, as after an update, those in a predecessor of the source
/// that have a snapshot with a name like this one's. A snapshot that a person moved elsewhere makes no folder for snapshots.
#[derive(Debug, Clone, Copy)]
pub(super) struct FormerFolders<'f> {
    pub recorded: &'f [SnapshotFolder],
    /// The subvolumes that the source replaced.
    pub predecessors: &'f [Identity],
    /// Snapshots that the backup made.
    pub ours: &'f [Identity],
    /// The names of the backup.
    pub backup: &'f [u8],
}

/// The same as [`list`], but also with the names of the snapshots in former folders, wherever these were moved to.
pub(super) fn list_with_former(
    folder: impl AsFd,
    known: &[Identity],
    former: FormerFolders<'_>,
) -> Result<Listing, Fault> {
    let folder = folder.as_fd();
    let filesystem = Identity(filesystem::info(folder)?.fsid);
    let (subvolume, directory) = place_of(folder)?;
    let mut folders = vec![SnapshotFolder { filesystem, subvolume, directory }];
    let found = list_placed(folder, known)?;
    let is_ours = |snapshot: &Snapshot, name: &[u8]| {
        former.ours.contains(&snapshot.uuid) && name::parse(former.backup, name).is_some()
    };
    let within = if former.recorded.is_empty() { beneath(folder, former.predecessors)? } else { HashSet::new() };
    let held =
        found.iter().filter(|(snapshot, place)| within.contains(&place.parent_id) && is_ours(snapshot, &place.name));
    let held =
        held.map(|(_, place)| SnapshotFolder { filesystem, subvolume: place.parent_id, directory: place.dir_id });
    for folder in former.recorded.iter().copied().chain(held) {
        if !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    let is_former = |place: &RootRef| {
        let folder = SnapshotFolder { filesystem, subvolume: place.parent_id, directory: place.dir_id };
        folders.contains(&folder)
    };
    let named = |(snapshot, place): (Snapshot, RootRef)| {
        let former = snapshot.name.is_none() && is_former(&place);
        if former { Snapshot { name: Some(place.name), former, ..snapshot } } else { snapshot }
    };
    Ok(Listing { snapshots: found.into_iter().map(named).collect(), folders })
}

/// All read-only subvolumes of the filesystem that `folder` is on, except those with hidden names: an incomplete subvolume may
/// already be read-only and have a `received_uuid`. Sets `changed` for received subvolumes and for those in `known`.
pub(super) fn list(folder: impl AsFd, known: &[Identity]) -> Result<Vec<Snapshot>, Fault> {
    Ok(list_placed(folder.as_fd(), known)?.into_iter().map(|(snapshot, _place)| snapshot).collect())
}

/// The ids of these subvolumes, and of all in them.
fn beneath(folder: BorrowedFd<'_>, uuids: &[Identity]) -> Result<HashSet<u64>, Fault> {
    if uuids.is_empty() {
        return Ok(HashSet::new());
    }
    let all = subvolume::all(folder)?;
    let top = all.iter().filter(|one| uuids.contains(&Identity(one.item.uuid)));
    let mut ids: HashSet<u64> = top.map(|one| one.id).collect();
    loop {
        let is_in = |one: &&subvolume::Subvolume| one.place.as_ref().is_some_and(|at| ids.contains(&at.parent_id));
        let more: Vec<u64> = all.iter().filter(is_in).map(|one| one.id).collect();
        let count = ids.len();
        ids.extend(more);
        if ids.len() == count {
            return Ok(ids);
        }
    }
}

/// The id of the subvolume that has a folder, and the folder's inode.
fn place_of(folder: BorrowedFd<'_>) -> Result<(u64, u64), Fault> {
    Ok((subvolume::info(folder)?.id, butterdock_btrfs::file::stat(folder)?.ino))
}

/// The same with their places.
fn list_placed(folder: BorrowedFd<'_>, known: &[Identity]) -> Result<Vec<(Snapshot, RootRef)>, Fault> {
    let here = place_of(folder)?;
    let mut found = Vec::new();
    for subvolume::Subvolume { id, item, place } in subvolume::all(folder)? {
        let Some(place) = place.filter(|place| name::hidden(&place.name).is_none()) else { continue };
        if !item.read_only || item.refs == 0 {
            continue;
        }
        let (uuid, received_uuid) = (Identity(item.uuid), Identity(item.received_uuid));
        let is_checked = received_uuid.known().is_some() || known.contains(&uuid);
        let changed = is_checked && is_changed(folder, id, &item)?;
        let is_here = (place.parent_id, place.dir_id) == here;
        let snapshot = Snapshot {
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
            name: is_here.then(|| place.name.clone()),
            former: false,
            origin: None,
            held: None,
        };
        found.push((snapshot, place));
    }
    Ok(found)
}

/// Whether it changed since it was received or made. A later transaction id alone is no change: late writeback and
/// deduplication change it too, but no `ctime`.
fn is_changed(folder: impl AsFd, id: u64, item: &RootItem) -> Result<bool, Fault> {
    let received = Identity(item.received_uuid).known().is_some();
    let made = (item.otime, item.otime_nanoseconds);
    let (since, time) = if received { (item.rtransid, item.rtime) } else { (item.otransid, made) };
    Ok(item.ctransid > since && contents::newest_ctime(folder, id, since)?.is_some_and(|ctime| ctime > time))
}

/// A uuid of a subvolume; hexadecimal digits in records.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(#[serde(with = "hex::uuid")] pub [u8; 16]);

impl Identity {
    /// The kernel's value for a missing uuid.
    pub const NONE: Self = Self([0; 16]);

    /// `None` if it is [`Identity::NONE`].
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
