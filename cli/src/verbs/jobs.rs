//! `butterdock jobs`.

use std::process::ExitCode;

use serde::Serialize;

use crate::ask::{Job, Service};
use crate::failure::Failure;
use crate::render::{JobObject, Out, Table, bytes, duration, escaped, now, place};

#[derive(Serialize)]
struct Answer {
    jobs: Vec<JobObject>,
}

/// Lists the jobs on the bus.
pub(crate) async fn run(service: &Service, out: Out) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    out.answer(&Answer { jobs: objects.jobs.iter().map(JobObject::new).collect() }, || {
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
        let rate = if unfinished { format!("{}/s", bytes(state.rate)) } else { String::new() };
        let left =
            state.expected_end_time.checked_sub(now()).filter(|_left| unfinished && state.expected_end_time != 0);
        table.row([
            job.short(),
            escaped(state.kind.as_str()),
            place(job),
            state.state.to_string(),
            read,
            bytes(state.bytes_durable),
            rate,
            left.map(duration).unwrap_or_default(),
        ]);
    }
    table.render()
}
