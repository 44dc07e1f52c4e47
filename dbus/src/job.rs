//! What is said of a job: its kind, its state, its result.

use crate::word::word;

word! {
    /// Where a job stands. It only moves forward: queued, running, flushing, then one of the three ends. A job that
    /// has several streams to receive is flushing at the end of each and running again after it.
    JobState {
        /// It waits until nothing else writes to its volume.
        Queued = "queued",
        /// It reads and writes.
        Running = "running",
        /// A subvolume has come whole; it is being made durable.
        Flushing = "flushing",
        /// Everything is durable.
        Succeeded = "succeeded",
        /// It ended with an error; what was published before it stays.
        Failed = "failed",
        /// Somebody cancelled it; what was published before stays.
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// How it ended; none while it goes on.
    #[must_use]
    pub fn result(&self) -> Option<JobResult> {
        match self {
            Self::Queued | Self::Running | Self::Flushing => None,
            Self::Succeeded => Some(JobResult::Succeeded),
            Self::Failed => Some(JobResult::Failed),
            Self::Cancelled => Some(JobResult::Cancelled),
        }
    }
}

word! {
    /// How a job ended: the `result` of the signal `Completed`.
    JobResult {
        /// Everything is durable.
        Succeeded = "succeeded",
        /// It ended with an error.
        Failed = "failed",
        /// Cancelled by a user.
        Cancelled = "cancelled",
    }
}

impl From<JobResult> for JobState {
    fn from(result: JobResult) -> Self {
        match result {
            JobResult::Succeeded => Self::Succeeded,
            JobResult::Failed => Self::Failed,
            JobResult::Cancelled => Self::Cancelled,
        }
    }
}

word! {
    /// What a job does.
    JobKind {
        /// It receives a stream into a volume.
        Receive = "receive",
        /// It sends what changed to a drive.
        Backup = "backup",
        /// It sends a snapshot from a drive into a volume.
        Restore = "restore",
        /// It reads everything on a drive and compares checksums.
        Verify = "verify",
        /// It makes a drive safe to unplug.
        Remove = "remove",
        /// It receives stream files that are on a drive into a volume.
        Import = "import",
    }
    other
        /// Something that a later service can do.
        Other
}

word! {
    /// Who knew how many bytes are to come.
    TotalSource {
        /// Nobody; the total is 0.
        Unknown = "unknown",
        /// The stream is a regular file, and this is its size.
        File = "file",
        /// The caller said so, by the option `total`. It may be wrong.
        Client = "client",
        /// Worked out from what changed, or from how much of a drive is in use. It is not exact.
        Estimate = "estimate",
    }
    other
        /// A way of a later service.
        Other
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;

    #[test]
    fn words_travel_as_strings() {
        let bytes = to_bytes(Context::new(LE, 0), &JobState::Flushing).expect("written");
        assert_eq!(bytes.deserialize::<&str>().expect("a string").0, "flushing");
        assert_eq!(bytes.deserialize::<JobState>().expect("a state").0, JobState::Flushing);
    }

    #[test]
    fn every_word_is_read_back() {
        for word in JobState::WORDS {
            assert_eq!(word.parse::<JobState>().expect("known").as_str(), *word);
        }
        assert_eq!("failed".parse::<JobResult>(), Ok(JobResult::Failed));
    }

    #[test]
    fn unknown_states_are_errors_and_unknown_kinds_are_not() {
        assert!("paused".parse::<JobState>().is_err());
        assert_eq!("backup".parse(), Ok(JobKind::Backup));
        assert_eq!("polish".parse(), Ok(JobKind::Other("polish".to_owned())));
        assert!("".parse::<JobKind>().is_err());
    }

    #[test]
    fn only_the_three_ends_have_a_result() {
        let ended = JobState::WORDS.iter().filter_map(|word| word.parse::<JobState>().ok()?.result());
        let words = ended.map(|result| result.to_string()).collect::<Vec<_>>();
        assert_eq!(words, JobResult::WORDS);
    }
}
