//! The verbs, by what they are about. Each function calls the service and passes the answer to `render`.

mod backups;
mod drives;
mod enrol_target;
mod file_tables;
mod files;
mod jobs;
mod metrics;
mod notify;
mod passphrase;
mod settings;
mod snapshot_changes;
mod snapshots;
mod status;
mod streams;
mod watch;

use std::pin::Pin;
use std::process::ExitCode;

use crate::args::backup::Backup;
use crate::args::{Args, Verb};
use crate::failure::Failure;
use crate::render::Output;
use crate::service::Service;

/// A verb that has begun.
type Running<'v> = Pin<Box<dyn Future<Output = Result<ExitCode, Failure>> + 'v>>;

/// Runs the verb of the command line.
pub(crate) async fn run(args: &Args, out: Output) -> Result<ExitCode, Failure> {
    let service = Service::connect().await;
    if let Some(Verb::Metrics { output }) = &args.verb {
        // It also reports that there is no bus.
        return metrics::run(service, out, output.as_deref()).await;
    }
    let service = &service?;
    let running: Running<'_> = match &args.verb {
        None | Some(Verb::Status | Verb::Metrics { .. }) => Box::pin(status::show(service, out)),
        Some(Verb::Volumes) => Box::pin(status::volumes(service, out)),
        Some(Verb::Receive(wanted)) => Box::pin(streams::receive(service, out, wanted)),
        Some(Verb::Import(wanted)) => Box::pin(streams::import(service, out, wanted)),
        Some(Verb::Jobs) => Box::pin(jobs::list(service, out)),
        Some(Verb::Watch { job }) => Box::pin(watch::run(service, out, job.as_deref())),
        Some(Verb::Cancel { job }) => Box::pin(jobs::cancel(service, out, job)),
        Some(Verb::History(wanted)) => Box::pin(jobs::history(service, out, wanted)),
        Some(Verb::Snapshots(wanted)) => Box::pin(snapshot_changes::run(service, out, wanted)),
        Some(Verb::Files(verb)) => Box::pin(files::run(service, out, verb)),
        Some(Verb::Restore(wanted)) => Box::pin(snapshots::restore(service, out, wanted)),
        Some(Verb::Drives) => Box::pin(drives::list(service, out)),
        Some(Verb::Enrol(wanted)) => Box::pin(drives::enrol(service, out, wanted)),
        Some(Verb::Forget { drive }) => Box::pin(drives::forget(service, out, drive)),
        Some(Verb::Unlock { drive, key_file }) => Box::pin(drives::unlock(service, out, drive, key_file.as_deref())),
        Some(Verb::Mount { drive }) => Box::pin(drives::mount(service, out, drive)),
        Some(Verb::SafelyRemove(on)) => Box::pin(drives::safely_remove(service, out, on)),
        Some(Verb::Verify(on)) => Box::pin(drives::verify(service, out, on)),
        Some(Verb::Backups { dry_run }) => Box::pin(backups::list(service, out, *dry_run)),
        Some(Verb::Backup(wanted)) => Box::pin(backup(service, out, wanted)),
        Some(Verb::Settings(wanted)) => Box::pin(settings::run(service, out, wanted)),
        Some(Verb::Volume { change }) => Box::pin(settings::change_volume(service, out, change)),
        Some(Verb::Destination { change }) => Box::pin(settings::change_destination(service, out, change)),
        Some(Verb::Notify { verb }) => Box::pin(notify::run(service, out, verb.as_ref())),
        Some(Verb::Unpin { drive, backup }) => Box::pin(drives::unpin(service, out, drive, backup.clone())),
        Some(Verb::TrustClock) => Box::pin(backups::trust_clock(service, out)),
    };
    running.await
}

/// Runs backups, or changes which there are.
async fn backup(service: &Service, out: Output, wanted: &Backup) -> Result<ExitCode, Failure> {
    match &wanted.change {
        None => backups::run(service, out, wanted).await,
        Some(change) => settings::change_backup(service, out, change).await,
    }
}
