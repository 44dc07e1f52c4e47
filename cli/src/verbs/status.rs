//! `butterdock status`, which is also `butterdock` without a verb, and `butterdock volumes`: also the destinations that are no
//! drives, and what drives and other destinations have in common.

use std::collections::HashMap;
use std::process::ExitCode;

use butterdock_dbus::{DestinationProperties, DestinationState, ListBackupsOptions, Problem, VolumeProperties};
use serde::Serialize;

use super::{backups, drives, jobs, notify};
use crate::failure::Failure;
use crate::render::{
    DestinationObject, DriveObject, JobObject, Output, Table, VolumeObject, bytes, escaped, now, print_error, time,
};
use crate::service::{Destination, Service};

#[derive(Serialize)]
struct Status<'a> {
    version: &'a str,
    features: &'a [String],
    volumes: Vec<VolumeObject<'a>>,
    drives: Vec<DriveObject<'a>>,
    /// Those that are no drives.
    destinations: Vec<DestinationObject<'a>>,
    jobs: Vec<JobObject>,
}

/// Shows the volumes, the drives, the other destinations and the unfinished jobs.
pub(crate) async fn show(service: &Service, out: Output) -> Result<ExitCode, Failure> {
    let manager = service.manager().await?;
    let (version, features) = (manager.version().await?, manager.features().await?);
    let mut objects = service.objects().await?;
    service.add_mounts(&mut objects.drives).await?;
    let others: Vec<&Destination> = objects.destinations_that_are_no_drives().collect();
    let answer = Status {
        version: &version,
        features: &features,
        volumes: objects.volumes.iter().map(VolumeObject::new).collect(),
        drives: objects.drives.iter().map(DriveObject::new).collect(),
        destinations: others.iter().map(|other| DestinationObject::new(other)).collect(),
        jobs: objects.unfinished().map(JobObject::new).collect(),
    };
    out.answer(&answer, || {
        let running = if objects.unfinished().next().is_none() {
            "no jobs are running\n".to_owned()
        } else {
            jobs::table(objects.unfinished())
        };
        let tables = [volume_table(&objects.volumes), drives::table(&objects.drives), table(&others), running];
        let shown = tables.into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n");
        format!("butterdockd {}\n\n{shown}", escaped(&version))
    });
    drives::print_problems(&objects.drives, out);
    print_problems(&others, out);
    let rows = manager.list_backups(ListBackupsOptions::default().to_options()).await?;
    backups::print_source_problems(&rows, out);
    if features.iter().any(|feature| feature == "notifications") {
        notify::print_problems(&manager.list_notifications(HashMap::new()).await?, out);
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Volumes<'a> {
    volumes: Vec<VolumeObject<'a>>,
}

/// Lists the volumes.
pub(crate) async fn volumes(service: &Service, out: Output) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let volumes = &objects.volumes;
    out.answer(&Volumes { volumes: volumes.iter().map(VolumeObject::new).collect() }, || volume_table(volumes));
    Ok(ExitCode::SUCCESS)
}

fn volume_table(volumes: &[VolumeProperties]) -> String {
    if volumes.is_empty() {
        return "no volumes: configure one in /etc/butterdock/butterdock.toml (see butterdock.toml(5))\n".to_owned();
    }
    let mut table = Table::new(&["VOLUME", "FREE", "SIZE"]);
    for volume in volumes {
        let name = escaped(&volume.name);
        if volume.mounted {
            table.row([name, bytes(volume.free), bytes(volume.size)]);
        } else {
            table.row([name, "not mounted".to_owned()]);
        }
    }
    table.render()
}

/// What is wrong with them; `--json` has it already.
pub(super) fn print_problems(destinations: &[&Destination], out: Output) {
    for Destination { id, now, .. } in destinations.iter().filter(|_| !out.json) {
        if !now.problems.is_empty() {
            let problem = Problem::sentence(&now.problems);
            print_error(&format!("butterdock: the destination {}: {}", escaped(id), escaped(&problem)));
        }
    }
}

/// The destinations, one per line; empty without any.
pub(super) fn table(destinations: &[&Destination]) -> String {
    if destinations.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["DESTINATION", "KIND", "SIZE", "FREE", "STATE", "LAST BACKUP", "NEXT VERIFY"]);
    for Destination { id, now: of, .. } in destinations {
        let known = |count: u64| if count == 0 { String::new() } else { bytes(count) };
        table.row([
            escaped(id),
            escaped(of.kind.as_str()),
            known(of.size),
            known(of.free),
            escaped(of.state.as_str()),
            last_backup(of),
            next_verify(of, now()),
        ]);
    }
    table.render()
}

/// When the last backup to it was made.
pub(super) fn last_backup(destination: &DestinationProperties) -> String {
    let last = if destination.last_backup == 0 { "never".to_owned() } else { time(destination.last_backup) };
    if destination.overdue { format!("{last} (overdue)") } else { last }
}

/// When a verify of it begins by itself.
pub(super) fn next_verify(destination: &DestinationProperties, now: u64) -> String {
    match destination.next_verify {
        0 => "on request".to_owned(),
        next if next > now => time(next),
        _ if destination.state == DestinationState::Away => "when attached".to_owned(),
        _ => "now".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_verify_is_a_time_or_says_what_it_waits_for() {
        let of = |next_verify, state| {
            let destination = DestinationProperties { next_verify, state, ..DestinationProperties::default() };
            super::next_verify(&destination, 1_600_000_000_000_000)
        };
        assert_eq!(of(0, DestinationState::Away), "on request");
        assert_eq!(of(1_500_000_000_000_000, DestinationState::Away), "when attached");
        assert_eq!(of(1_500_000_000_000_000, DestinationState::Present), "now");
        assert!(of(1_700_000_000_000_000, DestinationState::Away).starts_with("2023-11-1"));
    }
}
