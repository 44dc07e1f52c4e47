//! The record of the snapshots that a source and a drive share, so that the next backup is an increment.
//!
//! A subvolume's marks prove little: its owner may set them, and so may any stream. So a snapshot counts as shared only
//! where butterdock itself sent or received it and recorded its identity on both sides. The daemon keeps the list for each
//! drive and backup, and for what was restored from the drive; its length is bounded.
//!
//! A drive may be away for months. Meanwhile the newest shared snapshot is pinned: neither side prunes its own.

use butterdock_receive::SubvolumeState;
use serde::{Deserialize, Serialize};

use super::snapshot::Identity;

/// One snapshot, as it was on both sides when it was sent. Each number counts the commits of its own filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedSnapshot {
    /// On this machine: beside the source, or in the volume that it was restored into.
    pub here: SubvolumeState,
    /// On the drive. A record of version 1 does not know its `rtransid`, which is 0 then.
    pub there: SubvolumeState,
    /// When it was sent, or was found to be up to date: seconds since 1970.
    pub time: i64,
}

/// A shared snapshot that neither side may prune: the own uuids on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The source's snapshot.
    pub here: Identity,
    /// Its counterpart on the drive.
    pub there: Identity,
}

/// What is known of one backup on one drive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The source that snapshots on the drive are of, and those that it took the place of (a rollback, a restore).
    pub sources: Vec<Identity>,
    /// The last is the newest, and pinned.
    pub shared: Vec<SharedSnapshot>,
}

/// What a backup has to be remembered by, once it has succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// The pair of the source's snapshot and its counterpart.
    pub shared: SharedSnapshot,
    /// The uuids of the source's subvolumes.
    pub sources: Vec<Identity>,
    /// Uuids on the drive of what is not there any more as it was sent.
    pub lost: Vec<Identity>,
}

/// What version 1 remembered: the newest one alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    sent_as: Identity,
    ctransid: u64,
    source: Identity,
    drive: Identity,
    time: i64,
}

/// Up to this many shared snapshots of one backup are recorded for one drive, and as many restored ones.
pub(super) const MOST_SHARED: usize = 48;
/// An order has room for this many.
pub(super) const MOST_IN_ORDER: usize = 100;
/// An order has room for this many pins: as many drives may take part in one backup.
pub const MOST_PINS: usize = 40;
/// A source may be replaced by a successor up to this often.
const MOST_SOURCES: usize = 16;

impl SharedSnapshot {
    /// What pins it on both sides.
    pub fn mark(&self) -> Mark {
        Mark { here: Identity(self.here.uuid), there: Identity(self.there.uuid) }
    }

    /// The same, as a restore sees it: the drive sends.
    pub fn reversed(&self) -> Self {
        Self { here: self.there, there: self.here, time: self.time }
    }
}

impl Known {
    /// The newest: what the next increment builds on where nothing else is known.
    pub fn newest(&self) -> Option<&SharedSnapshot> {
        self.shared.last()
    }

    /// Adds what a backup reported.
    pub fn learn(&mut self, learned: Learned) {
        let Learned { shared, sources, lost } = learned;
        self.shared.retain(|known| !lost.contains(&known.mark().there));
        remember(&mut self.shared, shared);
        self.sources = sources;
        self.sources.truncate(MOST_SOURCES);
    }
}

impl From<Pin> for Known {
    fn from(pin: Pin) -> Self {
        let Pin { sent_as, ctransid, source, drive, time } = pin;
        let received = if sent_as == source { Identity::NONE } else { sent_as };
        let here = SubvolumeState { uuid: source.0, received_uuid: received.0, ctransid, ..SubvolumeState::default() };
        let there = SubvolumeState { uuid: drive.0, ..SubvolumeState::default() };
        Self { sources: Vec::new(), shared: vec![SharedSnapshot { here, there, time }] }
    }
}

/// What a subvolume is called in streams: its own uuid, or that under which it was received itself.
pub(super) fn sent_as(state: &SubvolumeState) -> Identity {
    Identity(state.received_uuid).known().unwrap_or(Identity(state.uuid))
}

/// Adds one to a list, at its end; it was perhaps there already. The oldest go where it is too long.
pub fn remember(list: &mut Vec<SharedSnapshot>, shared: SharedSnapshot) {
    list.retain(|known| known.mark() != shared.mark());
    list.push(shared);
    let surplus = list.len().saturating_sub(MOST_SHARED);
    list.drain(..surplus);
}

/// What an order says of several lists, the first of which matters most: the newest of each, each once.
pub fn for_order<'l>(lists: impl IntoIterator<Item = &'l [SharedSnapshot]>) -> Vec<SharedSnapshot> {
    let mut all: Vec<SharedSnapshot> = Vec::new();
    for shared in lists.into_iter().flat_map(|list| list.iter().rev()) {
        if all.len() < MOST_IN_ORDER && !all.iter().any(|known| known.mark() == shared.mark()) {
            all.push(*shared);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(number: u8) -> SharedSnapshot {
        let here = SubvolumeState { uuid: [number; 16], ctransid: 7, ..SubvolumeState::default() };
        let there =
            SubvolumeState { uuid: [number + 100; 16], received_uuid: [number; 16], ..SubvolumeState::default() };
        SharedSnapshot { here, there, time: i64::from(number) }
    }

    #[test]
    fn the_list_is_bounded_and_the_last_is_the_newest() {
        let mut known = Known::default();
        for number in (0..90).chain([80]) {
            known.learn(Learned { shared: shared(number), sources: vec![Identity([1; 16])], lost: Vec::new() });
        }
        assert_eq!((known.shared.len(), known.newest().copied()), (MOST_SHARED, Some(shared(80))));
        let lost = vec![Identity([189; 16])];
        known.learn(Learned { shared: shared(80), sources: Vec::new(), lost });
        assert_eq!(known.shared.len(), MOST_SHARED - 1, "what is not on the drive any more is forgotten");
    }

    #[test]
    fn a_pin_of_version_1_proves_one_shared_snapshot() {
        let pin = |sent_as| Pin { sent_as, ctransid: 7, source: Identity([1; 16]), drive: Identity([2; 16]), time: 9 };
        let known = Known::from(pin(Identity([1; 16])));
        let one = known.newest().expect("one");
        assert_eq!(one.mark(), Mark { here: Identity([1; 16]), there: Identity([2; 16]) });
        assert_eq!((sent_as(&one.here), one.here.ctransid, one.there.rtransid, one.time), (Identity([1; 16]), 7, 0, 9));
        let received = Known::from(pin(Identity([3; 16])));
        assert_eq!(received.newest().map(|newest| sent_as(&newest.here)), Some(Identity([3; 16])));
    }

    #[test]
    fn an_order_names_each_shared_snapshot_once() {
        let (own, others): (Vec<_>, Vec<_>) = ((0..40).map(shared).collect(), (30..110).map(shared).collect());
        let all = for_order([&own[..], &others[..]]);
        assert_eq!((all.len(), all.first().copied()), (MOST_IN_ORDER, Some(shared(39))));
        let largest = SubvolumeState {
            uuid: [0xff; 16],
            received_uuid: [0xff; 16],
            stransid: u64::MAX,
            rtransid: u64::MAX,
            ctransid: u64::MAX,
        };
        let one = SharedSnapshot { here: largest, there: largest, time: i64::MIN };
        let bytes = serde_json::to_vec(&vec![one; MOST_IN_ORDER]).expect("written").len();
        assert!(bytes < 50 << 10, "{bytes}");
    }
}
