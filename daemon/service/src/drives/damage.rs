//! Damage on a drive, as a verify found it.
//!
//! It is recorded with the drive and stays the drive's problem, also after a restart and the next plug, until a complete verify
//! finds none. The snapshots that have it are no parents: what an increment shares with a damaged file would be damaged, too. So
//! the next backup is a full one beside them.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::rows;
use crate::backups::{Identity, SharedRecord};
use crate::enrolment::{Damage, Enrolment};
use crate::types::Problem;

/// What a complete verify found.
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
}

/// Records what a verify found, in place of what the one before found. All snapshots that the next backups could build on count as
/// damaged if the damage was not located: a later snapshot is not one of them.
pub(super) fn record(enrolment: &mut Enrolment, result: &VerifyResult, now: u64) {
    let VerifyResult { blocks, files, subvolumes, elsewhere } = result;
    if *blocks == 0 {
        enrolment.damage = None;
        return;
    }
    let mut subvolumes: BTreeSet<Uuid> = subvolumes.iter().map(|identity| Uuid::from_bytes(identity.0)).collect();
    if *elsewhere {
        subvolumes.extend(shared(enrolment));
    }
    enrolment.damage = Some(Damage { found: now, blocks: *blocks, files: *files, subvolumes });
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
    let known = names.map(|name| rows::known(enrolment, name).unwrap_or_default());
    let known = known.flat_map(|SharedRecord { shared, .. }| shared).chain(rows::restored(enrolment));
    known.map(|shared| Uuid::from_bytes(shared.mark().there.0)).collect()
}

#[cfg(test)]
mod tests {
    use butterdock_receive::SubvolumeState;

    use super::*;
    use crate::backups::SharedSnapshot;

    fn enrolment() -> Enrolment {
        let mut blue = Enrolment::new(Uuid::from_u128(1), "Blue".to_owned(), Vec::new(), 7);
        let state = |number| SubvolumeState { uuid: [number; 16], ..SubvolumeState::default() };
        let shared = [1, 2].map(|number| SharedSnapshot { here: state(9), there: state(number), time: 1 }).to_vec();
        let known = SharedRecord { sources: Vec::new(), shared };
        blue.shared.insert("home".to_owned(), serde_json::to_value(known).expect("written"));
        blue
    }

    fn found() -> VerifyResult {
        VerifyResult { blocks: 1, files: 2, subvolumes: vec![Identity([2; 16])], elsewhere: false }
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
        assert_eq!((problem(&blue), damaged(&blue)), (None, Vec::new()));
    }

    #[test]
    fn unlocated_damage_excludes_all_recorded_snapshots() {
        let mut blue = enrolment();
        record(&mut blue, &VerifyResult { files: 0, subvolumes: Vec::new(), elsewhere: true, ..found() }, 5);
        assert_eq!(damaged(&blue), [1, 2].map(|number| Identity([number; 16])));
    }
}
