//! A backup that was renamed, in the records of the drives.

use super::DriveId;
use super::manager::DriveManager;
use super::not_done::move_key;
use super::problem::failed;
use super::records::value;
use super::shared_records;
use crate::backups::MOST_SOURCES;
use crate::enrolment::Enrolment;
use crate::types::{Error, ErrorCode};

impl DriveManager {
    /// Whether a drive has a record of a backup of this name.
    pub(crate) fn has_records_of(&self, backup: &str) -> bool {
        let table = self.lock();
        table.enrolments.iter().any(|one| one.shared.contains_key(backup) || one.pins.contains_key(backup))
    }

    /// Everything that is recorded of a backup is that of another name from now on. Doing it again changes nothing.
    ///
    /// # Errors
    /// The state directory cannot be written, or a record cannot be read.
    pub(crate) async fn rename_backup(&self, from: &str, to: &str) -> Result<(), Error> {
        let ids: Vec<DriveId> = {
            let mut table = self.lock();
            table.not_done.rename(from, to);
            for left_out in table.left_out.values_mut() {
                move_key(left_out, from, to);
            }
            for last_runs in table.last_runs.values_mut() {
                move_key(last_runs, from, to);
            }
            table.enrolments.iter().map(|enrolment| DriveId::from(enrolment.id)).collect()
        };
        for id in ids {
            let (from, to) = (from.to_owned(), to.to_owned());
            match self.write_down(&id, move |enrolment| rename(enrolment, &from, &to)).await {
                // It was forgotten meanwhile.
                Ok(()) | Err(Error::Named(ErrorCode::NotFound, _)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn rename(enrolment: &mut Enrolment, from: &str, to: &str) -> Result<(), Error> {
    if enrolment.shared.contains_key(from) || enrolment.pins.contains_key(from) {
        let (before, now) = (
            shared_records::known(enrolment, from).map_err(failed)?,
            shared_records::known(enrolment, to).map_err(failed)?,
        );
        // A job that ran during the rename may have written either name.
        let mut known = now.clone();
        if now.shared.is_empty() {
            known.nested = before.nested;
        }
        known.shared = before.shared;
        now.shared.into_iter().for_each(|shared| crate::backups::remember(&mut known.shared, shared));
        for source in before.sources {
            if !known.sources.contains(&source) && known.sources.len() < MOST_SOURCES {
                known.sources.push(source);
            }
        }
        enrolment.shared.insert(to.to_owned(), value(&known)?);
        for name in [from, to] {
            enrolment.pins.remove(name);
        }
        enrolment.shared.remove(from);
    }
    if enrolment.replaced.remove(from) {
        enrolment.replaced.insert(to.to_owned());
    }
    move_key(&mut enrolment.not_done, from, to);
    move_key(&mut enrolment.left_out, from, to);
    move_key(&mut enrolment.last_runs, from, to);
    move_key(&mut enrolment.unpinned, from, to);
    Ok(())
}

#[cfg(test)]
mod tests {
    use butterdock_receive::SubvolumeState;
    use uuid::Uuid;

    use super::*;
    use crate::backups::{Identity, SharedRecord, SharedSnapshot};
    use crate::types::LastRun;

    fn known(numbers: &[u8], source: u8) -> serde_json::Value {
        let shared = |&number: &u8| SharedSnapshot {
            here: SubvolumeState { uuid: [number; 16], ..SubvolumeState::default() },
            there: SubvolumeState { uuid: [number + 100; 16], ..SubvolumeState::default() },
            time: i64::from(number),
        };
        let (sources, shared): (_, Vec<_>) = (vec![Identity([source; 16])], numbers.iter().map(shared).collect());
        let nested = shared.last().copied().into_iter().collect();
        let record = SharedRecord { sources, shared, nested };
        serde_json::to_value(record).expect("written")
    }

    #[test]
    fn everything_recorded_of_a_drive_follows_the_name_once() {
        let mut blue = Enrolment::new(Uuid::from_u128(1), "Blue".to_owned(), Vec::new(), 7);
        blue.shared.insert("home".to_owned(), known(&[1, 2], 9));
        blue.shared.insert("etc".to_owned(), known(&[3], 8));
        blue.replaced.insert("home".to_owned());
        blue.unpinned.insert("home".to_owned(), true);
        blue.left_out.insert("home".to_owned(), 4);
        blue.last_runs.insert("home".to_owned(), LastRun { micros: 5, sent: 6 });
        let etc = blue.shared["etc"].clone();
        for _ in 0..2 {
            rename(&mut blue, "home", "daheim").expect("read");
            assert_eq!(blue.shared.get("daheim"), Some(&known(&[1, 2], 9)));
            assert_eq!((blue.shared.len(), blue.shared.get("etc")), (2, Some(&etc)));
            assert!(blue.replaced.contains("daheim") && blue.replaced.len() == 1);
            assert_eq!((blue.unpinned.get("daheim"), blue.left_out.get("daheim")), (Some(&true), Some(&4)));
            assert_eq!(blue.last_runs.keys().collect::<Vec<_>>(), ["daheim"]);
            assert!(!blue.unpinned.contains_key("home") && !blue.left_out.contains_key("home"));
        }
    }

    #[test]
    fn what_a_job_recorded_under_both_names_is_joined() {
        let mut blue = Enrolment::new(Uuid::from_u128(1), "Blue".to_owned(), Vec::new(), 7);
        blue.shared.insert("home".to_owned(), known(&[1, 2], 9));
        blue.shared.insert("daheim".to_owned(), known(&[2, 3], 9));
        rename(&mut blue, "home", "daheim").expect("read");
        assert_eq!(blue.shared.get("daheim"), Some(&known(&[1, 2, 3], 9)), "the newest is the last");
    }
}
