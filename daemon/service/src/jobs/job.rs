//! A job: its subject, and its state at one moment.

use butterdock_receive::Unapplied;
use uuid::Uuid;

use super::queue::JobTarget;
use crate::backups::BackupCause;
use crate::config::VolumeName;
use crate::drives::DriveId;
use crate::types::{DestinationId, DestinationKind, ErrorCode, JobKind, JobResult, JobState, TotalSource, Trigger};

/// A job. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// What it does, and to what.
    pub about: About,
    /// Why it began.
    pub trigger: Trigger,
    /// When it was asked for.
    pub started: u64,
    /// When it began to run; 0 before.
    pub begun: u64,
    /// When it ended; 0 before.
    pub ended: u64,
    /// Its state.
    pub state: JobState,
    /// The number of bytes to come.
    pub total: Total,
    /// The number of bytes received.
    pub bytes_received: u64,
    /// How many of them are durable.
    pub bytes_durable: u64,
    /// Bytes per second.
    pub rate: u64,
    /// The limit of the rate, in bytes per second: `max_rate` of its destination, while it runs.
    pub max_rate: Option<u64>,
    /// 0 unknown.
    pub expected_end: u64,
    /// How many extents were written as they came, compressed.
    pub encoded_writes: u64,
    /// How many were decompressed, because the kernel refused them.
    pub fallback_writes: u64,
    /// The stream builds on an existing subvolume, as far as that is known.
    pub incremental: bool,
    /// The parent's generation number differs from the one in the stream.
    pub number_differs: bool,
    /// The attributes that the destination could not get; a note when the job ends.
    pub unapplied: Unapplied,
    /// A public remark without names, or empty.
    pub note: String,
    /// It is being ended and cannot be cancelled again.
    pub ending: bool,
    /// Why it failed.
    pub failure: Option<JobError>,
}

/// The subject of a job. It does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its kind.
    pub kind: JobKind,
    /// The volume that is received into.
    pub volume: Option<VolumeName>,
    /// The drive.
    pub drive: Option<AboutDrive>,
    /// The name of the configured backup.
    pub backup: Option<String>,
}

/// A drive, as it was at the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutDrive {
    /// Its id.
    pub id: DriveId,
    /// The drive's label; the configured name of a volume.
    pub label: String,
    /// What it is as a destination.
    pub kind: DestinationKind,
}

impl About {
    /// Receives a stream into this volume.
    pub fn receive(volume: VolumeName) -> Self {
        Self { kind: JobKind::Receive, volume: Some(volume), drive: None, backup: None }
    }

    /// Works on this drive.
    pub(super) fn on_drive(kind: JobKind, drive: AboutDrive) -> Self {
        Self { kind, volume: None, drive: Some(drive), backup: None }
    }

    /// The id of the destination that it writes to or reads from, as a destination of backups.
    pub fn destination(&self) -> Option<(DestinationId, DestinationKind)> {
        let drive = self.drive.as_ref()?;
        let id = match drive.kind {
            DestinationKind::Drive => DestinationId::from(&drive.id),
            DestinationKind::Volume => DestinationId(drive.label.clone()),
        };
        match self.kind {
            JobKind::Backup
            | JobKind::Restore
            | JobKind::Verify
            | JobKind::Delete
            | JobKind::Read
            | JobKind::RestoreFiles => Some((id, drive.kind)),
            JobKind::Receive | JobKind::Remove | JobKind::Import => None,
        }
    }

    /// The volume and the drive, on which no other job may work meanwhile. The source of a backup is none of them: backups of
    /// one source to several drives run at the same time.
    pub(super) fn places(&self) -> Vec<JobTarget> {
        let Self { kind: _, volume, drive, backup: _ } = self;
        let volume = volume.clone().map(JobTarget::Volume);
        let drive = drive.as_ref().map(|drive| JobTarget::Drive(drive.id.clone()));
        volume.into_iter().chain(drive).collect()
    }

    /// A sentence for callers that may know names: that of a backup names the backup and the drive.
    pub(super) fn introduce(&self, sentence: &str) -> String {
        match (&self.backup, &self.drive) {
            (Some(backup), Some(drive)) => {
                format!("the backup \"{backup}\" to the drive \"{}\": {sentence}", drive.label.escape_debug())
            }
            (Some(_) | None, _) => sentence.to_owned(),
        }
    }

    /// The public word for its target: "volume" or "drive".
    pub(super) fn target(&self) -> &'static str {
        if self.volume.is_some() { "volume" } else { "drive" }
    }
}

/// The expected number of bytes; 0 if unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// The number; 0 if unknown.
    pub bytes: u64,
    /// Its source.
    pub source: TotalSource,
}

impl Total {
    /// Of a job whose size is not known before it begins.
    pub const UNKNOWN: Self = Self { bytes: 0, source: TotalSource::Unknown };
}

/// Why a job did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    /// What kind of failure it is.
    pub name: ErrorCode,
    /// A public sentence without names or paths.
    pub public: String,
    /// The complete sentence, only for callers that may know names.
    pub message: String,
    /// The number of the command in the stream.
    pub command: Option<u64>,
    /// Its offset in the stream.
    pub byte: Option<u64>,
    /// Why a backup failed, where a person can do something about it.
    pub cause: Option<BackupCause>,
}

impl Job {
    /// A queued job.
    pub fn new(id: Uuid, about: About, trigger: Trigger, started: u64, total: Total) -> Self {
        Self {
            id,
            about,
            trigger,
            started,
            begun: 0,
            ended: 0,
            state: JobState::Queued,
            total,
            bytes_received: 0,
            bytes_durable: 0,
            rate: 0,
            max_rate: None,
            expected_end: 0,
            encoded_writes: 0,
            fallback_writes: 0,
            incremental: false,
            number_differs: false,
            unapplied: Unapplied::default(),
            note: String::new(),
            ending: false,
            failure: None,
        }
    }

    /// The user who asked for it; root for what the service begins by itself.
    pub fn uid(&self) -> u32 {
        self.trigger.uid()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.state.result().is_some()
    }

    /// From 0 to 1. It never goes back, because a total that is known does not change and the bytes do not go back.
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than a double has")]
    pub fn progress(&self) -> f64 {
        if self.state == JobState::Succeeded {
            return 1.0;
        }
        if self.total.bytes == 0 {
            return 0.0;
        }
        (self.bytes_received as f64 / self.total.bytes as f64).min(1.0)
    }

    /// Whether [`Job::progress`] means anything.
    pub fn progress_valid(&self) -> bool {
        self.total.bytes != 0 || self.state == JobState::Succeeded
    }
}

impl JobError {
    /// An error without file names: all of it is public.
    pub fn plain(name: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { name, public: message.clone(), message, command: None, byte: None, cause: None }
    }
}

/// What happens to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// It starts.
    Begins,
    /// A subvolume was received completely and is being made durable.
    Flushes,
    /// Another subvolume follows in the same stream.
    Continues,
    /// It ends.
    Ends(JobResult),
}

/// The state after the event; None if the event cannot happen in this state. No event changes a job that has ended, so that
/// its end is reported once.
pub(super) fn after(state: &JobState, event: &Event) -> Option<JobState> {
    use JobState::{Cancelled, Failed, Flushing, Queued, Running, Succeeded};
    match (state, event) {
        (Queued, Event::Begins) | (Flushing, Event::Continues) => Some(Running),
        (Running, Event::Flushes) => Some(Flushing),
        // Only what was made durable has succeeded.
        (Flushing, Event::Ends(JobResult::Succeeded)) => Some(Succeeded),
        (Queued | Running | Flushing, Event::Ends(JobResult::Failed)) => Some(Failed),
        (Queued | Running | Flushing, Event::Ends(JobResult::Cancelled)) => Some(Cancelled),
        (Queued, Event::Flushes | Event::Continues | Event::Ends(JobResult::Succeeded))
        | (Running, Event::Begins | Event::Continues | Event::Ends(JobResult::Succeeded))
        | (Flushing, Event::Begins | Event::Flushes)
        | (Succeeded | Failed | Cancelled, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::JobState::{Cancelled, Failed, Flushing, Queued, Running, Succeeded};

    fn job(bytes: u64, total: u64) -> Job {
        let volume = VolumeName::try_from("a".to_owned()).expect("a name");
        let total = Total { bytes: total, source: TotalSource::Client };
        Job { bytes_received: bytes, ..Job::new(Uuid::new_v4(), About::receive(volume), Trigger::User(0), 0, total) }
    }

    #[test]
    fn progress_is_a_share_whatever_the_client_said() {
        assert!((job(5, 10).progress() - 0.5).abs() < f64::EPSILON);
        assert!((job(20, 10).progress() - 1.0).abs() < f64::EPSILON);
        assert!(job(20, 0).progress() == 0.0 && !job(20, 0).progress_valid());
        assert!(job(u64::MAX, u64::MAX).progress().is_finite());
    }

    #[test]
    fn every_state_transition_matches_the_table() {
        let events = [
            Event::Begins,
            Event::Flushes,
            Event::Continues,
            Event::Ends(JobResult::Succeeded),
            Event::Ends(JobResult::Failed),
            Event::Ends(JobResult::Cancelled),
        ];
        let table = [
            (Queued, [Some(Running), None, None, None, Some(Failed), Some(Cancelled)]),
            (Running, [None, Some(Flushing), None, None, Some(Failed), Some(Cancelled)]),
            (Flushing, [None, None, Some(Running), Some(Succeeded), Some(Failed), Some(Cancelled)]),
            (Succeeded, [None, None, None, None, None, None]),
            (Failed, [None, None, None, None, None, None]),
            (Cancelled, [None, None, None, None, None, None]),
        ];
        for (state, row) in table {
            for (event, expected) in events.iter().zip(row) {
                assert_eq!(after(&state, event), expected, "{state} {event:?}");
            }
        }
    }
}
