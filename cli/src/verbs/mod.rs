//! The verbs, by what they are about. Each function calls the service and passes the answer to `render`.

mod backups;
mod drives;
mod files;
mod jobs;
mod settings;
mod snapshots;
mod status;
mod streams;
mod target;
mod watch;

use std::process::ExitCode;

use crate::args::{Args, Backup, BackupChange, Verb};
use crate::failure::Failure;
use crate::render::Output;
use crate::service::Service;

/// Runs the verb of the command line.
pub(crate) async fn run(args: &Args, out: Output) -> Result<ExitCode, Failure> {
    let service = &Service::connect().await?;
    match &args.verb {
        None | Some(Verb::Status) => status::show(service, out).await,
        Some(Verb::Volumes) => status::volumes(service, out).await,
        Some(Verb::Receive(wanted)) => streams::receive(service, out, wanted).await,
        Some(Verb::Import(wanted)) => streams::import(service, out, wanted).await,
        Some(Verb::Jobs) => jobs::list(service, out).await,
        Some(Verb::Watch { job }) => watch::run(service, out, job.as_deref()).await,
        Some(Verb::Cancel { job }) => jobs::cancel(service, out, job).await,
        Some(Verb::History(wanted)) => jobs::history(service, out, wanted).await,
        Some(Verb::Snapshots { volume, drive }) => {
            snapshots::list(service, out, volume.as_deref(), drive.as_deref()).await
        }
        Some(Verb::Files(verb)) => files::run(service, out, verb).await,
        Some(Verb::Restore(wanted)) => snapshots::restore(service, out, wanted).await,
        Some(Verb::Drives) => drives::list(service, out).await,
        Some(Verb::Enrol(wanted)) => drives::enrol(service, out, wanted).await,
        Some(Verb::Forget { drive }) => drives::forget(service, out, drive).await,
        Some(Verb::Unlock { drive, key_file }) => drives::unlock(service, out, drive, key_file.as_deref()).await,
        Some(Verb::Mount { drive }) => drives::mount(service, out, drive).await,
        Some(Verb::SafelyRemove(on)) => drives::safely_remove(service, out, on).await,
        Some(Verb::Verify(on)) => drives::verify(service, out, on).await,
        Some(Verb::Backups { dry_run }) => backups::list(service, out, *dry_run).await,
        Some(Verb::Backup(wanted)) => backup(service, out, wanted).await,
        Some(Verb::Settings) => settings::show(service, out).await,
        Some(Verb::Unpin { drive, backup }) => drives::unpin(service, out, drive, backup.clone()).await,
        Some(Verb::TrustClock) => backups::trust_clock(service, out).await,
    }
}

/// Runs backups, or changes which there are.
async fn backup(service: &Service, out: Output, wanted: &Backup) -> Result<ExitCode, Failure> {
    match &wanted.change {
        None => backups::run(service, out, wanted).await,
        Some(BackupChange::Add(wanted)) => settings::add_backup(service, out, wanted).await,
        Some(BackupChange::Set(wanted)) => settings::set_backup(service, out, wanted).await,
        Some(BackupChange::Remove { name, revision }) => {
            settings::remove_backup(service, out, name, revision.clone()).await
        }
    }
}
