//! Deletes snapshots that a person chose. The service has checked that this machine made them; here each is looked at once more
//! before it is deleted, because a person may hold it meanwhile.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use butterdock_btrfs::{Errno, Error as Fault, contents, filesystem, roots, subvolume};
use butterdock_receive::{Control, ErrorKind};
use serde::{Deserialize, Serialize};

use super::error::BackupError;
use super::folders::Folders;
use super::freeable_space::freed;
use super::freed_space_wait::DeletedSubvolumes;
use super::name;
use super::snapshot::Identity;

/// The largest number of snapshots in one order.
pub const MOST_DELETED: usize = 1000;
/// Timeout for finding out what a deletion frees.
const MEASURING: Duration = Duration::from_secs(30);
/// The kernel frees the space in the background. After this time without a subvolume that is freed, the job does not wait longer.
const STALLED: Duration = Duration::from_secs(600);

/// Events of a deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeletionEvent {
    /// What the deletion frees: an upper bound, in bytes of data. The first event, unless it takes too long to find out.
    Total {
        /// In bytes.
        bytes: u64,
    },
    /// The size of one of the snapshots: the extents of all its files. Only where nothing is deleted.
    Size {
        /// The subvolume's own uuid.
        uuid: Identity,
        /// In bytes.
        bytes: u64,
    },
    /// A snapshot was deleted.
    Deleted {
        /// The subvolume's own uuid.
        uuid: Identity,
    },
    /// A snapshot was not deleted.
    Kept {
        /// The subvolume's own uuid.
        uuid: Identity,
        /// Why.
        why: KeptBecause,
    },
    /// So much of the total is free.
    Freed {
        /// In bytes.
        bytes: u64,
    },
}

/// Why a snapshot was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptBecause {
    /// There is no such snapshot any more.
    Missing,
    /// A person holds it.
    Held,
    /// It is being sent, or a subvolume is in it.
    InUse,
}

/// A running deletion.
pub(crate) struct Deletion<'d> {
    /// A directory of the filesystem.
    pub place: BorrowedFd<'d>,
    /// The top of the filesystem.
    pub top: BorrowedFd<'d>,
    pub snapshots: &'d [Identity],
    pub control: &'d Control,
    pub report: &'d (dyn Fn(DeletionEvent) + Sync),
}

impl Deletion<'_> {
    /// Reports what deleting the snapshots would free, and the size of each. Deletes nothing.
    pub(crate) fn measure(&self) -> Result<(), BackupError> {
        let measuring = BackupError::drive("find out what deleting the snapshots frees");
        let found = self.find().map_err(&measuring)?;
        if let Some(total) = self.total(&found).map_err(&measuring)? {
            (self.report)(DeletionEvent::Total { bytes: sum(&total) });
        }
        for (uuid, id) in &found {
            let bytes = contents::stored_since(self.place, *id, 0).map_err(&measuring)?.bytes;
            (self.report)(DeletionEvent::Size { uuid: *uuid, bytes });
        }
        Ok(())
    }

    /// Deletes them, and returns when their space is free, or the kernel takes long for it.
    pub(crate) fn run(&self) -> Result<(), BackupError> {
        let deleting = BackupError::drive("delete a snapshot");
        let found = self.find().map_err(&deleting)?;
        let missing = self.snapshots.iter().filter(|uuid| !found.iter().any(|(known, _)| known == *uuid));
        missing.for_each(|&uuid| (self.report)(DeletionEvent::Kept { uuid, why: KeptBecause::Missing }));
        let total = self.total(&found).map_err(&deleting)?.unwrap_or_default();
        if sum(&total) > 0 {
            (self.report)(DeletionEvent::Total { bytes: sum(&total) });
        }
        let mut deleted = Vec::new();
        let mut failed = None;
        let mut is_cancelled = false;
        for (uuid, id) in found {
            if self.control.is_cancelled() {
                is_cancelled = true;
                break;
            }
            match self.delete(uuid, id) {
                Ok(None) => {
                    deleted.push(id);
                    (self.report)(DeletionEvent::Deleted { uuid });
                }
                Ok(Some(why)) => (self.report)(DeletionEvent::Kept { uuid, why }),
                Err(fault) => {
                    failed = Some(fault);
                    break;
                }
            }
        }
        filesystem::sync(self.place).map_err(&deleting)?;
        if let Some(fault) = failed {
            return Err(deleting(fault));
        }
        if is_cancelled {
            return Err(BackupError::new(ErrorKind::Cancelled, "the deletion was cancelled"));
        }
        self.wait(&total, deleted)
    }

    /// The present ones of the snapshots, in their order: the source's snapshot of a run comes before the others.
    fn find(&self) -> Result<Vec<(Identity, u64)>, Fault> {
        let wanted: HashMap<Identity, usize> = self.snapshots.iter().copied().zip(0..).collect();
        let all = subvolume::all(self.place)?.into_iter();
        let is_one = |one: &subvolume::Subvolume| {
            let is_named = one.place.as_ref().is_some_and(|place| name::hidden(&place.name).is_none());
            one.item.read_only && one.item.refs != 0 && is_named && wanted.contains_key(&Identity(one.item.uuid))
        };
        let mut found: Vec<_> = all.filter(is_one).collect();
        found.sort_unstable_by_key(|one| wanted.get(&Identity(one.item.uuid)));
        Ok(found.into_iter().map(|one| (Identity(one.item.uuid), one.id)).collect())
    }

    /// What each frees, by id.
    fn total(&self, found: &[(Identity, u64)]) -> Result<Option<HashMap<u64, u64>>, Fault> {
        // What was written a moment ago is in the trees only after a commit.
        filesystem::sync(self.place)?;
        let ids = found.iter().map(|(_, id)| *id).collect();
        Ok(freed(self.place, &ids, MEASURING)?.map(|all| all.into_iter().collect()))
    }

    /// Deletes one. Returns why it stays, if it does.
    fn delete(&self, uuid: Identity, id: u64) -> Result<Option<KeptBecause>, Fault> {
        match Folders::below(self.top).destroy(self.place, id, uuid) {
            Ok(true) => Ok(None),
            Ok(false) => {
                let is_there = roots::root_item(self.place, id)?.is_some_and(|item| item.refs != 0);
                Ok(Some(if is_there { KeptBecause::Held } else { KeptBecause::Missing }))
            }
            Err(Fault { errno: Errno::ENOENT, .. }) => Ok(Some(KeptBecause::Missing)),
            Err(Fault { errno: Errno::EPERM | Errno::EBUSY | Errno::ENOTEMPTY, .. }) => Ok(Some(KeptBecause::InUse)),
            Err(fault) => Err(fault),
        }
    }

    /// Waits until the space is free.
    fn wait(&self, total: &HashMap<u64, u64>, deleted: Vec<u64>) -> Result<(), BackupError> {
        let waiting = BackupError::drive("wait for the space of deleted snapshots");
        let of =
            |ids: &[u64]| ids.iter().filter_map(|id| total.get(id)).fold(0, |sum, bytes| bytes.saturating_add(sum));
        let all = of(&deleted);
        let mut left = DeletedSubvolumes::these(self.place, deleted);
        let (mut count, mut since) = (left.ids().len(), Instant::now());
        while !left.is_free() && since.elapsed() < STALLED && !self.control.is_cancelled() {
            left.check_after_pause().map_err(&waiting)?;
            if left.ids().len() < count {
                (count, since) = (left.ids().len(), Instant::now());
                (self.report)(DeletionEvent::Freed { bytes: all.saturating_sub(of(left.ids())) });
            }
        }
        Ok(())
    }
}

fn sum(total: &HashMap<u64, u64>) -> u64 {
    total.values().fold(0, |sum, bytes| bytes.saturating_add(sum))
}
