//! The verbs about backups: `backups`, `backup`, `trust-clock`.

use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;

use butterdock_dbus::path::drive_path;
use butterdock_dbus::{BackupOptions, BackupRow, ListBackupsOptions};
use serde::Serialize;

use super::watch;
use crate::args::Backup;
use crate::failure::Failure;
use crate::render::{BackupObject, Output, Table, bytes, escaped, print_error, short_label, time};
use crate::service::Service;

#[derive(Serialize)]
struct Backups<'a> {
    backups: Vec<BackupObject<'a>>,
}

/// Lists the configured backups; with `estimate` also how much each would send.
pub(crate) async fn list(service: &Service, out: Output, estimate: bool) -> Result<ExitCode, Failure> {
    let options = ListBackupsOptions { estimate };
    let rows = service.manager().await?.list_backups(options.to_options()).await?;
    out.answer(&Backups { backups: rows.iter().map(BackupObject::new).collect() }, || table(&rows, estimate));
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[BackupRow], estimate: bool) -> String {
    if rows.is_empty() {
        return "no backups: configure one in /etc/butterdock/butterdock.toml (see butterdock.toml(5))\n".to_owned();
    }
    let send = if estimate { "WOULD SEND" } else { "" };
    let mut table = Table::new(&["BACKUP", "DRIVE", "LABEL", "ATTACHED", "DUE", "LAST GOOD", send]);
    for row in rows {
        let has_drive = row.drive.is_some();
        let last = match row.last_good {
            Some(0) => "never".to_owned(),
            Some(last) => time(last),
            None => String::new(),
        };
        table.row([
            escaped(&row.name),
            row.drive.as_deref().map_or_else(|| "none".to_owned(), escaped),
            row.drive_label.as_deref().map(short_label).unwrap_or_default(),
            if has_drive { yes_or_no(row.attached.unwrap_or_default()) } else { String::new() },
            yes_or_no(row.due),
            last,
            if estimate { would_send(row) } else { String::new() },
        ]);
    }
    let mut text = table.render();
    text.push_str(&held(rows));
    for row in rows {
        let warnings = row.warnings.iter().flatten().map(|warning| &warning.english);
        for word in [&row.problem, &row.note].into_iter().flatten().chain(warnings) {
            text.push_str(&format!("{}: {}\n", escaped(&row.name), escaped(word)));
        }
    }
    text
}

/// Prints the problems of sources, which belong to no drive.
pub(super) fn print_source_problems(rows: &[BackupRow], out: Output) {
    let mut seen = BTreeSet::new();
    for row in rows.iter().filter(|row| !out.json && seen.insert(&row.name)) {
        for problem in row.problems.iter().flatten().filter(|problem| problem.code == "source-low-space") {
            print_error(&format!("butterdock: the backup {}: {}", escaped(&row.name), escaped(&problem.english)));
        }
    }
}

/// What the snapshots beside the sources hold: a line for each backup.
fn held(rows: &[BackupRow]) -> String {
    let mut seen = BTreeSet::new();
    let first = rows.iter().filter(|row| seen.insert(&row.name));
    let line = |row: &BackupRow| {
        let (count, held) = (row.source_snapshots.filter(|&count| count > 0)?, row.source_held.map(bytes));
        let noun = if count == 1 { "snapshot" } else { "snapshots" };
        let held = held.unwrap_or_else(|| "an unknown number of bytes".to_owned());
        Some(format!("{}: {count} {noun} on the source, which would free {held}\n", escaped(&row.name)))
    };
    first.filter_map(line).collect()
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_owned()
}

fn would_send(row: &BackupRow) -> String {
    match (row.estimate, row.incremental) {
        (None, _) => "unknown".to_owned(),
        (Some(count), Some(true)) => format!("{} of changes", bytes(count)),
        (Some(count), Some(false) | None) => format!("{} (full)", bytes(count)),
    }
}

/// Runs all backups of a drive, or the named one; or the named backup on each of its attached drives, one after another.
pub(crate) async fn run(service: &Service, out: Output, wanted: &Backup) -> Result<ExitCode, Failure> {
    let Backup { target, backup, full, new_source, detach } = wanted;
    let (drives, backup) = match service.objects().await?.drive(target) {
        Ok(drive) => (vec![drive.path.clone()], backup.clone()),
        // A backup is named only where no drive is.
        Err(no_drive) => (drives_of(service, target).await?.ok_or(no_drive)?, Some(target.clone())),
    };
    let options = BackupOptions { backup, full: *full, new_source: *new_source };
    let mut worst = ExitCode::SUCCESS;
    for path in drives {
        let drive = service.drive(&path).await?;
        let call = async { Ok(drive.backup(options.to_options()).await?) };
        let ended = watch::start(service, out, *detach, "", call).await?;
        if ended != ExitCode::SUCCESS {
            worst = ended;
        }
    }
    Ok(worst)
}

/// The paths of the attached drives of the backup with this name; `None` if there is no such backup.
async fn drives_of(service: &Service, backup: &str) -> Result<Option<Vec<String>>, Failure> {
    let rows = service.manager().await?.list_backups(HashMap::new()).await?;
    let mut rows = rows.into_iter().filter(|row| row.name == backup).peekable();
    if rows.peek().is_none() {
        return Ok(None);
    }
    let attached = rows.filter(|row| row.attached == Some(true)).filter_map(|row| row.drive);
    let paths = attached.map(|id| drive_path(&id).to_string()).collect::<Vec<_>>();
    if paths.is_empty() {
        return Err(Failure::usage(
            format!("none of the drives of the backup \"{}\" is attached", escaped(backup)),
            "plug one of them in; `butterdock backups` lists them",
        ));
    }
    Ok(Some(paths))
}

#[derive(Serialize)]
struct Trusted {
    result: &'static str,
}

/// Confirms that the clock is right.
pub(crate) async fn trust_clock(service: &Service, out: Output) -> Result<ExitCode, Failure> {
    service.manager().await?.trust_clock(HashMap::new()).await?;
    out.answer(&Trusted { result: "trusted" }, || {
        "the clock is trusted; the next backups prune old snapshots by their rules\n".to_owned()
    });
    Ok(ExitCode::SUCCESS)
}
