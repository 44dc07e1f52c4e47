//! `butterdock mount DRIVE`.

use std::collections::HashMap;
use std::process::ExitCode;

use serde::Serialize;

use crate::ask::Service;
use crate::failure::Failure;
use crate::render::{Out, escaped};

#[derive(Serialize)]
struct Mounted<'a> {
    id: &'a str,
    result: &'static str,
    path: &'a str,
}

/// Mounts a drive for root and prints the mount point.
pub(crate) async fn run(service: &Service, out: Out, wanted: &str) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = objects.drive(wanted)?;
    let path = service.drive(&drive.path).await?.mount(HashMap::new()).await?;
    let answer = Mounted { id: &drive.id, result: "mounted", path: &path };
    // Only the path, so that a script can use it.
    out.answer(&answer, || format!("{}\n", escaped(&path)));
    Ok(ExitCode::SUCCESS)
}
