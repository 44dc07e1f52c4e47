//! The messages in words.

use butterdock_dbus::path::drive_id;
use butterdock_dbus::{BackupProperties, DriveProperties, DriveState, JobProperties, JobState, Problem};
use butterdock_desktop::objects::Objects;
use butterdock_desktop::text::{NAME_MAX, SENTENCE_MAX, plain};
use butterdock_desktop::wording::{JUST_BELOW, backup_progress, drive_title, error_text, percent, problem_text};
use butterdock_desktop::words::{Severity, Words};

use crate::ask::Failure;
use crate::pinentry::{Dialog, Remember};

use super::drive::EndedBackup;
use super::problem::{Subject, action, severity};
use super::{Action, Activity, Button, Key, Message, Tone};

/// Microseconds
const SECOND: u64 = 1_000_000;
const DAY: u64 = 24 * 3600 * SECOND;

/// Words, and what the messages are made of.
#[derive(Debug)]
pub(super) struct Wording {
    words: Words,
}

impl Wording {
    pub(super) fn new(words: Words) -> Self {
        Self { words }
    }

    /// The name of a drive.
    pub(super) fn title(&self, drive: &DriveProperties) -> String {
        drive_title(&self.words, drive)
    }

    /// A backup that runs.
    pub(super) fn running(&self, key: Key, drive: &str, path: &str, job: &JobProperties, wall: u64) -> Activity {
        let backup = plain(&job.backup_name, NAME_MAX);
        let percent = job.progress_valid.then(|| percent(job.progress));
        let stop = job
            .cancelable
            .then(|| Button { label: self.words.say("Stop", &[]), action: Action::Cancel { job: path.to_owned() } });
        Activity {
            key,
            title: self.words.say("Backing up to {drive}", &[("drive", drive)]),
            body: backup_progress(&self.words, job, wall),
            backup,
            percent,
            bytes: job.bytes_received,
            total: job.bytes_total,
            rate: job.rate,
            stop,
        }
    }

    /// All backups have ended; the drive is being released.
    pub(super) fn finishing(&self, last: Activity) -> Activity {
        let body = self.words.say("The last steps. Do not unplug the drive yet.", &[]);
        Activity { body, stop: None, percent: last.percent.map(|_| JUST_BELOW), rate: 0, ..last }
    }

    /// The drive can be unplugged.
    pub(super) fn safe(&self, key: Key, drive: &str, ended: &[EndedBackup], is_used: bool) -> Message {
        let title = self.words.say("{drive} can be unplugged", &[("drive", drive)]);
        let named = |state: JobState| {
            let names = ended.iter().filter(|backup| backup.state == state).map(|backup| plain(&backup.name, NAME_MAX));
            names.collect::<Vec<_>>().join(", ")
        };
        let (good, cancelled) = (named(JobState::Succeeded), named(JobState::Cancelled));
        let mut sentences = Vec::new();
        if !good.is_empty() {
            sentences.push(self.words.say("Backed up: {backups}.", &[("backups", &good)]));
        }
        if !cancelled.is_empty() {
            sentences.push(self.words.say("Stopped: {backups}.", &[("backups", &cancelled)]));
        }
        if sentences.is_empty() && !is_used {
            sentences.push(self.words.say("No backup goes to it yet: “butterdock backup add” adds one.", &[]));
        } else if sentences.is_empty() {
            sentences.push(self.words.say("Everything that was reported as done is on it.", &[]));
        }
        let body = plain(&sentences.join(" "), SENTENCE_MAX);
        Message { key, title, body, buttons: Vec::new(), tone: Tone::Safe, stays: true }
    }

    /// The backup is done, and the drive stays mounted.
    pub(super) fn kept(&self, key: Key, path: &str, drive: &str) -> Message {
        let action = Action::SafelyRemove { drive: path.to_owned() };
        Message {
            key,
            title: self.words.say("The backup to {drive} is complete", &[("drive", drive)]),
            body: self.words.say("The drive stays mounted. Remove it safely before you unplug it.", &[]),
            buttons: vec![self.button(action)],
            tone: Tone::Neutral,
            stays: false,
        }
    }

    pub(super) fn stopped_title(&self) -> String {
        self.words.say("The backup service stopped", &[])
    }

    /// The service stopped in the middle of a backup.
    pub(super) fn stopped(&self, key: Key, drive: &str) -> Message {
        let what = self.words.say("The backup to {drive} did not end.", &[("drive", drive)]);
        let next = self.words.say("Do not unplug the drive: the backup continues when the service runs again.", &[]);
        let body = format!("{what} {next}");
        Message { key, title: self.stopped_title(), body, buttons: Vec::new(), tone: Tone::Warning, stays: true }
    }

    /// The problems of a drive, a destination or a backup; the worst of them in words.
    pub(super) fn problem(&self, key: Key, drive: &str, subject: &Subject<'_>, worst: &Problem) -> Message {
        let name = if subject.drive.is_some() { drive.to_owned() } else { plain(subject.name, NAME_MAX) };
        let (title, remedy) = self.problem_words(worst, subject);
        let mut body = String::new();
        // Servers cut long texts off.
        if subject.drive.is_some_and(|drive| drive.state == DriveState::Safe) {
            body.push_str(&self.words.say("The drive can be unplugged.", &[]));
            body.push(' ');
        }
        body.push_str(&format!("{name}: {remedy}"));
        if subject.problems.len() > 1 {
            body.push(' ');
            body.push_str(&self.words.say("There are more problems; “butterdock drives” lists them.", &[]));
        }
        let buttons = action(subject, worst).map(|action| self.button(action)).into_iter().collect();
        let tone = match severity(worst) {
            Severity::Info => Tone::Neutral,
            Severity::Warning => Tone::Warning,
            Severity::Danger => Tone::Error,
        };
        Message { key, title, body: plain(&body, SENTENCE_MAX), buttons, tone, stays: true }
    }

    /// The title and the remedy of a problem.
    fn problem_words(&self, problem: &Problem, subject: &Subject<'_>) -> (String, String) {
        let was_pulled = problem.code == "backup-interrupted" && subject.drive.is_some() && !subject.is_there;
        if was_pulled {
            let title = self.words.say("Unplugged too early", &[]);
            return (title, self.words.say("Plug it in again. The next backup sends what is missing.", &[]));
        }
        let text = problem_text(&self.words, problem);
        (text.title, text.remedy)
    }

    fn button(&self, action: Action) -> Button {
        let label = match &action {
            Action::Cancel { .. } => self.words.say("Stop", &[]),
            Action::Run { .. } => self.words.say("Try again", &[]),
            Action::RunAll { .. } => self.words.say("Back up now", &[]),
            Action::Verify { .. } => self.words.say("Verify", &[]),
            Action::SafelyRemove { .. } => self.words.say("Remove safely", &[]),
            Action::Unlock { .. } => self.words.say("Unlock…", &[]),
            Action::Enrol { .. } => self.words.say("Use for backups", &[]),
            Action::NotNow { .. } => self.words.say("Not now", &[]),
            Action::Never { .. } => self.words.say("Never for this drive", &[]),
        };
        Button { label, action }
    }

    /// A backup is overdue.
    pub(super) fn overdue(
        &self,
        key: Key,
        path: &str,
        backup: &BackupProperties,
        objects: &Objects,
        wall: u64,
    ) -> Message {
        let name = plain(&backup.name, NAME_MAX);
        let last = backup.last_good.values().max().copied().unwrap_or_default();
        let days = wall.saturating_sub(last).checked_div(DAY).unwrap_or_default().to_string();
        let last = match last {
            0 => self.words.say("It never succeeded.", &[]),
            _ => self.words.say("Days since the last success: {n}.", &[("n", &days)]),
        };
        let there = backup.destinations.iter().find(|destination| objects.is_there(destination));
        let away: Vec<_> = backup.destinations.iter().filter_map(|path| objects.drives.get(path)).collect();
        let drives = away.iter().map(|drive| self.title(drive)).collect::<Vec<_>>().join(", ");
        let next = match there {
            Some(_) => self.words.say("Its destination is there: back up now.", &[]),
            None if drives.is_empty() => self.words.say("Its destination is not there.", &[]),
            None => self.words.say("Plug in: {drives}.", &[("drives", &drives)]),
        };
        let action = Action::Run { backup: path.to_owned(), destination: None };
        let label = self.words.say("Back up now", &[]);
        let buttons = there.map(|_| Button { label, action }).into_iter().collect();
        Message {
            key,
            title: self.words.say("Overdue backup: {backup}", &[("backup", &name)]),
            body: plain(&format!("{last} {next}"), SENTENCE_MAX),
            buttons,
            tone: Tone::Warning,
            stays: false,
        }
    }

    /// Whether a new drive is to be used for backups.
    pub(super) fn question(&self, key: Key, path: &str, drive: &DriveProperties, can_forget: bool) -> Message {
        let name = self.title(drive);
        let (size, serial) = (self.words.size(drive.size), plain(&drive.serial, NAME_MAX));
        let what = if serial.is_empty() {
            self.words.say("{drive}: {size}.", &[("drive", &name), ("size", &size)])
        } else {
            let values = [("drive", &*name), ("size", &size), ("serial", &serial)];
            self.words.say("{drive}: {size}, serial number {serial}.", &values)
        };
        let path = path.to_owned();
        let mut buttons = vec![self.button(Action::Enrol { drive: path.clone() })];
        let next = if drive.filesystem_type == "btrfs" {
            self.words.say("Its files stay. An administrator has to agree.", &[])
        } else {
            self.words.say("It has no filesystem and is erased first. An administrator has to agree.", &[])
        };
        buttons.push(self.button(Action::NotNow { drive: path.clone() }));
        if can_forget {
            buttons.push(self.button(Action::Never { drive: path }));
        }
        Message {
            key,
            title: self.words.say("Back up to this drive?", &[]),
            body: plain(&format!("{what} {next}"), SENTENCE_MAX),
            buttons,
            tone: Tone::Neutral,
            stays: true,
        }
    }

    /// The dialog that asks for the passphrase of a drive, and what it says after a wrong one.
    pub(super) fn unlock(&self, path: &str, drive: &str) -> (Dialog, String) {
        let dialog = Dialog {
            title: self.words.say("Unlock a backup drive", &[]),
            description: self.words.say("The passphrase of the backup drive {drive}", &[("drive", drive)]),
            prompt: self.words.say("Passphrase:", &[]),
            error: None,
            // GnuPG's agent begins the keys of others with "n/".
            remember: drive_id(path).map(|id| Remember {
                key: format!("n/butterdock-{id}"),
                label: self.words.say("_Remember it in the password manager", &[]),
            }),
        };
        (dialog, self.words.say("This passphrase does not open the drive. Try again.", &[]))
    }

    /// An action failed.
    pub(super) fn failed(&self, key: Key, failure: &Failure) -> Message {
        let sentence = match failure {
            // The service's sentence says more than this agent knows, for example which program has files open.
            Failure::Service(error) => error_text(&self.words, error),
            Failure::NoDialog(_) => {
                let what = self.words.say("No dialog can ask for the passphrase.", &[]);
                let next = self.words.say("Install pinentry, or run “butterdock unlock” in a terminal.", &[]);
                format!("{what} {next}")
            }
        };
        let title = self.words.say("That did not work", &[]);
        Message { key, title, body: sentence, buttons: Vec::new(), tone: Tone::Warning, stays: false }
    }
}
