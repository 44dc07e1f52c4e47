//! Receives a stream into a volume.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{JobContext, JobRequest, JobRun};
use crate::config::{Config, VolumeName};
use crate::destinations::{self, VolumeDestination};
use crate::jobs::class::JobClass;
use crate::jobs::job::About;
use crate::jobs::job::{JobError, Total};
use crate::jobs::limit::Limit;
use crate::jobs::outcome::Ending;
use crate::jobs::runner::{Runner, RunnerEvent, other_than, sweep_open};
use crate::jobs::stream_limit::StreamLimit;
use crate::types::{Error, ErrorCode, Trigger};
use crate::untrusted_fd::QuarantinedFd;
use crate::volumes::{DirIdentity, OpenVolume, Unanswered, Volume};
use crate::worker::{Order, Priority, Spawner, WorkerFds};

/// Timeout for opening the volume's directory: longer than any list of its subvolumes takes, so that repeated listings block
/// no job.
const OPENING: Duration = Duration::from_secs(30);

/// A stream, the volume that it is received into, and options.
#[derive(Debug)]
pub(crate) struct ReceiveJob {
    pub volume: Arc<Volume>,
    /// The volume's directory at the time of the request: no other is written to.
    pub place: DirIdentity,
    pub uid: u32,
    /// Readable, at the first byte of the stream.
    pub input: QuarantinedFd,
    pub total: Total,
    /// The subvolume's name instead of the sender's.
    pub name: Option<Vec<u8>>,
    pub verify: bool,
    pub force_decompress: bool,
    pub strict_parent: bool,
}

impl JobRequest for ReceiveJob {
    fn about(&self) -> About {
        About::receive(self.volume.rule.name.clone())
    }

    fn doing(&self) -> String {
        format!("receiving into \"{}\"", self.volume.rule.name)
    }

    fn trigger(&self) -> Trigger {
        Trigger::User(self.uid)
    }

    fn class(&self) -> JobClass {
        JobClass::of_stream(self.uid)
    }

    fn total(&self) -> Total {
        self.total.clone()
    }

    fn volume(&self) -> Option<&Arc<Volume>> {
        Some(&self.volume)
    }

    fn check(&self, config: &Config) -> Result<(), Error> {
        check(&self.volume, config)
    }

    fn run(self: Box<Self>, mut runner: Runner, context: &JobContext<'_>) -> JobRun {
        runner.limit = Some(Limit::Stream(StreamLimit::new(&context.config.streams, self.uid, Instant::now())));
        let writer_threads = context.writer_threads();
        Box::pin(async move {
            let Self { volume, place, uid, input, name, verify, force_decompress, strict_parent, .. } = *self;
            let destination = match reach(&mut runner, &volume, place).await {
                Ok(destination) => destination,
                Err(ending) => return runner.end_without_worker(ending).await,
            };
            let order = Order::Receive {
                name,
                verify,
                force_decompress,
                no_verity: false,
                writer_threads,
                strict_parent,
                asked_by: uid,
                unrecorded_if_roots: false,
                quarantined: true,
            };
            let handed = WorkerFds { stream: Some(input), ..WorkerFds::default() };
            let outcome = runner.work(order, handed, &destination).await;
            runner.end(outcome, Box::new(destination)).await;
        })
    }
}

/// Checks that a volume is configured as it was.
pub(super) fn check(volume: &Volume, config: &Config) -> Result<(), Error> {
    if config.volumes.contains(&volume.rule) { Ok(()) } else { Err(no_such_volume(volume.rule.name.as_str())) }
}

/// The error for a volume that is not configured.
pub(crate) fn no_such_volume(name: &str) -> Error {
    let name = VolumeName::try_from(name.to_owned()).map_or_else(|_odd| String::new(), |name| format!(" \"{name}\""));
    Error::new(ErrorCode::NotFound, format!("there is no volume{name}; butterdock volumes lists the volumes"))
}

/// Opens the volume for a job, if its directory is the one of the request; or how the job ended instead.
pub(super) async fn reach(
    runner: &mut Runner,
    volume: &Volume,
    place: DirIdentity,
) -> Result<VolumeDestination, Ending> {
    let opened = tokio::select! {
        opened = open(volume) => opened,
        // After a cancel, do not wait for a drive that does not respond.
        _why = other_than(&mut runner.stop, None) => return Err(Ending::Killed),
    };
    match opened {
        Ok(open) if open.place == place => {
            runner.tell(RunnerEvent::Opened(open.mount)).await;
            Ok(VolumeDestination::new(open))
        }
        Ok(_another) => Err(Ending::JobError(another(volume))),
        Err(failure) => Err(Ending::JobError(failure)),
    }
}

/// The process has as many descriptors open as it may.
pub(in crate::jobs) fn no_descriptor(error: &std::io::Error) -> JobError {
    JobError::plain(ErrorCode::Failed, destinations::no_descriptor(error))
}

/// The directory is another one than at the request: usually the drive was unmounted, which uncovers the directory below its
/// mount point.
pub(super) fn another(volume: &Volume) -> JobError {
    let text = format!(
        "the filesystem or directory of the volume \"{}\" has changed since the request; mount the right drive and \
         start the job again",
        volume.rule.name
    );
    JobError::plain(ErrorCode::DeviceGone, text)
}

/// Opens the volume's directory.
pub(in crate::jobs) async fn open(volume: &Volume) -> Result<OpenVolume, JobError> {
    let failure = |error: ErrorCode, why: &dyn std::fmt::Display| {
        JobError::plain(error, format!("cannot receive into the volume \"{}\": {why}", volume.rule.name))
    };
    match volume.open(OPENING).await {
        Ok(Ok(destination)) => Ok(destination),
        Ok(Err(unusable)) => Err(failure(ErrorCode::DeviceGone, &unusable)),
        Err(unanswered @ Unanswered::Busy) => Err(failure(ErrorCode::Busy, &unanswered)),
        Err(unanswered @ Unanswered::Silent) => Err(failure(ErrorCode::DeviceGone, &unanswered)),
        Err(unanswered @ Unanswered::NoThread) => Err(failure(ErrorCode::Failed, &unanswered)),
    }
}

#[cfg(test)]
impl ReceiveJob {
    /// An empty stream of root into a volume that does not exist.
    pub(in crate::jobs) fn of_nothing(volume: &str) -> Self {
        let name = VolumeName::try_from(volume.to_owned()).expect("a name");
        let input = std::fs::File::open("/dev/null").expect("null").into();
        Self {
            volume: Volume::new(crate::config::VolumeRule { name, path: "/nonexistent".into(), uuid: None }),
            place: DirIdentity::nowhere(),
            uid: 0,
            input: QuarantinedFd::new(input, None).expect("quarantined"),
            total: Total::UNKNOWN,
            name: None,
            verify: false,
            force_decompress: false,
            strict_parent: false,
        }
    }
}

/// Sweeps what a killed service left in a volume, if it is mounted.
///
/// # Errors
/// A sentence for the log.
pub(crate) async fn sweep(spawner: &Spawner, volume: &Arc<Volume>) -> Result<(), String> {
    let destination = open(volume).await.map_err(|failure| failure.message)?;
    sweep_open(spawner, &VolumeDestination::new(destination), Priority::default()).await
}
