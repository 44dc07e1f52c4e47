//! Requests that become backups.

use crate::drives::DriveId;
use crate::jobs::{About, AboutDrive, BackupJob, Job, JobHandle};
use crate::service::Service;
use crate::types::{Attempt, BackupOptions, DestinationId, Error, ErrorCode, Trigger};

impl Service {
    /// Runs the backups that go to a destination, or the one of this name; answers with the first job.
    ///
    /// # Errors
    /// `NotFound`: no such backup goes there; `DeviceGone`: it is away; `Busy`; `InvalidArgs`: a new source for no named backup.
    pub async fn back_up(
        &self,
        destination: &DestinationId,
        only: Option<&str>,
        options: BackupOptions,
        uid: u32,
    ) -> Result<JobHandle, Error> {
        if options.new_source && only.is_none() {
            let text =
                "the option new_source needs the option backup: a new source is accepted for one backup at a time";
            return Err(Error::InvalidArgs(text.to_owned()));
        }
        let (drive, trigger) = (self.0.manager.named(destination.as_str()), Trigger::User(uid));
        let goes_here = self.destinations().get(destination).map(|known| known.backups).unwrap_or_default();
        let wanted = |name: &String| only.is_none_or(|only| only == name);
        self.about(drive.clone())?;
        let begun = self.begin_each(&drive, goes_here.into_iter().filter(wanted).collect(), options, trigger).await;
        let begun = begun.into_iter().map(|(backup, taken)| {
            let what = format!("the backup \"{}\"", backup.escape_debug());
            BegunBackup { drive: drive.clone(), backup, what, taken }
        });
        self.first_job(begun.collect(), trigger).unwrap_or_else(|| {
            let text = "this destination has no such backup; butterdock backups lists the backups";
            Err(Error::new(ErrorCode::NotFound, text))
        })
    }

    /// Runs a backup on one of its destinations, or on each that is attached; answers with the first job.
    ///
    /// # Errors
    /// `NotFound`: there is no such backup, it has no destination, or the one is not its destination; `DeviceGone`: none is
    /// attached; `Busy`.
    pub async fn run_backup(
        &self,
        backup: &str,
        destination: Option<&DestinationId>,
        options: BackupOptions,
        uid: u32,
    ) -> Result<JobHandle, Error> {
        let not_found = |text: &str| Err(Error::new(ErrorCode::NotFound, text));
        let Some((_, rows)) =
            self.0.manager.backups_with_rules().into_iter().find(|(rule, _)| rule.name.as_str() == backup)
        else {
            return not_found("this backup no longer exists; butterdock backups lists the backups");
        };
        let mut destinations: Vec<_> =
            rows.into_iter().filter_map(|row| Some((row.drive?, row.drive_label?, row.attached?))).collect();
        if destinations.is_empty() {
            return not_found("the backup has no enrolled drive; enrol one, or correct `to` in the configuration");
        }
        if let Some(only) = destination {
            destinations.retain(|(id, _, _)| id == only.as_str());
        }
        if destinations.is_empty() {
            return not_found("the backup does not go there; butterdock backups lists where it goes");
        }
        destinations.retain(|(_, _, is_attached)| *is_attached);
        let (mut begun, trigger) = (Vec::new(), Trigger::User(uid));
        for (drive, label, _) in destinations {
            let (drive, what) = (self.0.manager.named(&drive), format!("the drive \"{}\"", label.escape_debug()));
            for (backup, taken) in self.begin_each(&drive, vec![backup.to_owned()], options, trigger).await {
                begun.push(BegunBackup { drive: drive.clone(), backup, what: what.clone(), taken });
            }
        }
        self.first_job(begun, trigger).unwrap_or_else(|| {
            let text = match destination {
                Some(_) => "the drive is not attached; plug it in",
                None => "no drive of the backup is attached; plug one in (butterdock backups lists them)",
            };
            Err(Error::new(ErrorCode::DeviceGone, text))
        })
    }

    /// The first of these that became a job; the error of all if none did, and nothing if there is none.
    fn first_job(&self, begun: Vec<BegunBackup>, trigger: Trigger) -> Option<Result<JobHandle, Error>> {
        let mut first = None;
        let mut refused = Vec::new();
        for BegunBackup { drive, backup, what, taken } in begun {
            match taken {
                Ok(job) => {
                    first.get_or_insert(job);
                }
                Err(error) => refused.push((drive, backup, what, error)),
            }
        }
        let Some(first) = first else {
            let refused: Vec<(String, Error)> = refused.into_iter().map(|(_, _, what, error)| (what, error)).collect();
            return all_refused(&refused).map(Err);
        };
        // The answer is a job: nothing else says why the others did not begin.
        for (drive, backup, _, error) in refused.iter().filter(|(drive, backup, _, _)| !self.is_running(drive, backup))
        {
            self.not_begun(drive, backup, trigger, error);
        }
        Some(Ok(first))
    }

    /// Whether this backup to this drive is an unfinished job.
    pub(crate) fn is_running(&self, drive: &DriveId, backup: &str) -> bool {
        let is_it = |job: &Job| {
            let About { drive: of, backup: name, .. } = &job.about;
            !job.has_ended() && of.as_ref().is_some_and(|of| of.id == *drive) && name.as_deref() == Some(backup)
        };
        self.0.jobs.live().iter().any(|handle| is_it(&handle.job.borrow()))
    }

    /// A backup that was asked for is no job: that is in the history, and a problem of the drive until the backup has run.
    pub(crate) fn not_begun(&self, drive: &DriveId, backup: &str, trigger: Trigger, error: &Error) {
        let Some(label) = self.0.manager.label(drive) else { return };
        let about = AboutDrive { id: drive.clone(), label, kind: self.kind(drive) };
        let record = self.0.jobs.not_begun(BackupJob::subject(about, backup), trigger, error);
        self.0.manager.backup_not_begun(drive, backup, Attempt::not_begun(record.end_time, error));
    }

    /// Begins each of these backups, also where one of them cannot begin.
    pub(crate) async fn begin_each(
        &self,
        drive: &DriveId,
        backups: Vec<String>,
        options: BackupOptions,
        trigger: Trigger,
    ) -> Vec<(String, Result<JobHandle, Error>)> {
        // Until all are taken: the first may end before.
        let _reservation = self.0.manager.reserve(drive);
        let mut begun = Vec::new();
        for backup in backups {
            let taken = match self.about(drive.clone()) {
                Ok(drive) => {
                    let reservation = self.0.manager.reserve(&drive.id);
                    self.0.jobs.start(BackupJob { reservation, drive, backup: backup.clone(), options, trigger }).await
                }
                Err(error) => Err(error),
            };
            begun.push((backup, taken));
        }
        begun
    }

    /// Begins a backup whose time has come, unless it runs.
    pub(crate) async fn begin_due(&self, drive: &DriveId, backup: String) {
        if self.is_running(drive, &backup) {
            return;
        }
        tracing::info!(BUTTERDOCK_DRIVE = drive.as_str(), "the backup \"{backup}\" is due on the drive");
        for (backup, begun) in self.begin_each(drive, vec![backup], BackupOptions::default(), Trigger::Schedule).await {
            match begun {
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::Busy && self.is_running(drive, &backup) => {}
                Err(error) => self.not_begun(drive, &backup, Trigger::Schedule, &error),
            }
        }
    }
}

/// A backup of a request that began on a drive, or did not.
struct BegunBackup {
    drive: DriveId,
    backup: String,
    /// How an error names it among several.
    what: String,
    taken: Result<JobHandle, Error>,
}

/// Why none of these began; each is named where there are several.
fn all_refused(refused: &[(String, Error)]) -> Option<Error> {
    match refused {
        [] => None,
        [(_, only)] => Some(only.clone()),
        [(_, first), ..] => {
            let sentences = refused.iter().map(|(what, error)| format!("{what}: {error}"));
            Some(Error::new(first.code(), sentences.collect::<Vec<_>>().join("; ")))
        }
    }
}
