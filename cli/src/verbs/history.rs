//! `butterdock history`.

use std::collections::HashMap;
use std::process::ExitCode;

use butterdock_dbus::{ErrorName, HistoryEntry};
use serde::Serialize;

use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{HistoryObject, Out, Table, bytes, duration, escaped, moment};

#[derive(Serialize)]
struct Answer<'a> {
    history: Vec<HistoryObject<'a>>,
}

/// Lists the finished jobs, newest first.
pub(crate) async fn run(service: &Service, out: Out) -> Result<ExitCode, Failure> {
    let entries = service.manager().await?.list_history(HashMap::new()).await?;
    out.answer(&Answer { history: entries.iter().map(HistoryObject::new).collect() }, || table(&entries));
    Ok(ExitCode::SUCCESS)
}

fn table(entries: &[HistoryEntry]) -> String {
    if entries.is_empty() {
        return "no finished jobs yet\n".to_owned();
    }
    let mut table = Table::new(&["ENDED", "JOB", "KIND", "WHERE", "RESULT", "READ", "DURABLE", "TOOK", "ERROR"]);
    for entry in entries {
        let error = entry.error_name.as_deref().unwrap_or_default();
        let error = error.parse::<ErrorName>().map_or_else(|_other| escaped(error), |name| name.short().to_owned());
        table.row([
            moment(entry.end_time),
            escaped(&entry.id.chars().take(8).collect::<String>()),
            escaped(&entry.kind),
            escaped(place(entry)),
            escaped(&entry.result),
            bytes(entry.bytes_received),
            bytes(entry.bytes_durable),
            duration(entry.end_time.saturating_sub(entry.start_time)),
            error,
        ]);
    }
    table.render()
}

/// The volume, or the label or id of the drive.
fn place(entry: &HistoryEntry) -> &str {
    let drive = entry.drive_label.as_deref().or(entry.drive.as_deref()).unwrap_or_default();
    if entry.volume.is_empty() { drive } else { &entry.volume }
}
