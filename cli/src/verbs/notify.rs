//! The verb about notifications.

use std::collections::HashMap;
use std::process::ExitCode;

use butterdock_dbus::{NotificationChannel, NotificationTest};
use serde::Serialize;

use crate::args::NotifyVerb;
use crate::failure::{FAILED, Failure};
use crate::render::{NotificationObject, Output, Table, escaped, print_error, time};
use crate::service::Service;

#[derive(Serialize)]
struct Notifications<'a> {
    notifications: Vec<NotificationObject<'a>>,
}

#[derive(Serialize)]
struct Tested<'a> {
    delivered: bool,
    cause: Option<&'a str>,
    message: Option<&'a str>,
}

/// Lists the channels, or tests one.
pub(crate) async fn run(service: &Service, out: Output, wanted: Option<&NotifyVerb>) -> Result<ExitCode, Failure> {
    match wanted {
        None => list(service, out).await,
        Some(NotifyVerb::Test { name }) => test(service, out, name).await,
    }
}

async fn list(service: &Service, out: Output) -> Result<ExitCode, Failure> {
    let rows = service.manager().await?.list_notifications(HashMap::new()).await?;
    out.answer(&Notifications { notifications: rows.iter().map(NotificationObject::new).collect() }, || table(&rows));
    Ok(ExitCode::SUCCESS)
}

fn table(rows: &[NotificationChannel]) -> String {
    if rows.is_empty() {
        return "no notifications: configure a [[notify]] in /etc/butterdock/butterdock.toml (see butterdock.toml(5))\n"
            .to_owned();
    }
    let mut table = Table::new(&["NAME", "KIND", "WAITING", "DROPPED", "LAST DELIVERED"]);
    for row in rows {
        table.row([
            escaped(&row.name),
            escaped(&row.kind),
            row.queued.to_string(),
            row.dropped.to_string(),
            row.last_delivered.map_or_else(|| "none yet".to_owned(), time),
        ]);
    }
    let mut text = table.render();
    for problem in rows.iter().flat_map(|row| row.problems.iter().flatten()) {
        text.push_str(&format!("{}\n", escaped(&problem.english)));
    }
    text
}

async fn test(service: &Service, out: Output, name: &str) -> Result<ExitCode, Failure> {
    let answer = service.manager().await?.test_notification(name, HashMap::new()).await?;
    let NotificationTest { delivered, cause, message } = &answer;
    let tested = Tested { delivered: *delivered, cause: cause.as_deref(), message: message.as_deref() };
    if *delivered {
        out.answer(&tested, || format!("the test was delivered over {}\n", escaped(name)));
        return Ok(ExitCode::SUCCESS);
    }
    if out.json {
        out.line(&tested);
    }
    let why = message.as_deref().unwrap_or_default();
    print_error(&format!("butterdock: the test was not delivered over {}: {}", escaped(name), escaped(why)));
    Ok(ExitCode::from(FAILED))
}

/// Prints the problems of channels.
pub(super) fn print_problems(rows: &[NotificationChannel], out: Output) {
    for problem in rows.iter().filter(|_| !out.json).flat_map(|row| row.problems.iter().flatten()) {
        print_error(&format!("butterdock: {}", escaped(&problem.english)));
    }
}
