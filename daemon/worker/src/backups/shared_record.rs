//! The record of the snapshots that a source and a drive share, so that the next backup is an increment.
//!
//! A subvolume's uuids prove little: its owner can set `received_uuid`, and so can any stream. So a snapshot counts as shared
//! only if butterdock itself sent or received it and recorded its identity on both sides. The service keeps this list for each
//! drive and backup, and for snapshots restored from the drive; its length is bounded.
//!
//! A drive may be away for months. Until it returns, the newest shared snapshot is pinned: it is pruned on neither side.

use butterdock_receive::SubvolumeState;
use serde::{Deserialize, Serialize};

use super::name::MOST_NESTED;
use super::snapshot::{Identity, Snapshot};

/// The state of one snapshot on both sides when it was sent. Transaction ids are of the filesystem of their side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedSnapshot {
    /// On this machine: beside the source, or in the volume of a restore.
    pub here: SubvolumeState,
    /// On the drive. In a record of version 1 `rtransid` is 0, because it was not recorded.
    pub there: SubvolumeState,
    /// When it was made, or found to be up to date: seconds since 1970. A transfer may end much later.
    pub time: i64,
}

/// The uuids of a shared snapshot on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairUuids {
    /// The source's snapshot.
    pub here: Identity,
    /// Its counterpart on the drive.
    pub there: Identity,
}

impl PairUuids {
    /// Whether it pins this snapshot.
    pub(super) fn pins(&self, snapshot: &Snapshot) -> bool {
        snapshot.uuid == self.here || snapshot.uuid == self.there
    }
}

/// The record of one backup on one drive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedRecord {
    /// The source (first) and the subvolumes that it replaced (a rollback, a restore).
    pub sources: Vec<Identity>,
    /// The shared snapshots of the source. The last is the newest, and pinned.
    pub shared: Vec<SharedSnapshot>,
    /// Those of the subvolumes below the source in the newest run. The pin of the run includes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nested: Vec<SharedSnapshot>,
}

/// The report of a successful backup, for the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordUpdate {
    /// The sent snapshot of the source.
    pub shared: SharedSnapshot,
    /// Those of the subvolumes below the source, in the same run.
    #[serde(default)]
    pub nested: Vec<SharedSnapshot>,
    /// The source (first) and the subvolumes that it replaced.
    pub sources: Vec<Identity>,
    /// The uuids of recorded snapshots that are no longer unchanged on the drive.
    pub lost: Vec<Identity>,
}

/// A record of version 1: only the newest shared snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordV1 {
    sent_as: Identity,
    ctransid: u64,
    source: Identity,
    drive: Identity,
    time: i64,
}

/// The largest number of recorded shared snapshots of one backup on one drive, and of restored ones.
pub(super) const MOST_SHARED: usize = 48;
/// The largest number of shared snapshots in an order.
pub(super) const MOST_IN_ORDER: usize = 200;
/// The largest number of pins in an order, and so of drives of one backup.
pub const MOST_PINS: usize = 40;
/// The largest number of recorded sources.
pub const MOST_SOURCES: usize = 16;

impl SharedSnapshot {
    /// Its uuids on both sides.
    pub fn uuids(&self) -> PairUuids {
        PairUuids { here: Identity(self.here.uuid), there: Identity(self.there.uuid) }
    }

    /// The same for a restore, where the drive is the sender.
    pub fn reversed(&self) -> Self {
        Self { here: self.there, there: self.here, time: self.time }
    }
}

impl SharedRecord {
    /// All shared snapshots of the backup.
    pub fn all(&self) -> Vec<SharedSnapshot> {
        self.nested.iter().chain(&self.shared).copied().collect()
    }

    /// The newest shared snapshot of the source.
    pub fn newest(&self) -> Option<&SharedSnapshot> {
        self.shared.last()
    }

    /// Adds the report of a backup.
    pub fn learn(&mut self, learned: RecordUpdate) {
        let RecordUpdate { shared, nested, sources, lost } = learned;
        self.shared.retain(|known| !lost.contains(&known.uuids().there));
        remember(&mut self.shared, shared);
        self.nested = nested;
        self.nested.truncate(MOST_NESTED);
        self.sources = sources;
        self.sources.truncate(MOST_SOURCES);
    }
}

impl From<RecordV1> for SharedRecord {
    fn from(pin: RecordV1) -> Self {
        let RecordV1 { sent_as, ctransid, source, drive, time } = pin;
        let received = if sent_as == source { Identity::NONE } else { sent_as };
        let here = SubvolumeState { uuid: source.0, received_uuid: received.0, ctransid, ..SubvolumeState::default() };
        let there = SubvolumeState { uuid: drive.0, ..SubvolumeState::default() };
        Self { shared: vec![SharedSnapshot { here, there, time }], ..Self::default() }
    }
}

/// The uuid that `btrfs send` writes for a subvolume: `received_uuid` if it was received, otherwise its own.
pub(super) fn sent_as(state: &SubvolumeState) -> Identity {
    Identity(state.received_uuid).known().unwrap_or(Identity(state.uuid))
}

/// Moves or adds a snapshot to the end of a list, and removes the oldest beyond the limit.
pub fn remember(list: &mut Vec<SharedSnapshot>, shared: SharedSnapshot) {
    list.retain(|known| known.uuids() != shared.uuids());
    list.push(shared);
    let surplus = list.len().saturating_sub(MOST_SHARED);
    list.drain(..surplus);
}

/// The shared snapshots for an order: the newest of each list, each once. The first list has priority.
pub fn for_order<'l>(lists: impl IntoIterator<Item = &'l [SharedSnapshot]>) -> Vec<SharedSnapshot> {
    let mut all: Vec<SharedSnapshot> = Vec::new();
    for shared in lists.into_iter().flat_map(|list| list.iter().rev()) {
        if all.len() < MOST_IN_ORDER && !all.iter().any(|known| known.uuids() == shared.uuids()) {
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
        let mut known = SharedRecord::default();
        for number in (0..90).chain([80]) {
            known.learn(RecordUpdate {
                shared: shared(number),
                nested: vec![shared(number); 2 * MOST_NESTED],
                sources: vec![Identity([1; 16])],
                lost: Vec::new(),
            });
        }
        assert_eq!((known.shared.len(), known.newest().copied()), (MOST_SHARED, Some(shared(80))));
        assert_eq!(known.nested, vec![shared(80); MOST_NESTED], "those of the newest run");
        let lost = vec![Identity([189; 16])];
        known.learn(RecordUpdate { shared: shared(80), nested: Vec::new(), sources: Vec::new(), lost });
        assert_eq!(known.shared.len(), MOST_SHARED - 1, "lost snapshots are removed");
    }

    #[test]
    fn a_pin_of_version_1_proves_one_shared_snapshot() {
        let pin =
            |sent_as| RecordV1 { sent_as, ctransid: 7, source: Identity([1; 16]), drive: Identity([2; 16]), time: 9 };
        let known = SharedRecord::from(pin(Identity([1; 16])));
        let one = known.newest().expect("one");
        assert_eq!(one.uuids(), PairUuids { here: Identity([1; 16]), there: Identity([2; 16]) });
        assert_eq!((sent_as(&one.here), one.here.ctransid, one.there.rtransid, one.time), (Identity([1; 16]), 7, 0, 9));
        let received = SharedRecord::from(pin(Identity([3; 16])));
        assert_eq!(received.newest().map(|newest| sent_as(&newest.here)), Some(Identity([3; 16])));
    }

    #[test]
    fn an_order_names_each_shared_snapshot_once() {
        let (own, others): (Vec<_>, Vec<_>) = ((0..40).map(shared).collect(), (30..110).map(shared).collect());
        let all = for_order([&own[..], &others[..]]);
        assert_eq!((all.len(), all.first().copied()), (110, Some(shared(39))));
        let many: Vec<_> = (0..=u8::MAX - 100).map(shared).collect();
        let more: Vec<_> = many.iter().map(SharedSnapshot::reversed).collect();
        assert_eq!(for_order([&many[..], &more[..]]).len(), MOST_IN_ORDER);
        let largest = SubvolumeState {
            uuid: [0xff; 16],
            received_uuid: [0xff; 16],
            stransid: u64::MAX,
            rtransid: u64::MAX,
            ctransid: u64::MAX,
        };
        let one = SharedSnapshot { here: largest, there: largest, time: i64::MIN };
        let bytes = serde_json::to_vec(&vec![one; MOST_IN_ORDER]).expect("written").len();
        assert!(bytes < 100 << 10, "{bytes}");
    }
}
