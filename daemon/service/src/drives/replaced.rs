//! Backups whose snapshots on a drive were replaced by another machine.
//!
//! A backup that finds such a snapshot does not use it, and sends what it needs again. But another machine has changed
//! data that was safe, and perhaps more than this backup checked. So the finding is recorded with the drive, before
//! the backup overwrites its expectations. It is the drive's problem, also after a restart and the next plug, until
//! the backup has used an unchanged snapshot as parent and found no other replaced one, or until the drive is
//! forgotten. It is shown only while the backup has this drive, because nothing else could resolve it.

use std::collections::BTreeSet;

use super::shared_records;
use crate::backups::Identity;
use crate::enrolment::Enrolment;
use crate::types::Problem;

/// Notes that what has these uuids in the records is not on the drive as it was sent; `by` is the backup that found it.
pub(super) fn note(enrolment: &mut Enrolment, by: &str, there: &[Identity]) {
    let names: BTreeSet<String> = enrolment.shared.keys().chain(enrolment.pins.keys()).cloned().collect();
    let sent = |name: &String| {
        let known = shared_records::known(enrolment, name).unwrap_or_default();
        known.all().iter().any(|shared| there.contains(&shared.uuids().there))
    };
    let mut of: BTreeSet<String> = names.into_iter().filter(sent).collect();
    if of.is_empty() {
        // It was restored from the drive, and no backup remembers it.
        of.insert(by.to_owned());
    }
    enrolment.replaced.append(&mut of);
}

/// The problem of these backups' snapshots, if there is one.
pub(super) fn problem<'b>(enrolment: &Enrolment, backups: impl IntoIterator<Item = &'b str>) -> Option<Problem> {
    let names = backups.into_iter().filter(|name| enrolment.replaced.contains(*name));
    let backups: Vec<String> = names.map(str::to_owned).collect();
    (!backups.is_empty()).then_some(Problem::SnapshotsReplaced { backups })
}

#[cfg(test)]
mod tests {
    use butterdock_receive::SubvolumeState;
    use uuid::Uuid;

    use super::*;
    use crate::backups::{SharedRecord, SharedSnapshot};

    fn enrolment() -> Enrolment {
        let mut blue = Enrolment::new(Uuid::from_u128(1), "Blue".to_owned(), Vec::new(), 7);
        for (name, number) in [("etc", 1), ("home", 2)] {
            let state = SubvolumeState { uuid: [number; 16], ..SubvolumeState::default() };
            let shared = vec![SharedSnapshot { here: state, there: state, time: 1 }];
            let known = SharedRecord { shared, ..SharedRecord::default() };
            blue.shared.insert(name.to_owned(), serde_json::to_value(known).expect("written"));
        }
        blue
    }

    #[test]
    fn the_problem_names_the_backup_that_sent_the_snapshot() {
        let mut blue = enrolment();
        note(&mut blue, "etc", &[Identity([2; 16])]);
        assert!(blue.replaced.iter().eq(["home"]), "{:?}", blue.replaced);
        note(&mut blue, "etc", &[Identity([9; 16])]);
        assert!(blue.replaced.iter().eq(["etc", "home"]), "what no backup remembers is named after the finder");
    }

    #[test]
    fn the_problem_is_that_of_the_backups_that_go_there() {
        let mut blue = enrolment();
        assert_eq!(problem(&blue, ["etc", "home"]), None);
        note(&mut blue, "home", &[Identity([2; 16])]);
        note(&mut blue, "etc", &[Identity([1; 16])]);
        let both = Problem::SnapshotsReplaced { backups: vec!["etc".to_owned(), "home".to_owned()] };
        assert_eq!(problem(&blue, ["etc", "home"]), Some(both));
        assert_eq!(problem(&blue, ["other"]), None, "a backup that does not go there");
    }
}
