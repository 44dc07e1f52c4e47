//! When each snapshot of a backup was seen first on a filesystem, counted in seconds that no clock setting changes (pure);
//! and the newest snapshot on a drive, for a drive whose last backup this machine does not know.

use std::collections::BTreeMap;
use std::os::fd::AsFd;

use butterdock_btrfs::{Error as Fault, subvolume};
use serde::{Deserialize, Serialize};

use super::shared_snapshots::Why;
use super::snapshot::Identity;
use crate::clock::Elapsed;

/// More snapshots of one backup on one filesystem are not remembered; those beyond count as just seen.
pub(super) const MOST: usize = 10_000;

/// A snapshot that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The subvolume's own uuid.
    pub uuid: Identity,
    /// The transaction in which it was made.
    pub otransid: u64,
}

/// The list that a worker reported for each side; none where it reported none, or not all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listings {
    /// Beside the source.
    pub source: Option<Vec<Seen>>,
    /// Whether it is on the drive, and not beside the source.
    pub drive: Option<Vec<Seen>>,
    /// The part of a list reported so far, beside the source and on the drive.
    begun: [Vec<Seen>; 2],
}

impl Listings {
    /// Takes in a piece of a list. The newest list counts.
    pub fn hear(&mut self, drive: bool, piece: &[Seen], last: bool) {
        let [source_begun, drive_begun] = &mut self.begun;
        let (begun, whole) = if drive { (drive_begun, &mut self.drive) } else { (source_begun, &mut self.source) };
        // A list longer than possible is not trusted, and not stored.
        let room = (MOST + 1).saturating_sub(begun.len());
        begun.extend(piece.iter().take(room));
        if last {
            *whole = Some(std::mem::take(begun)).filter(|all| all.len() <= MOST);
        }
    }
}

/// What is remembered of the snapshots of one backup on one filesystem.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstSeen {
    /// Which count the seconds are of.
    series: Option<uuid::Uuid>,
    /// By uuid, in hexadecimal digits.
    snapshots: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    otransid: u64,
    /// When it was seen first.
    at: u64,
}

impl FirstSeen {
    /// The same after these were found there, which are all: the others are gone, and forgotten.
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

    /// The transaction up to which all snapshots were seen first at least `protect` seconds ago. One that was made before it
    /// and is not known was there at that time too: transactions only grow.
    pub fn settled(&self, protect: u64, now: Elapsed) -> u64 {
        let is_settled = |entry: &Entry| {
            self.series == Some(now.series) && now.seconds.checked_sub(entry.at).is_some_and(|age| age >= protect)
        };
        let mut oldest_first: Vec<&Entry> = self.snapshots.values().collect();
        oldest_first.sort_by_key(|entry| entry.otransid);
        let settled = oldest_first.iter().take_while(|entry| is_settled(entry));
        let last = settled.last().map_or(0, |entry| entry.otransid);
        // One that was made in the same transaction as one that is not settled is not either.
        let young = oldest_first.iter().find(|entry| !is_settled(entry)).map(|entry| entry.otransid);
        young.map_or(last, |young| last.min(young.saturating_sub(1)))
    }
}

/// The last backup, as it is on the drive now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// It can be built on, as far as it goes by itself.
    Whole,
    /// It is writable, or was: then it has lost what it was received as.
    Writable,
    /// It is not there.
    Deleted,
}

/// Looks for the subvolume of this uuid on the filesystem of `drive`.
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
    /// The reason for sending everything, where `why` is what both sides show.
    pub(super) fn explains(self, why: Why) -> Why {
        match (why, self) {
            (Why::EmptyDrive | Why::NoneAlike, Self::Writable) => Why::MadeWritable,
            (Why::EmptyDrive | Why::NoneAlike, Self::Deleted) => Why::Deleted,
            (
                Why::EmptyDrive
                | Why::NoneAlike
                | Why::NoSnapshot
                | Why::Changed(_)
                | Why::Replaced(_)
                | Why::NotRecorded
                | Why::MadeWritable
                | Why::Deleted
                | Why::NothingThere,
                _,
            ) => why,
        }
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
    fn what_was_seen_long_enough_ago_is_settled() {
        let table =
            FirstSeen::default().after(&[seen(1), seen(2)], at(100)).after(&[seen(1), seen(2), seen(3)], at(150));
        assert_eq!(table.settled(60, at(150)), 0);
        assert_eq!(table.settled(60, at(160)), 20);
        assert_eq!(table.settled(60, at(209)), 20);
        assert_eq!(table.settled(60, at(210)), 30);
        assert_eq!(FirstSeen::default().settled(0, at(9)), 0, "nothing is known");
    }

    #[test]
    fn an_incomplete_list_does_not_count() {
        let mut told = Listings::default();
        told.hear(true, &[seen(1)], false);
        assert_eq!(told.drive, None);
        told.hear(false, &[], true);
        told.hear(true, &[seen(2)], true);
        assert_eq!((told.source.as_deref(), told.drive.as_deref()), (Some(&[][..]), Some(&[seen(1), seen(2)][..])));
        told.hear(true, &[seen(2)], true);
        assert_eq!(told.drive.as_deref(), Some(&[seen(2)][..]), "the newest");
        told.hear(true, &vec![seen(3); MOST + 1], true);
        assert_eq!(told.drive, None, "too many");
    }

    #[test]
    fn deleted_snapshots_are_forgotten_and_late_ones_new() {
        let table = FirstSeen::default().after(&[seen(1), seen(3)], at(0)).after(&[seen(3)], at(50));
        assert_eq!(table.snapshots.len(), 1);
        // One that is older than what is known, such as after a filesystem was restored from an image.
        let table = table.after(&[seen(2), seen(3)], at(60));
        assert_eq!(table.settled(60, at(70)), 0, "its transaction proves nothing any more");
        assert_eq!(table.settled(60, at(120)), 30);
    }

    #[test]
    fn a_count_that_began_anew_makes_all_of_them_new() {
        let table = FirstSeen::default().after(&[seen(1)], at(0));
        let other = |seconds| Elapsed { series: Uuid::from_u128(2), seconds };
        assert_eq!(table.settled(60, other(1000)), 0);
        let table = table.after(&[seen(1)], other(1000));
        assert_eq!((table.settled(60, other(1059)), table.settled(60, other(1060))), (0, 10));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let many: Vec<Seen> = (0..2 * MOST as u64)
            .map(|at| Seen { uuid: Identity(u128::from(at + 1).to_be_bytes()), otransid: at })
            .collect();
        let table = FirstSeen::default().after(&many, at(0));
        assert_eq!(table.snapshots.len(), MOST);
        assert_eq!(table.settled(60, at(60)), MOST as u64 - 1, "those beyond are protected");
    }

    #[test]
    fn a_drive_that_lost_its_last_backup_is_not_new() {
        for why in [Why::EmptyDrive, Why::NoneAlike] {
            assert!(Last::Deleted.explains(why).to_string().contains("was deleted there"));
            assert!(Last::Writable.explains(why).to_string().contains("was made writable"));
            assert_eq!(Last::Whole.explains(why), why);
        }
        assert_eq!(Last::Deleted.explains(Why::NoSnapshot), Why::NoSnapshot);
        assert_eq!(Last::Writable.explains(Why::Changed(2)), Why::Changed(2));
    }
}
