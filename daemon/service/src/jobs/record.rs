//! A job in the history: one JSON object.

use crate::types::{ErrorCode, JobState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::job::About;
use super::job::{Job, JobError};

/// A job of the history. Only `details`, for callers that may know names, holds names. Times are microseconds
/// since 1970. Unknown members are skipped, so that an older service reads what a newer one wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: Uuid,
    /// What it does.
    pub kind: String,
    /// Empty for a job without one.
    #[serde(default)]
    pub volume: String,
    /// The drive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<String>,
    /// The drive's label at the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive_label: Option<String>,
    /// The id of the destination of backups that it worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The name of the configured backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<String>,
    /// Public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who asked for it; root for what the service began by itself.
    pub started_by_uid: u32,
    /// Why it began; None in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// When it was asked for.
    pub start_time: u64,
    /// 0 while the job is unfinished.
    pub end_time: u64,
    /// Its state.
    pub state: JobState,
    /// The number of bytes received.
    pub bytes_received: u64,
    /// How many of them are durable.
    pub bytes_durable: u64,
    /// How many extents were written as they came, compressed.
    pub encoded_writes: u64,
    /// How many were decompressed, because the kernel refused them.
    pub fallback_writes: u64,
    /// With its prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_name: Option<String>,
    /// Whether it is a backup that a person cancelled: it waits for its next time, also after a restart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub awaits_next_time: bool,
    /// A public sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What went wrong, with names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// What went wrong, with names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    pub message: String,
    pub command: Option<u64>,
    pub byte: Option<u64>,
}

impl Record {
    /// The job as it is now.
    pub(super) fn of(job: &Job) -> Self {
        let failure = job.failure.as_ref();
        let About { kind, volume, drive, backup } = &job.about;
        let details = |failure: &JobError| Details {
            message: failure.message.clone(),
            command: failure.command,
            byte: failure.byte,
        };
        Self {
            id: job.id,
            kind: kind.to_string(),
            volume: volume.as_ref().map_or_else(String::new, ToString::to_string),
            drive: drive.as_ref().map(|drive| drive.id.to_string()),
            drive_label: drive.as_ref().map(|drive| drive.label.clone()),
            destination: job.about.destination().map(|(id, _)| id.0),
            backup: backup.clone(),
            note: Some(job.note.clone()).filter(|note| !note.is_empty()),
            started_by_uid: job.uid(),
            trigger: Some(job.trigger.word().to_owned()),
            start_time: job.started,
            end_time: job.ended,
            state: job.state,
            bytes_received: job.bytes_received,
            bytes_durable: job.bytes_durable,
            encoded_writes: job.encoded_writes,
            fallback_writes: job.fallback_writes,
            error_name: failure.map(|failure| name_of(failure.name)),
            awaits_next_time: false,
            error_message: failure.map(|failure| failure.public.clone()),
            details: failure.map(details),
        }
    }

    /// If it is a job of the backup `from`, it is one of `to` from now on. Returns whether it is.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let is_of_it = self.backup.as_deref() == Some(from);
        if is_of_it {
            self.backup = Some(to.to_owned());
        }
        is_of_it
    }

    /// The kind of its error; `Failed` if it has none, or one that this version does not know.
    pub(crate) fn error_code(&self) -> ErrorCode {
        let is_it = |code: &ErrorCode| self.error_name.as_ref().is_some_and(|name| *name == name_of(*code));
        ErrorCode::ALL.into_iter().find(is_it).unwrap_or(ErrorCode::Failed)
    }

    /// The record of a job whose service was killed. `now` is the latest possible time of its end.
    pub(super) fn interrupted(self, now: u64) -> Self {
        let message = "the service was killed before it recorded this job's end; complete subvolumes stay, incomplete \
                       ones are removed: check with butterdock snapshots, then start the job again";
        Self {
            end_time: now,
            state: JobState::Failed,
            error_name: Some(name_of(ErrorCode::Failed)),
            error_message: Some(message.to_owned()),
            details: None,
            ..self
        }
    }
}

/// What the history calls an error: its name on the bus, as every version wrote it.
fn name_of(code: ErrorCode) -> String {
    format!("org.butterdock.Butterdock1.Error.{}", code.word())
}

#[cfg(test)]
mod tests {
    use crate::types::{JobKind, TotalSource, Trigger};

    use super::*;
    use crate::config::VolumeName;
    use crate::drives::DriveId;
    use crate::jobs::Total;
    use crate::jobs::job::AboutDrive;

    #[test]
    fn records_round_trip_and_unknown_members_are_ignored() {
        let volume = VolumeName::try_from("tank".to_owned()).expect("a name");
        let total = Total { bytes: 0, source: TotalSource::Unknown };
        let mut job = Job::new(Uuid::new_v4(), About::receive(volume), Trigger::User(1000), 7, total);
        job.failure = Some(JobError::plain(ErrorCode::NoSpace, "full"));
        let record = Record::of(&job);
        let mut value = serde_json::to_value(&record).expect("written");
        value.as_object_mut().expect("an object").insert("later".to_owned(), 1.into());
        assert_eq!(serde_json::from_value::<Record>(value).expect("read"), record);
    }

    #[test]
    fn a_record_of_an_older_service_is_read() {
        let text = r#"{"id":"0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0","kind":"receive","volume":"tank","started_by_uid":0,
            "start_time":1,"end_time":2,"state":"succeeded","bytes_received":3,"bytes_durable":3,"encoded_writes":0,
            "fallback_writes":0}"#;
        let record: Record = serde_json::from_str(text).expect("read");
        assert_eq!((record.volume.as_str(), record.drive, record.note), ("tank", None, None));
        assert_eq!(record.trigger, None, "a user, or a plug");
    }

    #[test]
    fn the_history_has_the_drives_label() {
        let drive = AboutDrive { id: DriveId::from(Uuid::nil()), label: "blue".to_owned(), kind: Default::default() };
        let about = About { kind: JobKind::Backup, volume: None, drive: Some(drive), backup: Some("home".to_owned()) };
        let total = Total { bytes: 0, source: TotalSource::Unknown };
        let job = Job { note: "full transfer".to_owned(), ..Job::new(Uuid::new_v4(), about, Trigger::Plug, 7, total) };
        let record = Record::of(&job);
        assert_eq!((record.kind.as_str(), record.volume.as_str()), ("backup", ""));
        assert_eq!((record.trigger.as_deref(), record.started_by_uid), (Some("plug"), 0));
        assert_eq!(
            (record.drive.as_deref(), record.drive_label.as_deref()),
            (Some(Uuid::nil().to_string().as_str()), Some("blue"))
        );
        assert_eq!((record.backup.as_deref(), record.note.as_deref()), (Some("home"), Some("full transfer")));
    }
}
