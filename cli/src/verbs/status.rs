//! `butterdock status`, and `butterdock` alone.

use std::process::ExitCode;

use serde::Serialize;

use super::{jobs, volumes};
use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{JobObject, Out, VolumeObject, escaped};

#[derive(Serialize)]
struct Answer<'a> {
    version: &'a str,
    features: &'a [String],
    volumes: Vec<VolumeObject<'a>>,
    jobs: Vec<JobObject>,
}

/// Shows the volumes and what goes on.
pub(crate) async fn run(service: &Service, out: Out) -> Result<ExitCode, Failure> {
    let manager = service.manager().await?;
    let (version, features) = (manager.version().await?, manager.features().await?);
    let objects = service.objects().await?;
    let answer = Answer {
        version: &version,
        features: &features,
        volumes: objects.volumes.iter().map(VolumeObject::new).collect(),
        jobs: objects.unfinished().map(JobObject::new).collect(),
    };
    out.answer(&answer, || {
        let going = if objects.unfinished().next().is_none() {
            "nothing is running\n".to_owned()
        } else {
            jobs::table(objects.unfinished())
        };
        format!("butterdockd {}\n\n{}\n{going}", escaped(&version), volumes::table(&objects.volumes))
    });
    Ok(ExitCode::SUCCESS)
}
