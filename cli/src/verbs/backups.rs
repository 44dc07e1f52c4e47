//! `butterdock backups [--dry-run]`.

use std::process::ExitCode;

use butterdock_dbus::{BackupRow, ListBackupsOptions};
use serde::Serialize;

use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{BackupObject, Out, Table, bytes, escaped, moment};

#[derive(Serialize)]
struct Answer<'a> {
    backups: Vec<BackupObject<'a>>,
}

/// Lists the configured backups; with `estimate` also how much each would send.
pub(crate) async fn run(service: &Service, out: Out, estimate: bool) -> Result<ExitCode, Failure> {
    let options = ListBackupsOptions { estimate };
    let rows = service.manager().await?.list_backups(options.to_options()).await?;
    out.answer(&Answer { backups: rows.iter().map(BackupObject::new).collect() }, || table(&rows, estimate));
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[BackupRow], estimate: bool) -> String {
    if rows.is_empty() {
        return "no backups: configure one in /etc/butterdock/butterdock.toml (see butterdock.toml(5))\n".to_owned();
    }
    let send = if estimate { "WOULD SEND" } else { "" };
    let mut table = Table::new(&["BACKUP", "DRIVE", "LABEL", "ATTACHED", "DUE", "LAST GOOD", send]);
    for row in rows {
        let on_a_drive = row.drive.is_some();
        let last = match row.last_good {
            Some(0) => "never".to_owned(),
            Some(last) => moment(last),
            None => String::new(),
        };
        table.row([
            escaped(&row.name),
            row.drive.as_deref().map_or_else(|| "none".to_owned(), escaped),
            row.drive_label.as_deref().map(escaped).unwrap_or_default(),
            if on_a_drive { yes(row.attached.unwrap_or_default()) } else { String::new() },
            yes(row.due),
            last,
            if estimate { would_send(row) } else { String::new() },
        ]);
    }
    let mut text = table.render();
    for row in rows {
        let warnings = row.warnings.iter().flatten().map(|warning| &warning.english);
        for word in [&row.problem, &row.note].into_iter().flatten().chain(warnings) {
            text.push_str(&format!("{}: {}\n", escaped(&row.name), escaped(word)));
        }
    }
    text
}

fn yes(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

fn would_send(row: &BackupRow) -> String {
    match (row.estimate, row.incremental) {
        (None, _) => "unknown".to_owned(),
        (Some(count), Some(true)) => format!("{} of changes", bytes(count)),
        (Some(count), Some(false) | None) => format!("{} (full)", bytes(count)),
    }
}
