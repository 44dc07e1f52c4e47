//! `butterdock status`, and `butterdock` alone.

use std::process::ExitCode;

use serde::Serialize;

use super::{drives, jobs, volumes};
use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{DriveObject, JobObject, Out, VolumeObject, escaped};

#[derive(Serialize)]
struct Answer<'a> {
    version: &'a str,
    features: &'a [String],
    volumes: Vec<VolumeObject<'a>>,
    drives: Vec<DriveObject<'a>>,
    jobs: Vec<JobObject>,
}

/// Shows the volumes, the drives and the unfinished jobs.
pub(crate) async fn run(service: &Service, out: Out) -> Result<ExitCode, Failure> {
    let manager = service.manager().await?;
    let (version, features) = (manager.version().await?, manager.features().await?);
    let objects = service.objects().await?;
    let answer = Answer {
        version: &version,
        features: &features,
        volumes: objects.volumes.iter().map(VolumeObject::new).collect(),
        drives: objects.drives.iter().map(DriveObject::new).collect(),
        jobs: objects.unfinished().map(JobObject::new).collect(),
    };
    out.answer(&answer, || {
        let running = if objects.unfinished().next().is_none() {
            "no jobs are running\n".to_owned()
        } else {
            jobs::table(objects.unfinished())
        };
        let (volumes, drives) = (volumes::table(&objects.volumes), drives::table(&objects.drives));
        format!("butterdockd {}\n\n{volumes}\n{drives}\n{running}", escaped(&version))
    });
    Ok(ExitCode::SUCCESS)
}
