//! A job as the history keeps it: one JSON object.

use butterdock_dbus::{ErrorName, JobState};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::job::{Job, Trouble};

/// A job of the history. It holds names only in `details`, which is for those who may know them. Times are microseconds
/// since 1970. Unknown members are skipped, so that an older service reads what a newer one wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) volume: String,
    pub(crate) started_by_uid: u32,
    pub(crate) start_time: u64,
    /// 0 while it goes on.
    pub(crate) end_time: u64,
    pub(crate) state: JobState,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_durable: u64,
    pub(crate) encoded_writes: u64,
    pub(crate) fallback_writes: u64,
    /// With its prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<Details>,
}

/// What went wrong, with names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    pub(crate) message: String,
    pub(crate) command: Option<u64>,
    pub(crate) byte: Option<u64>,
}

impl Record {
    /// The job as it is now.
    pub(super) fn of(job: &Job) -> Self {
        let trouble = job.trouble.as_ref();
        let details = |trouble: &Trouble| Details {
            message: trouble.message.clone(),
            command: trouble.command,
            byte: trouble.byte,
        };
        Self {
            id: job.id,
            kind: "receive".to_owned(),
            volume: job.volume.as_str().to_owned(),
            started_by_uid: job.uid,
            start_time: job.started,
            end_time: job.ended,
            state: job.state.clone(),
            bytes_received: job.bytes_received,
            bytes_durable: job.bytes_durable,
            encoded_writes: job.encoded_writes,
            fallback_writes: job.fallback_writes,
            error_name: trouble.map(|trouble| trouble.name.as_str().to_owned()),
            error_message: trouble.map(|trouble| trouble.public.clone()),
            details: trouble.map(details),
        }
    }

    /// The job of a service that was killed: it was not told to end, so nobody wrote how. `now` is the latest that it
    /// can have ended.
    pub(super) fn interrupted(self, now: u64) -> Self {
        let message = "the service was killed while this job ran; what it had not published is swept, start it again";
        Self {
            end_time: now,
            state: JobState::Failed,
            error_name: Some(ErrorName::Failed.as_str().to_owned()),
            error_message: Some(message.to_owned()),
            details: None,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use butterdock_dbus::TotalSource;

    use super::*;
    use crate::config::VolumeName;
    use crate::jobs::Total;

    #[test]
    fn a_record_is_read_back_and_a_member_of_a_later_service_is_skipped() {
        let volume = VolumeName::try_from("tank".to_owned()).expect("a name");
        let total = Total { bytes: 0, source: TotalSource::Unknown };
        let mut job = Job::new(Uuid::new_v4(), volume, 1000, 7, total);
        job.trouble = Some(Trouble::plain(ErrorName::NoSpace, "full"));
        let record = Record::of(&job);
        let mut value = serde_json::to_value(&record).expect("written");
        value.as_object_mut().expect("an object").insert("later".to_owned(), 1.into());
        assert_eq!(serde_json::from_value::<Record>(value).expect("read"), record);
    }
}
