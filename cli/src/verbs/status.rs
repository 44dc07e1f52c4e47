//! `butterdock status`, which is also `butterdock` without a verb, and `butterdock volumes`.

use std::collections::HashMap;
use std::process::ExitCode;

use butterdock_dbus::{ListBackupsOptions, VolumeProperties};
use serde::Serialize;

use super::{backups, destinations, drives, jobs, notify};
use crate::failure::Failure;
use crate::render::{DestinationObject, DriveObject, JobObject, Output, Table, VolumeObject, bytes, escaped};
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
        let tables =
            [volume_table(&objects.volumes), drives::table(&objects.drives), destinations::table(&others), running];
        let shown = tables.into_iter().filter(|table| !table.is_empty()).collect::<Vec<_>>().join("\n");
        format!("butterdockd {}\n\n{shown}", escaped(&version))
    });
    drives::print_problems(&objects.drives, out);
    destinations::print_problems(&others, out);
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
