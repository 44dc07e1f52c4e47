//! What the configured backups would send to the drives that are here.

use std::collections::BTreeSet;

use butterdock_dbus::{BackupRow, Error, Warning};

use super::hall::Hall;
use super::stay::Stay;
use crate::backups;
use crate::drives::DriveId;
use crate::jobs::Estimated;

/// Works it out for each row whose drive is attached, one after another: each reads its source.
pub(super) async fn fill(hall: &Hall, rows: &mut [BackupRow]) {
    let here = rows.iter().filter(|row| row.attached == Some(true)).filter_map(|row| row.drive.clone());
    for drive in here.collect::<BTreeSet<_>>() {
        let id = DriveId(drive.clone());
        let of_it = rows.iter_mut().filter(|row| row.drive.as_ref() == Some(&drive)).collect();
        let stay = Stay::begin(&hall.dock, &id);
        on_drive(hall, &id, of_it).await;
        stay.end().await;
    }
}

async fn on_drive(hall: &Hall, id: &DriveId, rows: Vec<&mut BackupRow>) {
    let lease = hall.dock.lease(id).await;
    for row in rows {
        let estimated = match (&lease, hall.dock.rule(&row.name)) {
            (Ok(lease), Some((rule, worker))) => hall.jobs.estimate(&hall.dock, lease, rule, worker).await,
            (Err(error), _) => Err(error.clone()),
            // Withdrawn since it was asked for.
            (Ok(_), None) => continue,
        };
        enter(row, estimated);
    }
    if let Ok(lease) = lease {
        lease.close().await;
    }
}

fn enter(row: &mut BackupRow, estimated: Result<Estimated, Error>) {
    match estimated {
        Ok(Estimated { bytes, incremental, why, problem, from_future }) => {
            row.estimate = bytes;
            row.incremental = bytes.map(|_| incremental);
            row.note = why.map(|why| format!("everything would be sent, because {why}"));
            row.problem = problem.or(row.problem.take());
            let warning = |(drive, count)| Warning {
                code: "snapshots-from-future".to_owned(),
                english: backups::from_future(drive, count),
            };
            let warnings: Vec<Warning> = from_future.into_iter().map(warning).collect();
            row.warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
        }
        Err(error) => row.problem = Some(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_warns_of_snapshots_from_the_future() {
        let mut row = BackupRow::default();
        enter(&mut row, Ok(Estimated { from_future: vec![(true, 3)], ..Estimated::default() }));
        let warnings = row.warnings.clone().unwrap_or_default();
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].code, "snapshots-from-future");
        assert!(warnings[0].english.starts_with("3 snapshots on the drive"), "{warnings:?}");
        let mut row = BackupRow::default();
        enter(&mut row, Ok(Estimated::default()));
        assert_eq!(row.warnings, None);
    }
}
