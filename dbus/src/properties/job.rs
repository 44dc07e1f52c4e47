//! A job at one moment.

use zbus::Variant;

use super::WrongProperty;
use super::place::Place;
use crate::job::{JobKind, JobState, TotalSource};
use crate::path;

/// The properties of a job; `xml/org.butterdock.Butterdock1.Job.xml` says at length what each means.
#[derive(Debug, Clone, PartialEq)]
pub struct JobProperties {
    /// What it does. Constant.
    pub kind: JobKind,
    /// The path of its volume; [`path::NONE`] where it has none. Constant.
    pub volume: String,
    /// The path of its drive; [`path::NONE`] where it has none. Constant.
    pub drive: String,
    /// The name of the configured backup; empty unless it is one. Constant.
    pub backup: String,
    /// Who started it. Constant.
    pub started_by_uid: u32,
    /// When it was asked for, in microseconds since 1970. Constant.
    pub start_time: u64,
    /// Where it stands.
    pub state: JobState,
    /// 0 to 1; never goes back.
    pub progress: f64,
    /// Whether `progress` means anything: whether a total is known.
    pub progress_valid: bool,
    /// Bytes of the stream that were read.
    pub bytes_received: u64,
    /// Bytes of the stream that would survive pulling the plug now.
    pub bytes_durable: u64,
    /// Bytes of the whole stream; 0 unknown.
    pub bytes_total: u64,
    /// Who knew the total.
    pub total_source: TotalSource,
    /// Bytes per second, over the last few seconds.
    pub rate: u64,
    /// When it will probably end, in microseconds since 1970; 0 unknown.
    pub expected_end_time: u64,
    /// Extents that went to disk compressed, as they came.
    pub encoded_writes: u64,
    /// Extents that had to be decompressed first.
    pub fallback_writes: u64,
    /// Whether what is in work builds on a subvolume that is there already; false also while that is not known.
    pub incremental: bool,
    /// How it does its work, for a person; empty while there is nothing to say.
    pub note: String,
    /// Whether `Cancel` can still do something.
    pub cancelable: bool,
    /// The error's name with its prefix; empty while there is none.
    pub error_name: String,
    /// A sentence without any name of a file; empty while there is none.
    pub error_message: String,
}

impl Default for JobProperties {
    fn default() -> Self {
        Self {
            kind: JobKind::Receive,
            volume: path::NONE.to_owned(),
            drive: path::NONE.to_owned(),
            backup: String::new(),
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
    /// Takes over one property; one that this version does not know is skipped.
    ///
    /// # Errors
    /// The value is not of the property's type, or no word of the contract.
    pub fn set(&mut self, property: &str, value: &Variant<'_>) -> Result<(), WrongProperty> {
        let place = match property {
            "Kind" => Place::from(&mut self.kind),
            "TotalSource" => Place::from(&mut self.total_source),
            "State" => Place::from(&mut self.state),
            "Volume" => Place::Path(&mut self.volume),
            "Drive" => Place::Path(&mut self.drive),
            "Backup" => Place::Text(&mut self.backup),
            "StartedByUid" => Place::Small(&mut self.started_by_uid),
            "StartTime" => Place::Number(&mut self.start_time),
            "Progress" => Place::Share(&mut self.progress),
            "ProgressValid" => Place::Truth(&mut self.progress_valid),
            "BytesReceived" => Place::Number(&mut self.bytes_received),
            "BytesDurable" => Place::Number(&mut self.bytes_durable),
            "BytesTotal" => Place::Number(&mut self.bytes_total),
            "Rate" => Place::Number(&mut self.rate),
            "ExpectedEndTime" => Place::Number(&mut self.expected_end_time),
            "EncodedWrites" => Place::Number(&mut self.encoded_writes),
            "FallbackWrites" => Place::Number(&mut self.fallback_writes),
            "Incremental" => Place::Truth(&mut self.incremental),
            "Note" => Place::Text(&mut self.note),
            "Cancelable" => Place::Truth(&mut self.cancelable),
            "ErrorName" => Place::Text(&mut self.error_name),
            "ErrorMessage" => Place::Text(&mut self.error_message),
            _ => return Ok(()),
        };
        place.fill(value).ok_or_else(|| WrongProperty(property.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
