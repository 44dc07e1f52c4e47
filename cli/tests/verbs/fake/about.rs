//! The subject of a fake job.

use butterdock_dbus::path::{NONE, drive_path, volume_path};
use butterdock_dbus::{JobKind, JobProperties, TotalSource};

/// What a job is about; one that says nothing of its kind receives.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) kind: Option<JobKind>,
    pub(crate) volume: Option<String>,
    pub(crate) drive: Option<String>,
    pub(crate) backup: String,
}

impl About {
    /// As the job begins.
    pub(crate) fn properties(&self, total: Option<u64>) -> JobProperties {
        JobProperties {
            kind: self.kind.clone().unwrap_or(JobKind::Receive),
            volume: self.volume.as_deref().map_or_else(|| NONE.to_owned(), |name| volume_path(name).to_string()),
            drive: self.drive.as_deref().map_or_else(|| NONE.to_owned(), |id| drive_path(id).to_string()),
            backup: self.backup.clone(),
            note: if self.backup == "home" { "full, because it is the first".to_owned() } else { String::new() },
            started_by_uid: 1000,
            start_time: 1_700_000_000_000_000,
            bytes_total: total.unwrap_or_default(),
            total_source: if total.is_some() { TotalSource::File } else { TotalSource::Unknown },
            progress_valid: total.is_some(),
            cancelable: true,
            ..JobProperties::default()
        }
    }
}
