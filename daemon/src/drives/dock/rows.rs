//! What is due, and when was the last good one.

use butterdock_dbus::BackupRow;

use super::DriveId;
use super::handle::Dock;
use super::picture::{Picture, goes};
use crate::backups::Pin;
use crate::config::{BackupRule, Schedule, WorkerRule};
use crate::drives::Enrolment;

impl Dock {
    /// The configured backup of this name, and how workers run.
    pub(crate) fn rule(&self, name: &str) -> Option<(BackupRule, WorkerRule)> {
        let picture = self.lock();
        let rule = picture.config.backup(name)?.clone();
        Some((rule, picture.config.worker))
    }
}

/// A row for each backup and enrolled drive that it goes to; one without a drive for a backup that goes to none.
pub(super) fn rows(picture: &Picture) -> Vec<BackupRow> {
    let mut rows = Vec::new();
    for rule in &picture.config.backups {
        let before = rows.len();
        let drives = picture.enrolments.iter().filter(|enrolment| goes(rule, enrolment));
        rows.extend(drives.map(|enrolment| row(picture, rule, enrolment)));
        if rows.len() == before {
            let problem = "it goes to no enrolled drive; enrol one, or correct drives in the configuration".to_owned();
            rows.push(BackupRow { problem: Some(problem), ..named(rule) });
        }
    }
    rows
}

/// What the drive needs for its next increment of a backup.
pub(super) fn pin(enrolment: &Enrolment, backup: &str) -> Option<Pin> {
    let value = enrolment.pins.get(backup)?;
    let pin = serde_json::from_value(value.clone());
    if let Err(error) = &pin {
        tracing::error!("what the drive \"{}\" needs for \"{backup}\" cannot be read: {error}", enrolment.label);
    }
    pin.ok()
}

fn named(rule: &BackupRule) -> BackupRow {
    BackupRow { name: rule.name.as_str().to_owned(), ..BackupRow::default() }
}

fn row(picture: &Picture, rule: &BackupRule, enrolment: &Enrolment) -> BackupRow {
    let id = DriveId::from(enrolment.id);
    let shown = picture.shown.get(&id).map(|shown| shown.borrow().clone());
    let attached = shown.as_ref().is_some_and(|drive| !drive.device.is_empty());
    let last = pin(enrolment, rule.name.as_str()).and_then(|pin| u64::try_from(pin.time).ok());
    BackupRow {
        due: rule.schedule == Schedule::OnPlug,
        drive: Some(id.as_str().to_owned()),
        drive_label: Some(enrolment.label.clone()),
        attached: Some(attached),
        last_good: Some(last.unwrap_or_default().saturating_mul(1_000_000)),
        problem: shown.map(|drive| drive.is.problem).filter(|problem| !problem.is_empty()),
        ..named(rule)
    }
}
