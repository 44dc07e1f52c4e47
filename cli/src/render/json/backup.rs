//! The object of a backup on one of its drives.

use butterdock_dbus::BackupRow;
use serde::Serialize;

use super::non_zero;
use super::problem::ProblemObject;

/// A backup and one of its drives.
#[derive(Debug, Serialize)]
pub(crate) struct BackupObject<'a> {
    name: &'a str,
    enabled: bool,
    schedule: &'a [String],
    due: bool,
    next_run: Option<u64>,
    overdue: bool,
    drive: Option<&'a str>,
    drive_label: Option<&'a str>,
    drive_names: Option<&'a [String]>,
    attached: Option<bool>,
    last_good: Option<u64>,
    last_duration: Option<u64>,
    last_sent: Option<u64>,
    problem: Option<&'a str>,
    problems: Vec<ProblemObject<'a>>,
    estimate: Option<u64>,
    incremental: Option<bool>,
    note: Option<&'a str>,
    warnings: Vec<WarningObject<'a>>,
    source_snapshots: Option<u64>,
    source_freeable: Option<u64>,
}

impl<'a> BackupObject<'a> {
    pub(crate) fn new(row: &'a BackupRow) -> Self {
        Self {
            name: &row.name,
            enabled: row.enabled != Some(false),
            schedule: &row.schedule,
            due: row.due,
            next_run: row.next_run,
            overdue: row.overdue,
            drive: row.drive.as_deref(),
            drive_label: row.drive_label.as_deref(),
            drive_names: row.drive_names.as_deref(),
            attached: row.attached,
            last_good: row.last_good.and_then(non_zero),
            last_duration: row.last_duration,
            last_sent: row.last_sent,
            problem: row.problem.as_deref(),
            problems: row.problems.iter().flatten().map(ProblemObject::new).collect(),
            estimate: row.estimate,
            incremental: row.incremental,
            note: row.note.as_deref(),
            warnings: row
                .warnings
                .iter()
                .flatten()
                .map(|warning| WarningObject { code: &warning.code, message: &warning.english })
                .collect(),
            source_snapshots: row.source_snapshots,
            source_freeable: row.source_freeable,
        }
    }
}

/// A warning about a backup.
#[derive(Debug, Serialize)]
struct WarningObject<'a> {
    code: &'a str,
    message: &'a str,
}
