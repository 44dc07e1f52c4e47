//! Damage on a drive, as a verify found it.
//!
//! It is recorded with the drive and stays the drive's problem, also after a restart and the next plug, until a complete verify of all
//! devices finds none. The snapshots that have it are no parents: what an increment shares with a damaged file would be damaged, too. So
//! the next backup is a full one beside them.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::shared_records;
use crate::backups::Identity;
use crate::enrolment::{Damage, Enrolment};
use crate::types::Problem;

/// What a verify found that was not cancelled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct VerifyResult {
    /// Blocks without a good copy.
    pub(crate) blocks: u64,
    /// The files that they are in,
    pub(crate) files: u64,
    /// and the subvolumes of these.
    pub(crate) subvolumes: Vec<Identity>,
    /// Others may have damage too.
    pub(crate) elsewhere: bool,
    /// Devices of the drive are missing, and were not read.
    pub(crate) is_partial: bool,
}

/// Records what a verify found: in place of what the one before found if it read all devices, otherwise in addition. All snapshots
/// that the next backups could build on count as damaged if the damage was not located: a later snapshot is not one of them.
pub(super) fn record(enrolment: &mut Enrolment, result: &VerifyResult, now: u64) {
    let VerifyResult { blocks, files, subvolumes, elsewhere, is_partial } = result;
    if !is_partial {
        enrolment.verified = now;
    }
    let earlier = enrolment.damage.take().filter(|_| *is_partial);
    if *blocks == 0 {
        enrolment.damage = earlier;
        return;
    }
    let mut subvolumes: BTreeSet<Uuid> = subvolumes.iter().map(|identity| Uuid::from_bytes(identity.0)).collect();
    if *elsewhere {
        subvolumes.extend(shared(enrolment));
    }
    let mut damage = Damage { found: now, blocks: *blocks, files: *files, subvolumes };
    if let Some(Damage { found: _, blocks, files, subvolumes }) = earlier {
        // Both may have found the same blocks: there are at least as many as either found.
        (damage.blocks, damage.files) = (damage.blocks.max(blocks), damage.files.max(files));
        damage.subvolumes.extend(subvolumes);
    }
    enrolment.damage = Some(damage);
}

/// When the last verify of all its devices ended, if there was one.
pub(super) fn verified(enrolment: &Enrolment) -> Option<u64> {
    // Older records have no time of a verify but that of the damage that it found.
    let of_damage = || enrolment.damage.as_ref().map(|damage| damage.found);
    Some(enrolment.verified).filter(|time| *time != 0).or_else(of_damage)
}

/// The snapshots on the drive that are no parents.
pub(super) fn damaged(enrolment: &Enrolment) -> Vec<Identity> {
    let all = enrolment.damage.iter().flat_map(|damage| &damage.subvolumes);
    all.map(|uuid| Identity(uuid.into_bytes())).collect()
}

/// The problem, if there is damage.
pub(super) fn problem(enrolment: &Enrolment) -> Option<Problem> {
    let Damage { found: time, blocks, files, ref subvolumes } = *enrolment.damage.as_ref()?;
    let snapshots = u64::try_from(subvolumes.len()).unwrap_or(u64::MAX);
    Some(Problem::Damaged { blocks, files, snapshots, time })
}

/// The snapshots on the drive that records name.
fn shared(enrolment: &Enrolment) -> BTreeSet<Uuid> {
    let names = enrolment.shared.keys().chain(enrolment.pins.keys());
    let known = names.map(|name| shared_records::known(enrolment, name).unwrap_or_default());
    let known = known.flat_map(|known| known.all()).chain(shared_records::restored(enrolment));
    known.map(|shared| Uuid::from_bytes(shared.uuids().there.0)).collect()
}

#[cfg(test)]
mod tests {
    use butterdock_receive::SubvolumeState;

    use super::*;
    use crate::backups::{SharedRecord, SharedSnapshot};

    fn enrolment() -> Enrolment {
        let mut blue = Enrolment::new(Uuid::from_u128(1), "Blue".to_owned(), Vec::new(), 7);
        let state = |number| SubvolumeState { uuid: [number; 16], ..SubvolumeState::default() };
        let shared = [1, 2].map(|number| SharedSnapshot { here: state(9), there: state(number), time: 1 }).to_vec();
        let known = SharedRecord { shared, ..SharedRecord::default() };
        blue.shared.insert("home".to_owned(), serde_json::to_value(known).expect("written"));
        blue
    }

    fn found() -> VerifyResult {
        VerifyResult { blocks: 1, files: 2, subvolumes: vec![Identity([2; 16])], elsewhere: false, is_partial: false }
    }

    #[test]
    fn damage_stays_until_a_verify_finds_none() {
        let mut blue = enrolment();
        assert_eq!((problem(&blue), damaged(&blue)), (None, Vec::new()));
        record(&mut blue, &found(), 5);
        assert_eq!(problem(&blue), Some(Problem::Damaged { blocks: 1, files: 2, snapshots: 1, time: 5 }));
        assert_eq!(damaged(&blue), [Identity([2; 16])]);
        let again: Enrolment = serde_json::from_value(serde_json::to_value(&blue).expect("written")).expect("read");
        assert_eq!(again, blue, "a restart forgets it");
        record(&mut blue, &VerifyResult::default(), 6);
        assert_eq!((problem(&blue), damaged(&blue), blue.verified), (None, Vec::new(), 6));
    }

    #[test]
    fn a_verify_with_a_missing_device_only_adds_damage() {
        let mut blue = enrolment();
        record(&mut blue, &found(), 5);
        let before = blue.damage.clone();
        record(&mut blue, &VerifyResult { is_partial: true, ..VerifyResult::default() }, 6);
        assert_eq!((blue.damage.clone(), blue.verified), (before, 5));
        let more =
            VerifyResult { blocks: 3, files: 1, subvolumes: vec![Identity([4; 16])], is_partial: true, ..found() };
        record(&mut blue, &more, 7);
        assert_eq!(problem(&blue), Some(Problem::Damaged { blocks: 3, files: 2, snapshots: 2, time: 7 }));
        record(&mut blue, &found(), 8);
        assert_eq!(problem(&blue), Some(Problem::Damaged { blocks: 1, files: 2, snapshots: 1, time: 8 }));
    }

    #[test]
    fn unlocated_damage_excludes_all_recorded_snapshots() {
        let mut blue = enrolment();
        record(&mut blue, &VerifyResult { files: 0, subvolumes: Vec::new(), elsewhere: true, ..found() }, 5);
        assert_eq!(damaged(&blue), [1, 2].map(|number| Identity([number; 16])));
    }
}
