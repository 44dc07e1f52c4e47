//! `butterdock cancel JOB`.

use std::collections::HashMap;
use std::process::ExitCode;

use serde::Serialize;

use crate::ask::Service;
use crate::failure::Failure;
use crate::render::Out;

#[derive(Serialize)]
struct Answer {
    id: String,
    result: &'static str,
}

/// Cancels a job and waits until it has ended.
pub(crate) async fn run(service: &Service, out: Out, wanted: &str) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let job = objects.job(wanted)?;
    service.job(&job.path).await?.cancel(HashMap::new()).await?;
    out.answer(&Answer { id: job.id.to_string(), result: "cancelled" }, || {
        format!("job {} is cancelled\n", job.short())
    });
    Ok(ExitCode::SUCCESS)
}
