//! The state of a job at one moment.

use crate::types::{ErrorCode, JobState, TotalSource};
use uuid::Uuid;

use super::about::About;
use crate::backups::BackupCause;

/// A job. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// What it does, and to what.
    pub about: About,
    /// Who asked for it.
    pub uid: u32,
    /// When it was asked for.
    pub started: u64,
    /// When it was over; 0 before.
    pub ended: u64,
    /// Where it stands.
    pub state: JobState,
    /// How many bytes are to come.
    pub total: Total,
    /// How many bytes came.
    pub bytes_received: u64,
    /// How many of them are durable.
    pub bytes_durable: u64,
    /// Bytes per second.
    pub rate: u64,
    /// 0 unknown.
    pub expected_end: u64,
    /// How many extents were written as they came, compressed.
    pub encoded_writes: u64,
    /// How many were decompressed, because the kernel refused them.
    pub fallback_writes: u64,
    /// What comes builds on a subvolume that is there already, as far as that is known.
    pub incremental: bool,
    /// What came builds on a parent whose number is not the one in the stream.
    pub number_differs: bool,
    /// A public remark without names, or empty.
    pub note: String,
    /// It was asked to end, and cannot be cancelled again.
    pub ending: bool,
    /// Why it failed.
    pub failure: Option<JobError>,
}

/// The expected number of bytes; 0 if unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// How many bytes; 0 unknown.
    pub bytes: u64,
    /// Where that is known from.
    pub source: TotalSource,
}

/// Why a job did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobError {
    /// What kind of failure it is.
    pub name: ErrorCode,
    /// A public sentence without names or paths.
    pub public: String,
    /// The whole sentence: only for those who may know names.
    pub message: String,
    /// The number of the command in the stream.
    pub command: Option<u64>,
    /// Its offset in the stream.
    pub byte: Option<u64>,
    /// Why a backup failed, where a person can do something about it.
    pub cause: Option<BackupCause>,
}

impl Job {
    /// A job that waits.
    pub fn new(id: Uuid, about: About, uid: u32, started: u64, total: Total) -> Self {
        Self {
            id,
            about,
            uid,
            started,
            ended: 0,
            state: JobState::Queued,
            total,
            bytes_received: 0,
            bytes_durable: 0,
            rate: 0,
            expected_end: 0,
            encoded_writes: 0,
            fallback_writes: 0,
            incremental: false,
            number_differs: false,
            note: String::new(),
            ending: false,
            failure: None,
        }
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
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
    /// An error without file names, which is public as a whole.
    pub fn plain(name: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { name, public: message.clone(), message, command: None, byte: None, cause: None }
    }
}

/// Now, in microseconds since 1970.
pub(super) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::VolumeName;

    fn job(bytes: u64, total: u64) -> Job {
        let volume = VolumeName::try_from("a".to_owned()).expect("a name");
        let total = Total { bytes: total, source: TotalSource::Client };
        Job { bytes_received: bytes, ..Job::new(Uuid::new_v4(), About::receive(volume), 0, 0, total) }
    }

    #[test]
    fn progress_is_a_share_whatever_the_client_said() {
        assert!((job(5, 10).progress() - 0.5).abs() < f64::EPSILON);
        assert!((job(20, 10).progress() - 1.0).abs() < f64::EPSILON);
        assert!(job(20, 0).progress() == 0.0 && !job(20, 0).progress_valid());
        assert!(job(u64::MAX, u64::MAX).progress().is_finite());
    }
}
