//! The read-only subvolumes of a filesystem, as far as a backup needs them, and their identities.

use std::fmt;
use std::os::fd::AsFd;

use butterdock_btrfs::roots::RootItem;
use butterdock_btrfs::{Error as Fault, contents, subvolume};
use butterdock_receive::{Origin, SubvolumeState};
use serde::{Deserialize, Serialize};

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
    /// Its name, if it is in the listed folder.
    pub name: Option<Vec<u8>>,
    /// The origin in its record, after [`look_up`](super::owner::look_up).
    pub origin: Option<Origin>,
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

/// All read-only subvolumes of the filesystem that `folder` is on, except those with hidden names: an incomplete subvolume may
/// already be read-only and have a `received_uuid`. Sets `changed` for received subvolumes and for those in `known`.
pub(super) fn list(folder: impl AsFd, known: &[Identity]) -> Result<Vec<Snapshot>, Fault> {
    let folder = folder.as_fd();
    let (folder_subvolume, directory) = (subvolume::info(folder)?.id, butterdock_btrfs::file::stat(folder)?.ino);
    let mut found = Vec::new();
    for subvolume::Subvolume { id, item, place } in subvolume::all(folder)? {
        let Some(place) = place.filter(|place| name::hidden(&place.name).is_none()) else { continue };
        if !item.read_only || item.refs == 0 {
            continue;
        }
        let (uuid, received_uuid) = (Identity(item.uuid), Identity(item.received_uuid));
        let is_checked = received_uuid.known().is_some() || known.contains(&uuid);
        let changed = is_checked && is_changed(folder, id, &item)?;
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
            name: (place.parent_id == folder_subvolume && place.dir_id == directory).then_some(place.name),
            origin: None,
        });
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
