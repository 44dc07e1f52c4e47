//! Runs the receive of a stream into a volume.

use std::sync::Arc;
use std::time::Duration;

use crate::types::ErrorCode;

use super::{Outcome, Runner, RunnerEvent, other_than};
use crate::jobs::entry::Ending;
use crate::jobs::job::JobError;
use crate::untrusted_fd::QuarantinedFd;
use crate::volumes::{Destination, Place, Unanswered, Volume};
use crate::worker::{self, Handed};

/// A drive has so long to answer when its directory is opened: longer than a list of subvolumes takes at most, so that
/// whoever lists again and again holds up no job.
const OPENING: Duration = Duration::from_secs(30);

/// A stream, where to, and how.
#[derive(Debug)]
pub(in crate::jobs) struct Receive {
    pub(in crate::jobs) runner: Runner,
    pub(in crate::jobs) volume: Arc<Volume>,
    /// The directory that it was asked for.
    pub(in crate::jobs) place: Place,
    pub(in crate::jobs) input: QuarantinedFd,
    pub(in crate::jobs) order: worker::Order,
}

impl Receive {
    /// Runs it to its end; tells [`RunnerEvent::Over`] once.
    pub(in crate::jobs) async fn run(self) {
        let Self { mut runner, volume, place, input, order } = self;
        let destination = match reach(&mut runner, &volume, place).await {
            Ok(destination) => destination,
            Err(ending) => return runner.over(ending).await,
        };
        runner.tell(RunnerEvent::Opened(destination.mount)).await;
        let directory = destination.directory;
        let outcome = match directory.try_clone() {
            Ok(copy) => runner.work(order, Handed { stream: Some(input), places: vec![copy] }, &directory).await,
            Err(error) => Outcome::failure(no_descriptor(&error)),
        };
        runner.end(outcome, directory).await;
    }
}

/// Opens the volume's directory, when it is the one that was asked for; or how the job ended instead.
pub(super) async fn reach(runner: &mut Runner, volume: &Volume, place: Place) -> Result<Destination, Ending> {
    let opened = tokio::select! {
        opened = open(volume) => opened,
        // After a cancel, do not wait for a drive that does not respond.
        _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
    };
    match opened {
        Ok(destination) if destination.place == place => Ok(destination),
        Ok(_another) => Err(Ending::JobError(another(volume))),
        Err(failure) => Err(Ending::JobError(failure)),
    }
}

/// The process has as many descriptors open as it may.
pub(in crate::jobs) fn no_descriptor(error: &std::io::Error) -> JobError {
    let text = format!("cannot start a worker ({error}); wait until other jobs have ended, then start the job again");
    JobError::plain(ErrorCode::Failed, text)
}

/// What is there now was not there when the job was asked for: most often the drive was unmounted, and what lies below its
/// mount point is seen.
fn another(volume: &Volume) -> JobError {
    let text = format!(
        "the filesystem or directory of the volume \"{}\" has changed since the request; mount the right drive and \
         start the job again",
        volume.rule.name
    );
    JobError::plain(ErrorCode::DeviceGone, text)
}

pub(super) async fn open(volume: &Volume) -> Result<Destination, JobError> {
    let failure = |error: ErrorCode, why: &dyn std::fmt::Display| {
        JobError::plain(error, format!("cannot receive into the volume \"{}\": {why}", volume.rule.name))
    };
    match volume.open(OPENING).await {
        Ok(Ok(destination)) => Ok(destination),
        Ok(Err(unusable)) => Err(failure(ErrorCode::DeviceGone, &unusable)),
        Err(unanswered @ Unanswered::Busy) => Err(failure(ErrorCode::Busy, &unanswered)),
        Err(unanswered @ Unanswered::Silent) => Err(failure(ErrorCode::DeviceGone, &unanswered)),
    }
}
