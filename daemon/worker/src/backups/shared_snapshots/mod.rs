//! Which snapshots the sender and the receiver share: a pure function of the snapshots on both sides and of the record.
//!
//! Names do not count, and a subvolume's own uuids alone do not either. A snapshot can be a parent or clone source if butterdock
//! recorded its identity on both sides when it sent it, and both still have that identity. The `ctransid` that a stream has
//! beside a uuid is not compared: it differs after a write to a restored subvolume and after deduplication, which do not change
//! the snapshot.

use std::fmt;
use std::os::fd::AsFd;

use butterdock_btrfs::{Error as Fault, subvolume};
use butterdock_receive::SubvolumeState;
use serde::{Deserialize, Serialize};

use crate::backups::lineage::Lineage;
use crate::backups::shared_record::{SharedSnapshot, sent_as};
use crate::backups::snapshot::{Identity, Snapshot};
use crate::backups::task::UnpinReason;

/// A shared snapshot on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedPair<'s> {
    /// On the sender's side.
    pub source: &'s Snapshot,
    /// On the receiver's side: the drive, or the volume of a restore.
    pub drive: &'s Snapshot,
}

/// The result of [`find_shared`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SharedSnapshots<'s> {
    /// Newest first. The first is the parent, and all of them are clone sources.
    pub pairs: Result<Vec<SharedPair<'s>>, FullReason>,
    /// The recorded uuids of snapshots that were replaced on the receiver's side.
    pub replaced: Vec<Identity>,
}

/// Why there is no shared snapshot, and so a full transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FullReason {
    /// The drive has no received subvolumes.
    EmptyDrive,
    /// The source has no recorded snapshot.
    NoSnapshot,
    /// This many shared snapshots were changed on one side.
    Changed(usize),
    /// This many snapshots on the drive were replaced by other subvolumes with their identity.
    Replaced(usize),
    /// There is no record of the snapshots on the drive.
    NotRecorded,
    /// Both sides have snapshots, but no shared one.
    NoneAlike,
    /// The last backup on the drive is or was writable.
    MadeWritable,
    /// The last backup is no longer on the drive.
    Deleted,
    /// A verify found damage in all shared snapshots on the drive, this many.
    Damaged(usize),
    /// For a restore: the volume has no shared snapshot.
    NothingThere,
    /// The source is a shared snapshot that was made writable.
    SourceMadeWritable,
    /// Another backup sent the source, a snapshot, to the drive: it is no parent of itself, and there is no other one.
    SentByAnother,
    /// It was requested, whatever both sides share.
    Requested,
    /// The shared snapshot beside the source was unpinned.
    Unpinned(UnpinReason),
}

/// Finds the `known` shared snapshots (in which `here` is the sender's side) among the snapshots on both sides. `lineage` is
/// that of the subvolume that is sent.
pub(super) fn find_shared<'s>(
    lineage: &Lineage,
    known: &[SharedSnapshot],
    sender: &'s [Snapshot],
    receiver: &'s [Snapshot],
) -> SharedSnapshots<'s> {
    let mut pairs: Vec<SharedPair<'s>> = Vec::new();
    let (mut changed, mut replaced, mut any) = (0_usize, Vec::new(), false);
    for shared in known {
        let (from, to) = (&shared.here, &shared.there);
        let mine = sender.iter().find(|snapshot| snapshot.uuid == Identity(from.uuid));
        let Some(mine) = mine.filter(|mine| related(lineage, mine)) else { continue };
        any = true;
        let theirs = receiver.iter().find(|other| other.uuid == Identity(to.uuid));
        match theirs {
            Some(theirs) if !is_marked_as(theirs, to, from) => replaced.push(Identity(to.uuid)),
            Some(theirs) if is_whole(theirs, to) && is_unchanged(mine, from, to) => {
                pairs.push(SharedPair { source: mine, drive: theirs });
            }
            Some(_) => changed += 1,
            None if receiver.iter().any(|other| bears(other, mine, known)) => replaced.push(Identity(to.uuid)),
            None => {}
        }
    }
    pairs.sort_by_key(|pair| std::cmp::Reverse((pair.source.otransid, pair.source.id, pair.is_exact())));
    pairs.dedup_by_key(|pair| (pair.source.id, pair.drive.id));
    let nothing_received = || receiver.iter().all(|snapshot| snapshot.received_uuid.known().is_none());
    let pairs = match (replaced.len(), changed) {
        _ if !pairs.is_empty() => Ok(pairs),
        (count @ 1.., _) => Err(FullReason::Replaced(count)),
        (0, 1..) => Err(FullReason::Changed(changed)),
        _ if nothing_received() => Err(FullReason::EmptyDrive),
        _ if known.is_empty() => Err(FullReason::NotRecorded),
        _ if any => Err(FullReason::NoneAlike),
        _ => Err(FullReason::NoSnapshot),
    };
    SharedSnapshots { pairs, replaced }
}

impl SharedSnapshots<'_> {
    /// The same without those on the drive that are damaged.
    pub(super) fn without(self, damaged: &[Identity]) -> Self {
        let pairs = self.pairs.and_then(|all| {
            let count = all.len();
            let good: Vec<_> = all.into_iter().filter(|pair| !damaged.contains(&pair.drive.uuid)).collect();
            if good.is_empty() { Err(FullReason::Damaged(count)) } else { Ok(good) }
        });
        Self { pairs, ..self }
    }
}

impl SharedPair<'_> {
    /// Whether the receiver's generation number is the one in the stream.
    fn is_exact(&self) -> bool {
        let Self { source, drive } = self;
        if drive.received_uuid == source.sent_as() {
            drive.stransid == source.ctransid
        } else {
            drive.ctransid == source.ctransid
        }
    }
}

/// Whether the snapshot still has its recorded state `then`; `other` is the recorded state of the other side.
pub(super) fn is_unchanged(now: &Snapshot, then: &SubvolumeState, other: &SubvolumeState) -> bool {
    now.uuid == Identity(then.uuid) && is_marked_as(now, then, other) && is_whole(now, then)
}

/// Whether it is of the source's lineage, or a snapshot of one that is. A snapshot of another subvolume would be a valid parent,
/// but the stream would delete all its files and make all files of the source.
fn related(lineage: &Lineage, snapshot: &Snapshot) -> bool {
    lineage.includes(snapshot.uuid) || lineage.includes(snapshot.parent_uuid)
}

/// Whether it has the recorded uuids. If its owner sets `received_uuid` again, `rtransid` differs.
fn is_marked_as(now: &Snapshot, then: &SubvolumeState, other: &SubvolumeState) -> bool {
    match *then {
        // Version 1 recorded only the uuid on the drive.
        SubvolumeState { rtransid: 0, ctransid: 0, .. } => {
            let sent_as = sent_as(other);
            now.uuid == sent_as || now.received_uuid == sent_as && now.stransid == other.ctransid
        }
        // A subvolume that was not received, and version 1's record of this machine's side.
        SubvolumeState { rtransid: 0, received_uuid, .. } => now.received_uuid == Identity(received_uuid),
        _ => then.is_marked_as(&now.state()),
    }
}

/// Whether it is unchanged. A later `ctransid` is a change only if a `ctime` is later too.
fn is_whole(now: &Snapshot, then: &SubvolumeState) -> bool {
    !now.changed && now.ctransid >= then.ctransid
}

/// Whether an unrecorded subvolume has the identity of the sent snapshot `mine`.
fn bears(other: &Snapshot, mine: &Snapshot, known: &[SharedSnapshot]) -> bool {
    let is_known = known.iter().any(|shared| other.uuid == Identity(shared.there.uuid));
    !is_known && other.received_uuid == mine.sent_as()
}

impl fmt::Display for FullReason {
    /// Completes "everything is sent, because …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyDrive => f.write_str("nothing was received on the destination yet"),
            Self::NoSnapshot => f.write_str("the source has no snapshots left that could be on the drive"),
            Self::Changed(1) => f.write_str("the one shared snapshot was changed on the drive or on this machine"),
            Self::Changed(count) => {
                write!(f, "the {count} shared snapshots were changed on the drive or on this machine")
            }
            Self::Replaced(_) => f.write_str(
                "another subvolume has the place or the identity of the last backup on the drive, perhaps put there by \
                 another machine; it was not used",
            ),
            Self::NotRecorded => f.write_str(
                "butterdock has no record of sending the snapshots on the drive, perhaps because the drive was enrolled again",
            ),
            Self::NoneAlike => f.write_str("the drive no longer has a snapshot of the source"),
            Self::MadeWritable => f.write_str(
                "the last backup on the drive was made writable, perhaps by another machine, and may have changed",
            ),
            Self::Deleted => f.write_str("the last backup on the drive was deleted there, perhaps by another machine"),
            Self::Damaged(1) => f.write_str("a verify found damage in the one shared snapshot on the drive"),
            Self::Damaged(count) => write!(f, "a verify found damage in the {count} shared snapshots on the drive"),
            Self::NothingThere => f.write_str("the volume has no shared snapshot"),
            Self::SourceMadeWritable => f.write_str(
                "the source is itself the snapshot that the drive has, made writable, and may have changed; an increment needs a \
                 writable snapshot of it as the source, beside the unchanged one",
            ),
            Self::Unpinned(UnpinReason::Away) => f.write_str(
                "the drive was away for longer than keep_shared_for, so the snapshot that the source shared with it was deleted",
            ),
            Self::Unpinned(UnpinReason::Command) => {
                f.write_str("the snapshot that the source shared with the drive was deleted by a command")
            }
            Self::SentByAnother => {
                f.write_str("another backup already sent this snapshot to the drive, and both share no other one")
            }
            Self::Requested => f.write_str("it was requested"),
        }
    }
}

/// Without the pairs of the snapshot that is sent, which is no parent of itself: a read-only source that another backup sent.
pub(super) fn of_others(mut pairs: Vec<SharedPair<'_>>, sent: Identity) -> Result<Vec<SharedPair<'_>>, FullReason> {
    pairs.retain(|pair| pair.source.uuid != sent);
    if pairs.is_empty() { Err(FullReason::SentByAnother) } else { Ok(pairs) }
}

/// The largest number of clone sources.
const CLONE_SOURCES: usize = 8;

/// The ids of the parent (the newest) and of the clone sources.
pub(super) fn basis(pairs: &[SharedPair<'_>]) -> (Option<u64>, Vec<u64>) {
    let mut ids: Vec<u64> = pairs.iter().map(|pair| pair.source.id).collect();
    // A snapshot may be in two pairs: restored twice, or restored to its origin.
    ids.dedup();
    ids.truncate(CLONE_SOURCES);
    (ids.first().copied(), ids)
}

/// The transaction that made the parent: later extents are new.
pub(super) fn since(pairs: &[SharedPair<'_>]) -> u64 {
    pairs.first().map_or(0, |pair| pair.source.otransid)
}

/// The last backup on the drive, in its current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// Read-only and with its `received_uuid`.
    Whole,
    /// It is writable, or was: then it has lost its `received_uuid`.
    Writable,
    /// It is no longer on the drive.
    Deleted,
}

/// Finds the subvolume with this uuid on the filesystem of `drive`.
pub(super) fn last(drive: impl AsFd, uuid: Identity) -> Result<Last, Fault> {
    let all = subvolume::all(drive)?;
    let found = all.iter().find(|one| Identity(one.item.uuid) == uuid && one.item.refs != 0 && one.place.is_some());
    Ok(match found {
        Some(one) if one.item.read_only && Identity(one.item.received_uuid).known().is_some() => Last::Whole,
        Some(_) => Last::Writable,
        None => Last::Deleted,
    })
}

impl Last {
    /// The reason for a full transfer; `why` is the reason from the snapshots on both sides.
    pub(super) fn explains(self, why: FullReason) -> FullReason {
        match (why, self) {
            (FullReason::EmptyDrive | FullReason::NoneAlike, Self::Writable) => FullReason::MadeWritable,
            (FullReason::EmptyDrive | FullReason::NoneAlike, Self::Deleted) => FullReason::Deleted,
            (
                FullReason::EmptyDrive
                | FullReason::NoneAlike
                | FullReason::NoSnapshot
                | FullReason::Changed(_)
                | FullReason::Replaced(_)
                | FullReason::NotRecorded
                | FullReason::MadeWritable
                | FullReason::Deleted
                | FullReason::Damaged(_)
                | FullReason::NothingThere
                | FullReason::SourceMadeWritable
                | FullReason::SentByAnother
                | FullReason::Requested
                | FullReason::Unpinned(_),
                _,
            ) => why,
        }
    }
}

#[cfg(test)]
mod tests;
