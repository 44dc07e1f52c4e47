//! The message of a drive: its backup, its problem, or that it can be unplugged.

use std::collections::BTreeSet;
use std::time::Duration;

use butterdock_dbus::{DriveProperties, DriveState, JobKind, JobProperties, JobState, Trigger};

use butterdock_desktop::objects::Objects;

use super::problem::Subject;
use super::{Activity, Key, Now, Output, Story, Topic};

/// The least time between two updates of a progress.
const UPDATE: Duration = Duration::from_secs(1);

/// The service unmounts a drive some time after its last backup has ended. A drive that is mounted for longer than this stays mounted.
const RELEASE: Duration = Duration::from_secs(10);

/// What is remembered of a drive.
#[derive(Debug, Default)]
pub(super) struct DriveMemory {
    /// Its name in messages.
    pub(super) title: String,
    /// Whether a person waits until it can be unplugged.
    pub(super) waits: bool,
    attached: bool,
    safe: bool,
    /// Whether it was plugged in while the agent ran, and the person has not said what it is for.
    pub(super) asks: bool,
    /// What it is remembered by, if it was asked about.
    pub(super) identity: Option<String>,
    /// The jobs that run or wait, by path.
    unfinished: BTreeSet<String>,
    /// The backups that have ended since the drive was plugged in or safe.
    ended: Vec<EndedBackup>,
    /// The last progress, and when it was shown.
    progress: Option<(Activity, Duration)>,
    /// Since when it is locked.
    pub(super) locked_since: Option<Duration>,
    /// Since when it is mounted without a job, after a backup.
    mounted_since: Option<Duration>,
}

/// A backup that has ended.
#[derive(Debug, Clone)]
pub(super) struct EndedBackup {
    pub(super) name: String,
    pub(super) state: JobState,
}

impl DriveMemory {
    /// The service is gone, and its jobs with it.
    pub(super) fn lost(&mut self) {
        self.unfinished.clear();
        self.progress = None;
    }

    fn succeeded(&self) -> bool {
        self.ended.iter().any(|backup| backup.state == JobState::Succeeded)
    }

    /// Whether the service may still release the drive after its backups. The first time, the story has to look again later.
    fn may_be_released(&mut self, drive: &DriveProperties, now: Now, out: &mut Vec<Output>) -> bool {
        if drive.state != DriveState::Mounted || !self.succeeded() {
            return drive.state == DriveState::Busy;
        }
        let since = *self.mounted_since.get_or_insert_with(|| {
            out.push(Output::LookAgain(RELEASE));
            now.monotonic
        });
        now.monotonic.saturating_sub(since) < RELEASE
    }

    /// Remembers the state of the drive and its jobs. `finished` has the jobs that had ended at the last look; none at the first
    /// look of the agent.
    fn remember(
        &mut self,
        drive: &DriveProperties,
        jobs: &[(&str, &JobProperties)],
        finished: Option<&BTreeSet<String>>,
    ) {
        let began = finished.is_some();
        let attached = drive.state != DriveState::Away;
        let safe = drive.state == DriveState::Safe;
        if attached && !self.attached {
            self.waits = began;
            self.asks = began;
            self.ended.clear();
        } else if !attached || (self.safe && !safe) {
            // The next person waits who asks for something.
            self.waits = false;
        }
        // A job may begin and end between two looks.
        let is_new = |path: &str| finished.is_some_and(|finished| !finished.contains(path));
        let ended: Vec<_> = jobs.iter().filter(|(path, job)| job.state.result().is_some() && is_new(path)).collect();
        if self.safe && (!safe || !ended.is_empty()) {
            self.ended.clear();
        }
        (self.attached, self.safe) = (attached, safe);
        for (path, job) in jobs.iter().filter(|(_, job)| job.state.result().is_none()) {
            self.unfinished.insert((*path).to_owned());
            self.waits |= attached && is_awaited(job);
        }
        for (path, job) in ended {
            if !self.unfinished.remove(*path) {
                self.waits |= attached && is_awaited(job);
            }
            if job.kind == JobKind::Backup {
                self.ended.push(EndedBackup { name: job.backup_name.clone(), state: job.state.clone() });
            }
        }
        // A job that vanished without an end.
        self.unfinished.retain(|path| jobs.iter().any(|(known, _)| known == path));
        if !self.unfinished.is_empty() {
            self.mounted_since = None;
        }
    }
}

/// Whether a person waits for the end of a job.
fn is_awaited(job: &JobProperties) -> bool {
    match job.trigger {
        // A person who reads a file in a snapshot is not waiting for the drive.
        Trigger::User => job.kind != JobKind::Read,
        Trigger::Plug => true,
        Trigger::Schedule | Trigger::Other(_) => false,
    }
}

impl Story {
    pub(super) fn look_at_drive(
        &mut self,
        path: &str,
        drive: &DriveProperties,
        objects: &Objects,
        now: Now,
        out: &mut Vec<Output>,
    ) {
        let key = Key::Drive(path.to_owned());
        let jobs = objects.jobs_of_drive(path);
        let title = self.wording.title(drive);
        let memory = self.drives.entry(path.to_owned()).or_default();
        memory.remember(drive, &jobs, self.finished.as_ref());
        if !drive.label.is_empty() || memory.title.is_empty() {
            memory.title = title;
        }
        let is_awaited = memory.attached && memory.waits;
        self.look_at_question(path, drive, out);
        let backups: Vec<_> =
            jobs.iter().filter(|(_, job)| job.kind == JobKind::Backup && job.state.result().is_none()).collect();
        if is_awaited && self.show_running(&key, path, &backups, drive, now, out) {
            return;
        }
        let subject = Subject::drive(path, drive, objects);
        if subject.asks_to_unlock() && self.show_problems(&key, &subject, out) {
            return;
        }
        if self.show_locked(&key, path, drive, now, out) {
            return;
        }
        let is_quiet = backups.is_empty() || drive.state == DriveState::Away;
        if is_quiet && self.show_problems(&key, &subject, out) {
            return;
        }
        let is_used = objects.destinations.get(path).is_none_or(|destination| !destination.backups.is_empty());
        self.show_end(&key, path, drive, is_used, out);
    }

    /// Shows the running backup; whether there is one. One that waits is shown only between two that run.
    fn show_running(
        &mut self,
        key: &Key,
        path: &str,
        backups: &[&(&str, &JobProperties)],
        drive: &DriveProperties,
        now: Now,
        out: &mut Vec<Output>,
    ) -> bool {
        let is_shown = self.shown.get(key) == Some(&Topic::Running);
        let runs = |job: &JobProperties| match job.state {
            JobState::Running | JobState::Flushing => true,
            JobState::Queued => is_shown,
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => false,
        };
        let running = backups.iter().find(|(_, job)| job.state != JobState::Queued && runs(job));
        let job = running.or_else(|| backups.iter().find(|(_, job)| runs(job)));
        let Some(memory) = self.drives.get_mut(path) else { return false };
        let mut later = Vec::new();
        let activity = match (job, &memory.progress) {
            (Some((path, job)), _) => self.wording.running(key.clone(), &memory.title, path, job, now.wall),
            // All have ended, and the service releases the drive.
            (None, Some((last, _))) if is_shown => {
                let last = last.clone();
                if !memory.may_be_released(drive, now, &mut later) {
                    return false;
                }
                self.wording.finishing(last)
            }
            (None, _) => return false,
        };
        let is_due = match &memory.progress {
            Some((last, at)) if is_shown => {
                let began_other = (&last.backup, &last.stop) != (&activity.backup, &activity.stop);
                *last != activity && (began_other || now.monotonic.saturating_sub(*at) >= UPDATE)
            }
            Some(_) | None => true,
        };
        if is_due {
            memory.progress = Some((activity.clone(), now.monotonic));
            self.shown.insert(key.clone(), Topic::Running);
            out.push(Output::Activity(activity));
        }
        out.append(&mut later);
        true
    }

    /// Shows that the drive can be unplugged, or that it stays mounted; else closes what is not true any more.
    fn show_end(&mut self, key: &Key, path: &str, drive: &DriveProperties, is_used: bool, out: &mut Vec<Output>) {
        let Some(memory) = self.drives.get_mut(path) else { return };
        let was = self.shown.get(key);
        if memory.safe && (memory.waits || was == Some(&Topic::Safe)) {
            let message = self.wording.safe(key.clone(), &memory.title, &memory.ended, is_used);
            memory.progress = None;
            self.show(Topic::Safe, message, out);
        } else if drive.state == DriveState::Mounted
            && (was == Some(&Topic::Kept) || (was == Some(&Topic::Running) && memory.succeeded()))
        {
            let message = self.wording.kept(key.clone(), path, &memory.title);
            memory.progress = None;
            self.show(Topic::Kept, message, out);
        } else {
            memory.progress = None;
            self.close(key, out);
        }
    }

    /// Closes the messages of drives that are not there any more: not enrolled and unplugged, or forgotten.
    pub(super) fn forget_drives(&mut self, objects: &Objects, out: &mut Vec<Output>) {
        let gone: Vec<_> = self.drives.keys().filter(|path| !objects.drives.contains_key(*path)).cloned().collect();
        for path in gone {
            self.drives.remove(&path);
            self.close(&Key::Drive(path.clone()), out);
            self.close(&Key::Question(path), out);
        }
    }
}
