//! Calls the function of the verb, and turns its result into an exit status.

use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::args::{Args, Verb};
use crate::ask::Service;
use crate::failure::{Failure, USAGE};
use crate::render::{Out, print};
use crate::verbs;

/// Runs the verb.
pub(crate) fn run(args: &Args) -> ExitCode {
    let out = Out { json: args.json };
    // One thread is enough to wait for the bus and draw a bar.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return out.failed(&Failure::own(format!("cannot start: {error}"))),
    };
    match runtime.block_on(verb(args, out)) {
        Ok(code) => code,
        Err(failure) => out.failed(&failure),
    }
}

async fn verb(args: &Args, out: Out) -> Result<ExitCode, Failure> {
    let service = Service::connect().await?;
    match &args.verb {
        None | Some(Verb::Status) => verbs::status::run(&service, out).await,
        Some(Verb::Receive(wanted)) => verbs::receive::run(&service, out, wanted).await,
        Some(Verb::Jobs) => verbs::jobs::run(&service, out).await,
        Some(Verb::Watch { job }) => verbs::watch::run(&service, out, job.as_deref()).await,
        Some(Verb::Cancel { job }) => verbs::cancel::run(&service, out, job).await,
        Some(Verb::History) => verbs::history::run(&service, out).await,
        Some(Verb::Volumes) => verbs::volumes::run(&service, out).await,
        Some(Verb::Snapshots { volume: Some(volume), .. }) => verbs::snapshots::run(&service, out, volume).await,
        // clap requires one of the two.
        Some(Verb::Snapshots { volume: None, drive }) => {
            verbs::snapshots::of_drive(&service, out, drive.as_deref().unwrap_or_default()).await
        }
        Some(Verb::TrustClock) => verbs::trust_clock::run(&service, out).await,
        Some(of_drives) => drives_verb(&service, out, of_drives).await,
    }
}

/// The verbs about drives and backups.
async fn drives_verb(service: &Service, out: Out, verb: &Verb) -> Result<ExitCode, Failure> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller handles the other verbs")]
    match verb {
        Verb::Enrol(wanted) => verbs::enrol::run(service, out, wanted).await,
        Verb::Forget { drive } => verbs::forget::run(service, out, drive).await,
        Verb::Unlock { drive, key_file } => verbs::unlock::run(service, out, drive, key_file.as_deref()).await,
        Verb::Mount { drive } => verbs::mount::run(service, out, drive).await,
        Verb::Backup { backup, on } => verbs::work::backup(service, out, &on.drive, backup.as_deref(), on.detach).await,
        Verb::SafelyRemove(on) => verbs::work::remove(service, out, &on.drive, on.detach).await,
        Verb::Verify(on) => verbs::work::verify(service, out, &on.drive, on.detach).await,
        Verb::Backups { dry_run } => verbs::backups::run(service, out, *dry_run).await,
        Verb::Restore(wanted) => verbs::restore::run(service, out, wanted).await,
        Verb::Import(wanted) => verbs::import::run(service, out, wanted).await,
        _ => verbs::drives::run(service, out).await,
    }
}

/// Prints a usage error, or the requested help or version.
pub(crate) fn misused(error: &clap::Error) -> ExitCode {
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other kind is an error")]
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print::out(&error.render().to_string());
            ExitCode::SUCCESS
        }
        _ => {
            let text = error.render().to_string();
            print::complain(&format!("butterdock: {}", text.strip_prefix("error: ").unwrap_or(&text).trim_end()));
            ExitCode::from(USAGE)
        }
    }
}
