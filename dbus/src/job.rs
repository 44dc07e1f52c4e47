//! What `org.butterdock.Butterdock1.Job` returns: its properties and the words in them, and the details of its error.

use zbus::{DeserializeDict, SerializeDict, Type, Variant};

use crate::path;
use crate::property::{Field, WrongProperty};
use crate::word::word;

word! {
    /// The state of a job: queued, running, flushing, then one of the three ends. A job with several subvolumes is flushing
    /// after each and then running again.
    JobState {
        /// It waits until its volume or drive is free.
        Queued = "queued",
        /// It reads and writes.
        Running = "running",
        /// A subvolume has arrived completely and is made durable.
        Flushing = "flushing",
        /// Everything is durable.
        Succeeded = "succeeded",
        /// It ended with an error; subvolumes that were published before stay.
        Failed = "failed",
        /// Cancelled by a user or by service shutdown; subvolumes that were published before stay.
        Cancelled = "cancelled",
    }
}

impl JobState {
    /// The result; `None` before the end.
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
    /// The result of a job, in the signal `Completed`.
    JobResult {
        /// Everything is durable.
        Succeeded = "succeeded",
        /// It ended with an error.
        Failed = "failed",
        /// Cancelled by a user or by service shutdown.
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
    /// The kind of a job.
    JobKind {
        /// It receives a stream into a volume.
        Receive = "receive",
        /// It sends a snapshot of the backup's source to a drive.
        Backup = "backup",
        /// It sends a snapshot from a drive into a volume.
        Restore = "restore",
        /// It reads all data on a drive and compares checksums.
        Verify = "verify",
        /// It makes a drive safe to unplug.
        Remove = "remove",
        /// It receives stream files that are on a drive into a volume.
        Import = "import",
        /// It copies a file in a snapshot into a pipe.
        Read = "read",
        /// It restores files from a snapshot.
        RestoreFiles = "restore-files",
        /// It deletes snapshots that a person chose.
        Delete = "delete",
    }
    other
        /// A kind of a later version.
        Other
}

word! {
    /// Why a job began.
    Trigger {
        /// A drive was plugged in or enrolled.
        Plug = "plug",
        /// The time of the backup's schedule has come.
        Schedule = "schedule",
        /// A user asked for it.
        User = "user",
    }
    other
        /// A reason of a later version.
        Other
}

word! {
    /// The source of a job's total.
    TotalSource {
        /// There is no total; it is 0.
        Unknown = "unknown",
        /// The size of the regular file that is received.
        File = "file",
        /// The option `total` of the call; it may be wrong.
        Client = "client",
        /// Computed from the changes, or from the used space of the drive; not exact.
        Estimate = "estimate",
    }
    other
        /// A source of a later version.
        Other
}

/// The properties of a job; `xml/org.butterdock.Butterdock1.Job.xml` documents them in full.
#[derive(Debug, Clone, PartialEq)]
pub struct JobProperties {
    /// Its kind. Constant.
    pub kind: JobKind,
    /// The path of its volume; [`path::NONE`] without one. Constant.
    pub volume: String,
    /// The path of its drive; [`path::NONE`] without one. Constant.
    pub drive: String,
    /// The label of its drive at the request; empty without one. Constant.
    pub drive_label: String,
    /// The path of the destination of backups that it writes to or reads from; [`path::NONE`] without one. Constant.
    pub destination: String,
    /// The name of the configured backup; empty unless the kind is `backup`. Constant.
    pub backup_name: String,
    /// Why it began. Constant.
    pub trigger: Trigger,
    /// The user who started it; root unless the trigger is `user`. Constant.
    pub started_by_uid: u32,
    /// The time of the request, in microseconds since 1970. Constant.
    pub start_time: u64,
    /// Its state.
    pub state: JobState,
    /// 0 to 1; never goes back.
    pub progress: f64,
    /// Whether a total is known, and so whether `progress` is valid.
    pub progress_valid: bool,
    /// Bytes read of the stream.
    pub bytes_received: u64,
    /// Bytes of the stream that are safe on disk if the drive is unplugged now.
    pub bytes_durable: u64,
    /// Bytes of the whole stream; 0 if unknown.
    pub bytes_total: u64,
    /// The source of the total.
    pub total_source: TotalSource,
    /// Bytes per second, over the last few seconds.
    pub rate: u64,
    /// The limit of the rate now, in bytes per second; 0 without one.
    pub max_rate: u64,
    /// The estimated end, in microseconds since 1970; 0 if unknown.
    pub expected_end_time: u64,
    /// Compressed extents that were written without decompressing them.
    pub encoded_writes: u64,
    /// Compressed extents that were decompressed because the kernel refused the encoded write, and clones that were copied.
    pub fallback_writes: u64,
    /// Whether the current transfer is an increment; false also while this is not known yet.
    pub incremental: bool,
    /// A remark in English, for example the reason for a full transfer; empty without a remark.
    pub note: String,
    /// Whether the job can still be cancelled.
    pub cancelable: bool,
    /// The error's name with its prefix; empty without an error.
    pub error_name: String,
    /// An English sentence without file names; empty without an error.
    pub error_message: String,
}

impl Default for JobProperties {
    fn default() -> Self {
        Self {
            kind: JobKind::Receive,
            volume: path::NONE.to_owned(),
            drive: path::NONE.to_owned(),
            drive_label: String::new(),
            destination: path::NONE.to_owned(),
            backup_name: String::new(),
            trigger: Trigger::User,
            started_by_uid: 0,
            start_time: 0,
            state: JobState::Queued,
            progress: 0.0,
            progress_valid: false,
            bytes_received: 0,
            bytes_durable: 0,
            bytes_total: 0,
            total_source: TotalSource::Unknown,
            rate: 0,
            max_rate: 0,
            expected_end_time: 0,
            encoded_writes: 0,
            fallback_writes: 0,
            incremental: false,
            note: String::new(),
            cancelable: false,
            error_name: String::new(),
            error_message: String::new(),
        }
    }
}

impl JobProperties {
    /// Sets one property; an unknown property is ignored.
    ///
    /// # Errors
    /// The value has another type than the property, or is no word of the contract.
    pub fn set(&mut self, property: &str, value: &Variant<'_>) -> Result<(), WrongProperty> {
        let field = match property {
            "Kind" => Field::from(&mut self.kind),
            "TotalSource" => Field::from(&mut self.total_source),
            "State" => Field::from(&mut self.state),
            "Volume" => Field::Path(&mut self.volume),
            "Drive" => Field::Path(&mut self.drive),
            "DriveLabel" => Field::Text(&mut self.drive_label),
            "Destination" => Field::Path(&mut self.destination),
            "BackupName" => Field::Text(&mut self.backup_name),
            "Trigger" => Field::from(&mut self.trigger),
            "StartedByUid" => Field::Uid(&mut self.started_by_uid),
            "StartTime" => Field::Number(&mut self.start_time),
            "Progress" => Field::Double(&mut self.progress),
            "ProgressValid" => Field::Boolean(&mut self.progress_valid),
            "BytesReceived" => Field::Number(&mut self.bytes_received),
            "BytesDurable" => Field::Number(&mut self.bytes_durable),
            "BytesTotal" => Field::Number(&mut self.bytes_total),
            "Rate" => Field::Number(&mut self.rate),
            "MaxRate" => Field::Number(&mut self.max_rate),
            "ExpectedEndTime" => Field::Number(&mut self.expected_end_time),
            "EncodedWrites" => Field::Number(&mut self.encoded_writes),
            "FallbackWrites" => Field::Number(&mut self.fallback_writes),
            "Incremental" => Field::Boolean(&mut self.incremental),
            "Note" => Field::Text(&mut self.note),
            "Cancelable" => Field::Boolean(&mut self.cancelable),
            "ErrorName" => Field::Text(&mut self.error_name),
            "ErrorMessage" => Field::Text(&mut self.error_message),
            _ => return Ok(()),
        };
        field.set(value).ok_or_else(|| WrongProperty(property.to_owned()))
    }
}

/// The answer of `GetErrorDetails`; the strings are empty without an error.
///
/// Readers ignore unknown keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub struct ErrorDetails {
    /// An [`ErrorName`](crate::ErrorName) with its prefix.
    pub error_name: String,
    /// The complete message, with the file or subvolume that failed and what to do next. Names are escaped.
    pub message: String,
    /// The number of the command in the stream, if known.
    pub command: Option<u64>,
    /// The byte offset of that command in the stream, if known.
    pub byte: Option<u64>,
}

#[cfg(test)]
mod tests {
    use zbus::wire::{LE, serialized::Context, to_bytes};

    use super::*;
    use crate::Options;

    #[test]
    fn words_are_sent_as_strings() {
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

    #[test]
    fn unknown_properties_are_ignored_and_wrong_types_refused() {
        let mut job = JobProperties::default();
        assert_eq!(job.set("Colour", &Variant::from("red")), Ok(()));
        assert_eq!(job.set("Rate", &Variant::from(7_u64)), Ok(()));
        assert_eq!(job.set("State", &Variant::from("flushing")), Ok(()));
        assert_eq!((job.rate, &job.state), (7, &JobState::Flushing));
        assert_eq!(job.set("Rate", &Variant::from(7_u32)), Err(WrongProperty("Rate".to_owned())));
        assert!(job.set("State", &Variant::from("asleep")).is_err());
    }

    #[test]
    fn readers_ignore_keys_of_later_versions() {
        let details = ErrorDetails { message: "m".to_owned(), byte: Some(7), ..ErrorDetails::default() };
        let context = Context::new(LE, 0);
        let mut map = to_bytes(context, &details).expect("written").deserialize::<Options>().expect("a map").0;
        map.insert("later".to_owned(), true.into());
        let bytes = to_bytes(context, &map).expect("written");
        assert_eq!(bytes.deserialize::<ErrorDetails>().expect("details").0, details);
    }
}
