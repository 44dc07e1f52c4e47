//! Which snapshots the sender and the receiver share: a pure function of the snapshots on both sides and of the record.
//!
//! Names do not count, and neither do a subvolume's own marks alone. A snapshot is a parent or clone source where
//! butterdock recorded its identity on both sides when it sent it, and both still have that identity. The numbers that a
//! stream gives beside a uuid are not compared: they differ after a restore that is written to, and after deduplication,
//! which change nothing.

use std::fmt;

use butterdock_receive::SubvolumeState;
use serde::{Deserialize, Serialize};

use super::shared::{SharedSnapshot, sent_as};
use super::snapshot::Identity;
use super::snapshot::Snapshot;

/// A snapshot that is on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SharedPair<'s> {
    /// On the side that sends.
    pub source: &'s Snapshot,
    /// On the side that receives: the drive, or the volume that is restored into.
    pub drive: &'s Snapshot,
}

/// The source itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub uuid: Identity,
    pub parent_uuid: Identity,
}

/// What both sides have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SharedSnapshots<'s> {
    /// The newest first: it is the parent, and from all of them a stream may clone.
    pub pairs: Result<Vec<SharedPair<'s>>, Why>,
    /// The counterparts that have been replaced by something else: the uuids that were written down.
    pub replaced: Vec<Identity>,
}

/// Why there is no pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The drive has nothing that was received.
    EmptyDrive,
    /// The source has no snapshot.
    NoSnapshot,
    /// Snapshots on the drive, or here, were changed.
    Changed(usize),
    /// Other subvolumes have the identity of snapshots that were sent.
    Replaced(usize),
    /// Nothing is remembered of what is on the drive.
    NotRecorded,
    /// Both have snapshots, of which none is the same.
    NoneAlike,
    /// The last backup on the drive is writable, or was.
    MadeWritable,
    /// The last backup is not on the drive any more.
    Deleted,
    /// A snapshot is restored, and the volume has none that it was made after.
    NothingThere,
}

/// Finds the pairs: what is `known`, the sender's side first, of what is on the sender and the receiver now.
pub(super) fn find_shared<'s>(
    origin: Origin,
    known: &[SharedSnapshot],
    sender: &'s [Snapshot],
    receiver: &'s [Snapshot],
) -> SharedSnapshots<'s> {
    let mut pairs: Vec<SharedPair<'s>> = Vec::new();
    let (mut changed, mut replaced, mut any) = (0_usize, Vec::new(), false);
    for shared in known {
        let (from, to) = (&shared.here, &shared.there);
        let mine = sender.iter().find(|snapshot| snapshot.uuid == Identity(from.uuid));
        let Some(mine) = mine.filter(|mine| related(origin, mine)) else { continue };
        any = true;
        let theirs = receiver.iter().find(|other| other.uuid == Identity(to.uuid));
        match theirs {
            Some(theirs) if !is_marked_as(theirs, to, from) => replaced.push(Identity(to.uuid)),
            Some(theirs) if is_whole(theirs, to) && is_as_it_was(mine, from, to) => {
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
        (count @ 1.., _) => Err(Why::Replaced(count)),
        (0, 1..) => Err(Why::Changed(changed)),
        _ if nothing_received() => Err(Why::EmptyDrive),
        _ if known.is_empty() => Err(Why::NotRecorded),
        _ if any => Err(Why::NoneAlike),
        _ => Err(Why::NoSnapshot),
    };
    SharedSnapshots { pairs, replaced }
}

impl SharedPair<'_> {
    /// Whether the receiver has the very number that the stream gives.
    fn is_exact(&self) -> bool {
        let Self { source, drive } = self;
        if drive.received_uuid == source.sent_as() {
            drive.stransid == source.ctransid
        } else {
            drive.ctransid == source.ctransid
        }
    }
}

/// Whether it is what was written down of it; `other` is what was written down of the other side.
pub(super) fn is_as_it_was(now: &Snapshot, then: &SubvolumeState, other: &SubvolumeState) -> bool {
    now.uuid == Identity(then.uuid) && is_marked_as(now, then, other) && is_whole(now, then)
}

/// Of the same line as the source. A snapshot of another subvolume would do as a parent, but the stream would delete
/// everything that is in the one and make everything that is in the other.
fn related(origin: Origin, snapshot: &Snapshot) -> bool {
    let above = origin.parent_uuid.known();
    snapshot.parent_uuid == origin.uuid
        || above.is_some_and(|above| snapshot.uuid == above || snapshot.parent_uuid == above)
}

/// Whether it has the marks that were written down: its owner may mark it anew, and then `rtransid` differs.
fn is_marked_as(now: &Snapshot, then: &SubvolumeState, other: &SubvolumeState) -> bool {
    match *then {
        // Version 1 knew no more of the drive's half than its uuid.
        SubvolumeState { rtransid: 0, ctransid: 0, .. } => {
            let sent_as = sent_as(other);
            now.uuid == sent_as || now.received_uuid == sent_as && now.stransid == other.ctransid
        }
        // What was not received, and what version 1 knew of our half.
        SubvolumeState { rtransid: 0, received_uuid, .. } => now.received_uuid == Identity(received_uuid),
        _ => then.is_marked_as(&now.state()),
    }
}

/// Whether nothing was changed in it. A number that is later is a change only where the times of its inodes say so too.
fn is_whole(now: &Snapshot, then: &SubvolumeState) -> bool {
    !now.changed && now.ctransid >= then.ctransid
}

/// Whether something that was not written down has the identity under which `mine` was sent.
fn bears(other: &Snapshot, mine: &Snapshot, known: &[SharedSnapshot]) -> bool {
    let is_known = known.iter().any(|shared| other.uuid == Identity(shared.there.uuid));
    !is_known && other.received_uuid == mine.sent_as()
}

impl fmt::Display for Why {
    /// Completes "everything is sent, because …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyDrive => f.write_str("nothing was received on the drive yet"),
            Self::NoSnapshot => f.write_str("the source has no snapshot left that could be on the drive"),
            Self::Changed(1) => f.write_str("the one snapshot that both have was changed on the drive or here"),
            Self::Changed(count) => {
                write!(f, "the {count} snapshots that both have were changed on the drive or here")
            }
            Self::Replaced(_) => f.write_str(
                "another subvolume has the place or the identity of the last backup on the drive, perhaps put there by \
                 another machine; it was not used",
            ),
            Self::NotRecorded => f.write_str(
                "butterdock has no record of having sent what is on the drive, perhaps because the drive was enrolled anew",
            ),
            Self::NoneAlike => f.write_str("no snapshot of the source is on the drive any more"),
            Self::MadeWritable => f.write_str(
                "the last backup on the drive was made writable, perhaps by another machine, and may have changed",
            ),
            Self::Deleted => f.write_str("the last backup on the drive was deleted there, perhaps by another machine"),
            Self::NothingThere => f.write_str("the volume has nothing that the snapshot builds on"),
        }
    }
}

#[cfg(test)]
#[path = "shared_snapshots_tests.rs"]
mod tests;
