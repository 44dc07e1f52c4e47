//! The verbs about jobs: `jobs`, `cancel`, `history`. `watch` is in a file of its own.

use std::collections::HashMap;
use std::process::ExitCode;

use butterdock_dbus::{ErrorName, HistoryEntry, ListHistoryOptions};
use serde::Serialize;

use crate::args;
use crate::failure::Failure;
use crate::render::{
    HistoryObject, JobObject, Output, Table, bytes, duration, escaped, now, parse_time, rate, short_label, target, time,
};
use crate::service::{Job, Service};

#[derive(Serialize)]
struct Jobs {
    jobs: Vec<JobObject>,
}

/// Lists the jobs on the bus.
pub(crate) async fn list(service: &Service, out: Output) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    out.answer(&Jobs { jobs: objects.jobs.iter().map(JobObject::new).collect() }, || {
        if objects.jobs.is_empty() {
            return "no jobs; `butterdock history` lists the finished ones\n".to_owned();
        }
        table(objects.jobs.iter())
    });
    Ok(ExitCode::SUCCESS)
}

/// The jobs, one per line.
pub(crate) fn table<'a>(jobs: impl Iterator<Item = &'a Job>) -> String {
    let mut table = Table::new(&["JOB", "KIND", "WHERE", "STATE", "READ", "DURABLE", "RATE", "LEFT"]);
    for job in jobs {
        let state = &job.now;
        let read = if state.progress_valid && state.bytes_total != 0 {
            format!("{:.0} % of {}", (state.progress * 100.0).floor(), bytes(state.bytes_total))
        } else {
            bytes(state.bytes_received)
        };
        let unfinished = state.state.result().is_none();
        let rate = if unfinished { rate(job) } else { String::new() };
        let left =
            state.expected_end_time.checked_sub(now()).filter(|_left| unfinished && state.expected_end_time != 0);
        table.row([
            job.short(),
            escaped(state.kind.as_str()),
            target(job),
            state.state.to_string(),
            read,
            bytes(state.bytes_durable),
            rate,
            left.map(duration).unwrap_or_default(),
        ]);
    }
    table.render()
}

#[derive(Serialize)]
struct Cancelled {
    id: String,
    result: &'static str,
}

/// Cancels a job and waits until it has ended.
pub(crate) async fn cancel(service: &Service, out: Output, wanted: &str) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let job = objects.job(wanted)?;
    service.job(&job.path).await?.cancel(HashMap::new()).await?;
    out.answer(&Cancelled { id: job.id.to_string(), result: "cancelled" }, || {
        format!("job {} is cancelled\n", job.short())
    });
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct History<'a> {
    history: Vec<HistoryObject<'a>>,
}

/// Lists the finished jobs, newest first.
pub(crate) async fn history(service: &Service, out: Output, wanted: &args::History) -> Result<ExitCode, Failure> {
    let args::History { limit, before, drive, backup } = wanted;
    let before = before.as_deref().map(moment).transpose()?;
    let destination = match drive {
        Some(drive) => Some(service.objects().await?.drive_or_forgotten(drive)?),
        None => None,
    };
    let options = ListHistoryOptions { before, limit: *limit, destination, backup: backup.clone() };
    let entries = service.manager().await?.list_history(options.to_options()).await?;
    out.answer(&History { history: entries.iter().map(HistoryObject::new).collect() }, || history_table(&entries));
    Ok(ExitCode::SUCCESS)
}

/// The time that the user writes, in microseconds since 1970.
fn moment(text: &str) -> Result<u64, Failure> {
    text.parse().ok().or_else(|| parse_time(text)).ok_or_else(|| {
        Failure::usage(
            format!("{text:?} is no time"),
            "write it as 2026-11-22 or \"2026-11-22 17:30\", in local time; or give an end_time of --json",
        )
    })
}

fn history_table(entries: &[HistoryEntry]) -> String {
    if entries.is_empty() {
        return "no finished jobs yet\n".to_owned();
    }
    let mut table =
        Table::new(&["ENDED", "JOB", "KIND", "BACKUP", "WHERE", "RESULT", "READ", "DURABLE", "TOOK", "ERROR"]);
    for entry in entries {
        let error = entry.error_name.as_deref().unwrap_or_default();
        let error = error.parse::<ErrorName>().map_or_else(|_other| escaped(error), |name| name.short().to_owned());
        table.row([
            time(entry.end_time),
            escaped(&entry.id.chars().take(8).collect::<String>()),
            escaped(&entry.kind),
            entry.backup.as_deref().map(short_label).unwrap_or_default(),
            short_label(history_target(entry)),
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
fn history_target(entry: &HistoryEntry) -> &str {
    let drive = entry.drive_label.as_deref().or(entry.drive.as_deref()).unwrap_or_default();
    if entry.volume.is_empty() { drive } else { &entry.volume }
}
