//! Runs a verify: compares all data on a drive with its checksums.

use crate::types::ErrorCode;
use butterdock_receive::ErrorKind;

use super::drive_job::{DriveContext, DriveTask};
use super::receive::no_descriptor;
use super::{Outcome, Runner, RunnerEvent};
use crate::dir_handle::DirHandle;
use crate::drives::Lease;
use crate::jobs::entry::Ending;
use crate::jobs::job::JobError;
use crate::worker::{Order, WorkerError};

/// It needs nothing but the drive.
#[derive(Debug)]
pub(in crate::jobs) struct Verify;

impl DriveTask for Verify {
    async fn work(
        &mut self,
        runner: &mut Runner,
        _berth: &DriveContext,
        lease: &Lease,
    ) -> Result<(Outcome, DirHandle), Ending> {
        let no_descriptor = |error: std::io::Error| Ending::JobError(no_descriptor(&error));
        let root = DirHandle::from(lease.root().try_clone_to_owned().map_err(no_descriptor)?);
        let place = root.try_clone().map_err(no_descriptor)?;
        let mut outcome = runner.work(Order::Verify, [root].into(), &place).await;
        if let Ending::Reported(Some(error)) = &outcome.ending
            && error.kind != ErrorKind::Cancelled
        {
            outcome.ending = Ending::JobError(unread(error));
        }
        if let Some(found) = outcome.heard.found {
            match (found.damage(), found.mended()) {
                (Some(damage), _) => outcome.fail(JobError::plain(ErrorCode::Failed, damage)),
                (None, Some(mended)) => runner.tell(RunnerEvent::Noted(mended)).await,
                (None, None) => {}
            }
        }
        Ok((outcome, place))
    }
}

/// The public message, without text of the worker.
fn unread(error: &WorkerError) -> JobError {
    let (name, public) = match error.kind {
        ErrorKind::Busy => {
            (ErrorCode::Busy, "another program is scrubbing the drive; wait until that has ended, then verify it again")
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
