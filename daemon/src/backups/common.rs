//! What the source and the drive have in common: a pure function of what is on both.
//!
//! Names do not count, and neither does who made a snapshot: those of btrbk or snapper serve as well. A pair counts when the
//! receiver will find it, which asks for the same identity in the same state; so a stream that is sent is never refused
//! for its parent.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use super::snapshot::Snapshot;

/// A snapshot that is on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair<'s> {
    pub(crate) source: &'s Snapshot,
    pub(crate) drive: &'s Snapshot,
}

/// The source itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) uuid: Identity,
    pub(crate) parent_uuid: Identity,
}

/// Why there is no pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    /// The drive has nothing that was received.
    EmptyDrive,
    /// The source has no snapshot.
    NoSnapshot,
    /// Snapshots on the drive were changed, or made in another state.
    Changed(usize),
    /// Both have snapshots, of which none is the same.
    NoneAlike,
    /// The last backup on the drive is writable, or was.
    MadeWritable,
    /// The last backup is not on the drive any more.
    Deleted,
    /// A snapshot is restored, and the volume has none that it was made after.
    NothingThere,
}

/// All pairs, the newest first: the first is the parent, and from all of them a stream may clone.
pub(crate) fn common<'s>(origin: Origin, source: &'s [Snapshot], drive: &'s [Snapshot]) -> Result<Vec<Pair<'s>>, Why> {
    let mut pairs: Vec<Pair<'s>> = Vec::new();
    let mut changed = 0_usize;
    let mut any = false;
    for mine in source.iter().filter(|snapshot| related(origin, snapshot)) {
        any = true;
        let named: Vec<&Snapshot> = drive.iter().filter(|other| carries(other, mine.sent_as())).collect();
        match named.iter().find(|other| same_state(other, mine)) {
            Some(twin) => pairs.push(Pair { source: mine, drive: twin }),
            None => changed = changed.saturating_add(usize::from(!named.is_empty())),
        }
    }
    pairs.sort_by_key(|pair| std::cmp::Reverse((pair.source.otransid, pair.source.id)));
    if !pairs.is_empty() {
        return Ok(pairs);
    }
    Err(match (any, changed) {
        (_, 1..) => Why::Changed(changed),
        _ if drive.iter().all(|snapshot| snapshot.received_uuid.known().is_none()) => Why::EmptyDrive,
        (false, _) => Why::NoSnapshot,
        (true, _) => Why::NoneAlike,
    })
}

/// Of the same line as the source. A snapshot of another subvolume would do as a parent, but the stream would delete
/// everything that is in the one and make everything that is in the other.
fn related(origin: Origin, snapshot: &Snapshot) -> bool {
    let above = origin.parent_uuid.known();
    snapshot.parent_uuid == origin.uuid
        || above.is_some_and(|above| snapshot.uuid == above || snapshot.parent_uuid == above)
}

fn carries(other: &Snapshot, identity: Identity) -> bool {
    other.received_uuid == identity || other.uuid == identity
}

/// As the receiver decides: what was received goes by the sender's transaction, everything else by its own.
fn same_state(other: &Snapshot, mine: &Snapshot) -> bool {
    if other.received_uuid == mine.sent_as() {
        other.stransid == mine.ctransid && !other.changed
    } else {
        other.ctransid == mine.ctransid
    }
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
mod tests {
    use super::*;

    const SOURCE: Identity = Identity([9; 16]);
    const ORIGIN: Origin = Origin { uuid: SOURCE, parent_uuid: Identity::NONE };

    fn id(number: u8) -> Identity {
        Identity([number; 16])
    }

    fn mine(number: u8) -> Snapshot {
        let transid = u64::from(number) * 10;
        Snapshot {
            id: transid,
            uuid: id(number),
            parent_uuid: SOURCE,
            ctransid: transid,
            otransid: transid + 1,
            ..Snapshot::default()
        }
    }

    fn twin(of: u8) -> Snapshot {
        let received_uuid = id(of);
        Snapshot { uuid: id(of + 100), received_uuid, stransid: u64::from(of) * 10, ctransid: 3, ..Snapshot::default() }
    }

    fn parent(source: &[Snapshot], drive: &[Snapshot]) -> Result<Identity, Why> {
        common(ORIGIN, source, drive).map(|pairs| pairs[0].source.uuid)
    }

    #[test]
    fn the_newest_that_both_have_is_the_parent() {
        let source = [mine(1), mine(3), mine(2), mine(4)];
        assert_eq!(parent(&source, &[twin(1), twin(2), twin(3)]), Ok(id(3)));
        assert_eq!(common(ORIGIN, &source, &[twin(1), twin(2), twin(3)]).map(|pairs| pairs.len()), Ok(3));
    }

    #[test]
    fn what_was_changed_on_the_drive_or_received_in_another_state_is_none() {
        let changed = Snapshot { changed: true, ..twin(2) };
        assert_eq!(parent(&[mine(1), mine(2)], &[twin(1), changed.clone()]), Ok(id(1)));
        let other = Snapshot { stransid: 19, ..twin(2) };
        assert_eq!(parent(&[mine(2)], std::slice::from_ref(&changed)), Err(Why::Changed(1)));
        assert_eq!(parent(&[mine(2)], &[other, changed]), Err(Why::Changed(1)));
    }

    #[test]
    fn a_snapshot_of_another_subvolume_is_no_parent() {
        let foreign = Snapshot { parent_uuid: id(77), ..mine(1) };
        assert_eq!(parent(&[foreign], &[twin(1)]), Err(Why::NoSnapshot));
    }

    #[test]
    fn a_source_that_was_restored_goes_on_with_what_it_was_restored_from() {
        let origin = Origin { uuid: id(50), parent_uuid: id(2) };
        let (source, drive) = ([mine(1), mine(2)], [twin(1), twin(2)]);
        let pairs = common(origin, &source, &drive).expect("a parent");
        assert_eq!(pairs[0].source.uuid, id(2));
    }

    #[test]
    fn a_snapshot_that_came_from_the_drive_is_its_original_only_in_the_same_state() {
        let original = Snapshot { uuid: id(1), ctransid: 5, ..Snapshot::default() };
        let copy = Snapshot { received_uuid: id(1), stransid: 5, ctransid: 40, ..mine(2) };
        // The stream would give the copy's own transaction, which the drive does not know.
        assert_eq!(parent(&[copy], &[original]), Err(Why::Changed(1)));
    }

    #[test]
    fn the_reason_for_a_full_stream_is_told() {
        assert_eq!(parent(&[], &[]), Err(Why::EmptyDrive));
        assert_eq!(parent(&[mine(1)], &[]), Err(Why::EmptyDrive));
        assert_eq!(parent(&[], &[twin(1)]), Err(Why::NoSnapshot));
        assert_eq!(parent(&[mine(1)], &[twin(2)]), Err(Why::NoneAlike));
    }
}
