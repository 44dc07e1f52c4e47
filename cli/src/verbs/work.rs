//! `butterdock backup`, `safely-remove`, `verify`: a job on one drive, watched to its end.

use std::collections::HashMap;
use std::process::ExitCode;

use butterdock_dbus::{BackupOptions, JobKind};
use zbus::OwnedObjectPath;

use super::watch::Watch;
use crate::ask::{Follow, Job, Service};
use crate::failure::Failure;
use crate::render::{JobObject, Line, Out, Screen};

/// Runs all backups of a drive, or the named one.
pub(crate) async fn backup(
    service: &Service,
    out: Out,
    wanted: &str,
    backup: Option<&str>,
    detach: bool,
) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = objects.drive(wanted)?;
    let options = BackupOptions { backup: backup.map(str::to_owned) };
    watch(service, out, detach, async { Ok(service.drive(&drive.path).await?.backup(options.to_options()).await?) })
        .await
}

/// Makes a drive safe to unplug.
pub(crate) async fn remove(service: &Service, out: Out, wanted: &str, detach: bool) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = objects.drive(wanted)?;
    watch(service, out, detach, async { Ok(service.drive(&drive.path).await?.safely_remove(HashMap::new()).await?) })
        .await
}

/// Checks everything on a drive.
pub(crate) async fn verify(service: &Service, out: Out, wanted: &str, detach: bool) -> Result<ExitCode, Failure> {
    let objects = service.objects().await?;
    let drive = objects.drive(wanted)?;
    watch(service, out, detach, async { Ok(service.drive(&drive.path).await?.verify(HashMap::new()).await?) }).await
}

/// Starts a job and watches it, and with a backup also the backups that are queued for the same drive.
pub(super) async fn watch(
    service: &Service,
    out: Out,
    detach: bool,
    asked: impl Future<Output = Result<OwnedObjectPath, Failure>>,
) -> Result<ExitCode, Failure> {
    let mut follow = Follow::start(service).await?;
    let begun = async {
        let begun = asked.await?;
        Ok((begun, service.objects().await?))
    };
    let (begun, objects) = follow.during(begun).await?;
    let first = objects.jobs.iter().find(|job| job.path == begun.as_str());
    let first = first.ok_or_else(|| Failure::own("the service started a job but does not list it".to_owned()))?;
    let behind = |job: &&Job| {
        first.now.kind == JobKind::Backup
            && job.path != first.path
            && (&job.now.kind, &job.now.drive) == (&first.now.kind, &first.now.drive)
    };
    let jobs = std::iter::once(first).chain(objects.unfinished().filter(behind)).cloned().collect::<Vec<_>>();
    if detach {
        for job in &jobs {
            out.answer(&Line::Started { job: JobObject::new(job) }, || format!("{}\n", job.id));
        }
        return Ok(ExitCode::SUCCESS);
    }
    Watch { service, follow, jobs, others: false, failed: false, hint: "" }.until_the_end(Screen::new(out)).await
}
