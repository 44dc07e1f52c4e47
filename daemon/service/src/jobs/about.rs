//! The subject of a job: its kind, and its volume, drive or backup.

use crate::types::JobKind;

use super::queue::Place;
use crate::config::VolumeName;
use crate::drives::DriveId;

/// What a job does, and to what. It does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// What it does.
    pub kind: JobKind,
    /// The volume that is received into.
    pub volume: Option<VolumeName>,
    /// The drive.
    pub drive: Option<AboutDrive>,
    /// The name of the configured backup.
    pub backup: Option<String>,
}

/// A drive, as it was when the job was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutDrive {
    /// Its id.
    pub id: DriveId,
    /// The drive's label.
    pub label: String,
}

impl About {
    /// A stream is received into this volume.
    pub fn receive(volume: VolumeName) -> Self {
        Self { kind: JobKind::Receive, volume: Some(volume), drive: None, backup: None }
    }

    /// Something is done with this drive.
    pub(super) fn on_drive(kind: JobKind, drive: AboutDrive) -> Self {
        Self { kind, volume: None, drive: Some(drive), backup: None }
    }

    /// The volume and the drive, on which no other job may work meanwhile. The source of a backup is none of them: backups of
    /// one source to several drives run at the same time.
    pub(super) fn places(&self) -> Vec<Place> {
        let Self { kind: _, volume, drive, backup: _ } = self;
        let volume = volume.clone().map(Place::Volume);
        let drive = drive.as_ref().map(|drive| Place::Drive(drive.id.clone()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::class::JobClass;
    use crate::jobs::queue::Queue;

    #[test]
    fn backups_run_one_at_a_time_per_drive() {
        let backup = |name: &str, drive: &str| {
            let drive = AboutDrive { id: DriveId(drive.to_owned()), label: String::new() };
            About { backup: Some(name.to_owned()), ..About::on_drive(JobKind::Backup, drive) }
        };
        let jobs = [("home", "blue"), ("etc", "blue"), ("home", "red"), ("srv", "red")];
        let mut queue = Queue::default();
        let ids = jobs.map(|(name, drive)| {
            let id = uuid::Uuid::new_v4();
            let about = backup(name, drive);
            queue.push(id, JobClass::of_drive(0), about.places());
            id
        });
        assert_eq!((queue.next(8), queue.next(8), queue.next(8)), (Some(ids[0]), Some(ids[2]), None));
        queue.release(ids[0]);
        assert_eq!((queue.next(8), queue.next(8)), (Some(ids[1]), None));
        queue.release(ids[2]);
        assert_eq!(queue.next(8), Some(ids[3]));
    }
}
