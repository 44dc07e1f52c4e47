//! The rows of `ListBackups`.

use butterdock_dbus::{self as contract, BackupRow};
use butterdock_service::{BackupStatus, Problem, Warning};

pub(in crate::bus) fn backup_row(backup: BackupStatus) -> BackupRow {
    let BackupStatus {
        name,
        disabled,
        schedule,
        due,
        next_run,
        overdue,
        kind: _,
        drive,
        drive_label,
        drive_names,
        attached,
        last_good,
        problems,
        estimate,
        incremental,
        note,
        warnings,
        source_snapshots,
        last_duration,
        last_sent,
        left_out: _,
        source_freeable,
    } = backup;
    let warnings: Vec<contract::Warning> = warnings.into_iter().map(warning).collect();
    let warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
    let problem = Some(Problem::sentence(&problems)).filter(|sentence| !sentence.is_empty());
    let problems: Vec<contract::Problem> = problems.iter().map(super::problem).collect();
    let problems = Some(problems).filter(|problems| !problems.is_empty());
    BackupRow {
        name,
        enabled: disabled.then_some(false),
        schedule,
        due,
        next_run,
        overdue,
        drive,
        drive_label,
        drive_names,
        attached,
        last_good,
        problem,
        problems,
        estimate,
        incremental,
        note,
        warnings,
        last_duration,
        last_sent,
        source_snapshots,
        source_freeable,
    }
}

fn warning(warning: Warning) -> contract::Warning {
    let Warning { code, english } = warning;
    contract::Warning { code: code.to_owned(), english }
}
