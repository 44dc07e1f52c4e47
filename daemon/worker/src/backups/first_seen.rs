//! When each snapshot of a backup was first seen on a filesystem, counted in seconds that no clock setting changes (pure).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::snapshot::Identity;
use crate::clock::Elapsed;

/// The largest number of recorded snapshots of one backup on one filesystem; later ones count as just seen.
pub(super) const MOST: usize = 10_000;

/// A snapshot on a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The subvolume's own uuid.
    pub uuid: Identity,
    /// The transaction that made it.
    pub otransid: u64,
}

/// The lists of snapshots that a worker reported, one for each side; `None` without a complete list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listings {
    /// Beside the source.
    pub source: Option<Vec<Seen>>,
    /// On the drive.
    pub drive: Option<Vec<Seen>>,
    /// The incomplete lists, beside the source and on the drive.
    begun: [Vec<Seen>; 2],
}

impl Listings {
    /// Adds a piece of a list. The newest list replaces earlier ones.
    pub fn hear(&mut self, drive: bool, piece: &[Seen], last: bool) {
        let [source_begun, drive_begun] = &mut self.begun;
        let (begun, whole) = if drive { (drive_begun, &mut self.drive) } else { (source_begun, &mut self.source) };
        // A longer list than possible is not trusted, and not stored.
        let room = (MOST + 1).saturating_sub(begun.len());
        begun.extend(piece.iter().take(room));
        if last {
            *whole = Some(std::mem::take(begun)).filter(|all| all.len() <= MOST);
        }
    }
}

/// The record of the snapshots of one backup on one filesystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstSeen {
    /// The id of the count of seconds.
    series: Option<uuid::Uuid>,
    /// By uuid, in hexadecimal digits.
    snapshots: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    otransid: u64,
    /// The second when it was first seen.
    at: u64,
}

impl FirstSeen {
    /// The record after this complete list. Snapshots that are not in the list are removed.
    pub fn after(&self, there: &[Seen], now: Elapsed) -> Self {
        let known = |uuid: &str| self.snapshots.get(uuid).filter(|_| self.series == Some(now.series));
        let entry = |seen: &Seen| {
            let uuid = seen.uuid.to_string();
            let new = Entry { otransid: seen.otransid, at: now.seconds };
            let entry = known(&uuid).map_or(new, |known| Entry { at: known.at, ..new });
            (uuid, entry)
        };
        let mut oldest_first: Vec<&Seen> = there.iter().collect();
        oldest_first.sort_by_key(|seen| seen.otransid);
        Self { series: Some(now.series), snapshots: oldest_first.into_iter().take(MOST).map(entry).collect() }
    }

    /// The transaction up to which all snapshots were first seen at least `protect` seconds ago. An unrecorded snapshot of an
    /// earlier transaction existed at that time too, because transaction ids only grow.
    pub fn settled(&self, protect: u64, now: Elapsed) -> u64 {
        let is_settled = |entry: &Entry| {
            self.series == Some(now.series) && now.seconds.checked_sub(entry.at).is_some_and(|age| age >= protect)
        };
        let mut oldest_first: Vec<&Entry> = self.snapshots.values().collect();
        oldest_first.sort_by_key(|entry| entry.otransid);
        let settled = oldest_first.iter().take_while(|entry| is_settled(entry));
        let last = settled.last().map_or(0, |entry| entry.otransid);
        // All snapshots of the transaction of an unsettled one are unsettled.
        let young = oldest_first.iter().find(|entry| !is_settled(entry)).map(|entry| entry.otransid);
        young.map_or(last, |young| last.min(young.saturating_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn seen(number: u8) -> Seen {
        Seen { uuid: Identity([number; 16]), otransid: u64::from(number) * 10 }
    }

    fn at(seconds: u64) -> Elapsed {
        Elapsed { series: Uuid::from_u128(1), seconds }
    }

    #[test]
    fn snapshots_seen_long_enough_ago_are_settled() {
        let table =
            FirstSeen::default().after(&[seen(1), seen(2)], at(100)).after(&[seen(1), seen(2), seen(3)], at(150));
        assert_eq!(table.settled(60, at(150)), 0);
        assert_eq!(table.settled(60, at(160)), 20);
        assert_eq!(table.settled(60, at(209)), 20);
        assert_eq!(table.settled(60, at(210)), 30);
        assert_eq!(FirstSeen::default().settled(0, at(9)), 0, "the record is empty");
    }

    #[test]
    fn an_incomplete_list_does_not_count() {
        let mut lists = Listings::default();
        lists.hear(true, &[seen(1)], false);
        assert_eq!(lists.drive, None);
        lists.hear(false, &[], true);
        lists.hear(true, &[seen(2)], true);
        assert_eq!((lists.source.as_deref(), lists.drive.as_deref()), (Some(&[][..]), Some(&[seen(1), seen(2)][..])));
        lists.hear(true, &[seen(2)], true);
        assert_eq!(lists.drive.as_deref(), Some(&[seen(2)][..]), "the newest");
        lists.hear(true, &vec![seen(3); MOST + 1], true);
        assert_eq!(lists.drive, None, "too many");
    }

    #[test]
    fn deleted_snapshots_are_forgotten_and_late_ones_new() {
        let table = FirstSeen::default().after(&[seen(1), seen(3)], at(0)).after(&[seen(3)], at(50));
        assert_eq!(table.snapshots.len(), 1);
        // An older snapshot than the recorded ones, for example after the filesystem was restored from an image.
        let table = table.after(&[seen(2), seen(3)], at(60));
        assert_eq!(table.settled(60, at(70)), 0, "its transaction proves nothing");
        assert_eq!(table.settled(60, at(120)), 30);
    }

    #[test]
    fn a_new_count_makes_all_snapshots_new() {
        let table = FirstSeen::default().after(&[seen(1)], at(0));
        let other = |seconds| Elapsed { series: Uuid::from_u128(2), seconds };
        assert_eq!(table.settled(60, other(1000)), 0);
        let table = table.after(&[seen(1)], other(1000));
        assert_eq!((table.settled(60, other(1059)), table.settled(60, other(1060))), (0, 10));
    }

    #[test]
    fn the_record_is_bounded() {
        let many: Vec<Seen> = (0..2 * MOST as u64)
            .map(|at| Seen { uuid: Identity(u128::from(at + 1).to_be_bytes()), otransid: at })
            .collect();
        let table = FirstSeen::default().after(&many, at(0));
        assert_eq!(table.snapshots.len(), MOST);
        assert_eq!(table.settled(60, at(60)), MOST as u64 - 1, "later ones are protected");
    }
}
