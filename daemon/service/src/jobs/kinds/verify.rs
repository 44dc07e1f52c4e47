//! Verifies a drive: compares all data on it with its checksums.

use butterdock_receive::ErrorKind;
use butterdock_worker::verify::Found;

use super::drive_job::{self, DriveContext, DriveTask};
use super::receive::no_descriptor;
use super::{Conflict, JobContext, JobRequest, JobRun};
use crate::config::Config;
use crate::destinations::{Destination, DriveDestination};
use crate::drives::{DriveId, DriveReservation, Lease, Need, VerifyResult};
use crate::jobs::job::JobError;
use crate::jobs::job::{About, AboutDrive};
use crate::jobs::outcome::{EndReason, EndRules, Ending};
use crate::jobs::runner::{MOST_DAMAGED_SUBVOLUMES, Outcome, Runner, RunnerEvent};
use crate::types::{Error, ErrorCode, JobKind, Trigger};
use crate::worker::{Order, WorkerError, WorkerFds};

/// A drive to be verified.
#[derive(Debug)]
pub(crate) struct VerifyJob {
    pub reservation: DriveReservation,
    pub drive: AboutDrive,
    pub trigger: Trigger,
}

const END: EndRules = EndRules { left: |_, _| "only a part of the drive was read".to_owned(), ..EndRules::TRANSFER };

impl JobRequest for VerifyJob {
    fn about(&self) -> About {
        About::on_drive(JobKind::Verify, self.drive.clone())
    }

    fn doing(&self) -> String {
        format!("verifying drive {}", self.drive.id)
    }

    fn trigger(&self) -> Trigger {
        self.trigger
    }

    /// One that began by itself is due again: at the next plug, or the next day.
    fn yields_to_removal(&self) -> bool {
        self.trigger.is_automatic()
    }

    fn conflict(&self) -> Conflict {
        Conflict::Same("the drive is being verified already; watch it with butterdock watch")
    }

    fn check(&self, _config: &Config) -> Result<(), Error> {
        Ok(())
    }

    fn set_accepted(&mut self) {
        self.reservation.set_of_job();
    }

    fn end_rules(&self) -> &'static EndRules {
        &END
    }

    fn run(self: Box<Self>, runner: Runner, context: &JobContext<'_>) -> JobRun {
        let manager = self.reservation.manager().clone();
        Box::pin(drive_job::run(*self, runner, manager, context.writer_threads()))
    }
}

impl DriveTask for VerifyJob {
    const NEED: Need = Need::Read;

    fn drive(&self) -> &DriveId {
        &self.drive.id
    }

    fn into_reservation(self) -> DriveReservation {
        self.reservation
    }

    async fn work(
        &mut self,
        runner: &mut Runner,
        context: &DriveContext,
        lease: &Lease,
    ) -> Result<(Outcome, Box<dyn Destination>), Ending> {
        let place = DriveDestination::of(lease).map_err(|error| Ending::JobError(no_descriptor(&error)))?;
        let missing = lease.missing();
        let mut outcome = runner.work(Order::Verify, WorkerFds::default(), &place).await;
        if matches!(*runner.stop.borrow(), Some(EndReason::Cancelled | EndReason::Removed)) {
            context.manager.note_verify_cancelled(&context.drive);
        }
        if let Ending::Reported(Some(error)) = &outcome.ending
            && error.kind != ErrorKind::Cancelled
        {
            let without_log = lease.without_log().filter(|_| error.kind == ErrorKind::ReadOnly);
            outcome.ending = Ending::JobError(without_log.map_or_else(
                || unread(error),
                |sentence| JobError {
                    message: error.message.clone(),
                    ..JobError::plain(ErrorCode::ReadOnly, sentence)
                },
            ));
        }
        if let Some(found) = outcome.heard.found {
            let subvolumes = outcome.heard.damaged_subvolumes.clone();
            let elsewhere = found.elsewhere || subvolumes.len() >= MOST_DAMAGED_SUBVOLUMES;
            let (blocks, files, is_partial) = (found.lost, found.files, missing.is_some());
            let result = VerifyResult { blocks, files, subvolumes, elsewhere, is_partial };
            match (found.damage(), found.mended()) {
                (Some(damage), _) => {
                    let message = with_names(&damage, &found, &outcome.heard.damaged_files);
                    outcome.fail(JobError { message, ..JobError::plain(ErrorCode::Failed, damage) });
                }
                (None, Some(mended)) => runner.tell(RunnerEvent::Noted(mended)).await,
                (None, None) => {}
            }
            if let Err(error) = context.manager.verified(&context.drive, result).await {
                let failure = drive_job::failure(error);
                let text = format!("what was found is not remembered with the drive: {}", failure.public);
                outcome.fail(failure);
                runner.tell(RunnerEvent::Noted(text)).await;
            }
        }
        if let Some(missing) = missing {
            let text =
                format!("only the attached devices were verified, and damage that was found before stays: {missing}");
            runner.tell(RunnerEvent::Noted(text)).await;
        }
        Ok((outcome, Box::new(place)))
    }
}

/// The message for those who may see names.
fn with_names(damage: &str, found: &Found, files: &[Vec<u8>]) -> String {
    if files.is_empty() {
        return damage.to_owned();
    }
    let names: Vec<String> = files.iter().map(|path| format!("\"{}\"", path.escape_ascii())).collect();
    let more = found.files.saturating_sub(u64::try_from(files.len()).unwrap_or(u64::MAX));
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{damage}; damaged on the drive: {}{more}", names.join(", "))
}

/// The public message, without text of the worker.
fn unread(error: &WorkerError) -> JobError {
    let (name, public) = match error.kind {
        ErrorKind::Busy => {
            (ErrorCode::Busy, "another program scrubs the drive; wait until that has ended, then verify it again")
        }
        ErrorKind::ReadOnly => (
            ErrorCode::ReadOnly,
            "the drive is read-only, perhaps because it has failed; see dmesg, then plug it in again",
        ),
        ErrorKind::DeviceGone => (
            ErrorCode::DeviceGone,
            "the drive cannot be read to its end; check it and its cable (dmesg), then verify it again",
        ),
        ErrorKind::InvalidStream
        | ErrorKind::TruncatedStream
        | ErrorKind::UnsupportedStream
        | ErrorKind::ParentMissing
        | ErrorKind::NoSpace
        | ErrorKind::Exists
        | ErrorKind::Cancelled
        | ErrorKind::Failed => (
            ErrorCode::Failed,
            "the drive was not verified to its end; read the job's error details, then verify it again",
        ),
    };
    JobError { message: error.message.clone(), ..JobError::plain(name, public) }
}
