//! Which backups are due, and the last good one on each drive.

use crate::types::{BackupStatus, DestinationKind, Problem, Warning};

use super::DriveId;
use super::due;
use super::manager::DriveManager;
use super::micros;
use super::pins;
use super::shared_records;
use super::shown;
use super::table::{DriveTable, goes};
use crate::backups::{FullReason, LeftOut};
use crate::config::{BackupRule, Nested, WorkerRule};
use crate::enrolment::Enrolment;

impl DriveManager {
    /// The configured backup of this name, and how workers run.
    pub(crate) fn rule(&self, name: &str) -> Option<(BackupRule, WorkerRule)> {
        let table = self.lock();
        let rule = table.config.backup(name)?.clone();
        Some((rule, table.config.worker))
    }

    /// Whether an enrolled drive, or a destination of the configuration, is called so.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        let table = self.lock();
        table.config.destination(name).is_some() || table.enrolments.iter().any(|enrolment| enrolment.is_called(name))
    }

    /// The configured backups.
    pub(crate) fn rules(&self) -> Vec<BackupRule> {
        self.lock().config.backups.clone()
    }
}

/// Each backup, with a row for each enrolled drive that it goes to; one row without a drive if it goes to none.
pub(super) fn rows(table: &DriveTable) -> Vec<(&BackupRule, Vec<BackupStatus>)> {
    let rows = |rule: &'_ BackupRule| {
        if !rule.enabled {
            return vec![BackupStatus { disabled: true, ..named(rule) }];
        }
        let drives = table.enrolments.iter().filter(|enrolment| goes(&table.config, rule, enrolment));
        let mut rows: Vec<BackupStatus> = drives.map(|enrolment| row(table, rule, enrolment)).collect();
        if rows.is_empty() {
            let overdue = table.is_overdue(rule, table.now());
            rows.push(BackupStatus { problems: vec![Problem::NoDrive], overdue, ..named(rule) });
        }
        rows
    };
    table.config.backups.iter().map(|rule| (rule, rows(rule))).collect()
}

fn named(rule: &BackupRule) -> BackupStatus {
    BackupStatus { name: rule.name.as_str().to_owned(), schedule: rule.schedule.entries(), ..BackupStatus::default() }
}

fn row(table: &DriveTable, rule: &BackupRule, enrolment: &Enrolment) -> BackupStatus {
    let id = DriveId::from(enrolment.id);
    let shown = table.shown.get(&id).map(|shown| shown.borrow().clone());
    let attached = pins::is_attached(table, enrolment);
    let known = shared_records::known(enrolment, rule.name.as_str());
    let of_volume = || table.volume(&id).map(|volume| volume.problems(enrolment)).unwrap_or_default();
    let mut problems = shown.map_or_else(of_volume, |drive| drive.is.problems);
    problems.extend(shown::of_backups(table, enrolment, [rule.name.as_str()]));
    problems.retain(|problem| problem.concerns(rule.name.as_str()));
    if let Err(sentence) = &known {
        problems.insert(0, Problem::RecordUnreadable { sentence: sentence.clone() });
    }
    let left_out = table.left_out.get(&enrolment.id).and_then(|of_it| of_it.get(rule.name.as_str())).copied();
    let run = table.last_runs.get(&enrolment.id).and_then(|of_it| of_it.get(rule.name.as_str())).copied();
    let last = due::last_good(rule, enrolment).and_then(|time| u64::try_from(time).ok());
    let now = table.now();
    let by_times = table.due(rule, enrolment, now);
    BackupStatus {
        // A volume is never plugged in.
        due: (rule.schedule.is_on_plug() && !enrolment.is_volume) || by_times.is_due,
        next_run: by_times.begins.and_then(micros),
        overdue: table.is_overdue_on(rule, enrolment, now),
        drive: Some(table.destination_id(&id).0),
        kind: if enrolment.is_volume { DestinationKind::Volume } else { DestinationKind::Drive },
        drive_label: Some(enrolment.label().to_owned()),
        drive_names: Some(table.names(enrolment)),
        attached: Some(attached),
        last_good: Some(last.unwrap_or_default().saturating_mul(1_000_000)),
        problems,
        note: pins::because(enrolment, rule.name.as_str())
            .map(|why| format!("full transfer, because {}", FullReason::Unpinned(why))),
        last_duration: run.map(|run| run.micros),
        last_sent: run.map(|run| run.sent),
        left_out,
        // Without names: all users may see it.
        warnings: left_out
            .and_then(|count| {
                Warning::left_out(
                    LeftOut { count, include: rule.nested == Nested::Include, ..LeftOut::default() }.sentence(false),
                )
            })
            .into_iter()
            .collect(),
        ..named(rule)
    }
}
