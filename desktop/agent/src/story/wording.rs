//! The messages in words.

use butterdock_dbus::path::drive_id;
use butterdock_dbus::{
    BackupProperties, DriveProperties, DriveState, Error, ErrorName, JobProperties, JobState, Problem, ProblemParams,
};

use crate::ask::Failure;
use crate::objects::Objects;
use crate::pinentry::{Dialog, Remember};
use crate::words::{Severity, Words, error_words, words_of};

use super::drive::EndedBackup;
use super::problem::{Subject, action, severity};
use super::text::{NAME_MAX, SENTENCE_MAX, plain};
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
        let names = [&drive.label, &drive.model, &drive.device].into_iter().chain(drive.names.iter().skip(1));
        let name = names.map(|name| plain(name, NAME_MAX)).find(|name| !name.is_empty());
        name.unwrap_or_else(|| self.words.say("The backup drive", &[]))
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
            body: self.progress(&backup, job, percent, wall),
            backup,
            percent,
            bytes: job.bytes_received,
            total: job.bytes_total,
            rate: job.rate,
            stop,
        }
    }

    /// How far a backup is.
    fn progress(&self, backup: &str, job: &JobProperties, percent: Option<u32>, wall: u64) -> String {
        let total = self.words.size(job.bytes_total);
        let percent_text = percent.unwrap_or_default().to_string();
        let values = [("backup", backup), ("total", &*total), ("percent", &*percent_text)];
        let text = match &job.state {
            JobState::Flushing => self.words.say("{backup}: writing the last data. Do not unplug the drive.", &values),
            JobState::Queued => self.words.say("{backup} is next. Do not unplug the drive.", &values),
            JobState::Running | JobState::Succeeded | JobState::Failed | JobState::Cancelled => match percent {
                _ if job.bytes_total == 0 => self.words.say("{backup} is running. Do not unplug the drive.", &values),
                Some(done) if done > 0 => self.words.say("{backup}: {percent} % of about {total}", &values),
                Some(_) | None => self.words.say("{backup}: about {total}. Do not unplug the drive.", &values),
            },
        };
        match self.time_left(job, wall) {
            Some(left) if job.state == JobState::Running && percent.is_some_and(|done| done > 0) => {
                format!("{text}, {left}")
            }
            Some(_) | None => text,
        }
    }

    fn time_left(&self, job: &JobProperties, wall: u64) -> Option<String> {
        let seconds = job.expected_end_time.checked_sub(wall)? / SECOND;
        let minutes = seconds.div_ceil(60);
        let number = if minutes < 90 { minutes } else { minutes.div_ceil(60) }.to_string();
        let values = [("n", &*number)];
        Some(match minutes {
            0 | 1 => self.words.say("less than a minute left", &[]),
            2..90 => self.words.say("about {n} minutes left", &values),
            _ => self.words.say("about {n} hours left", &values),
        })
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
        let Some(row) = words_of(&problem.code) else {
            let title = self.words.say("A backup drive needs attention", &[]);
            return (title, sentence(&plain(&problem.english, SENTENCE_MAX)));
        };
        let values = values(&problem.params);
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let was_pulled = problem.code == "backup-interrupted" && subject.drive.is_some() && !subject.is_there;
        if was_pulled {
            let title = self.words.say("Unplugged too early", &[]);
            return (title, self.words.say("Plug it in again. The next backup sends what is missing.", &[]));
        }
        let title = plain(&self.words.say(row.title, &values), SENTENCE_MAX);
        if !row.remedy.is_empty() {
            return (title, self.words.say(row.remedy, &values));
        }
        let known = problem.params.error.as_deref().and_then(error_words);
        let reason = known.map(|words| self.words.say(words, &[]));
        let reason = reason.or_else(|| problem.params.reason.clone()).unwrap_or_else(|| problem.english.clone());
        (title, sentence(&plain(&reason, SENTENCE_MAX)))
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
        let mut buttons = Vec::new();
        let next = if drive.filesystem_type == "btrfs" {
            buttons.push(self.button(Action::Enrol { drive: path.clone() }));
            self.words.say("Its files stay. An administrator has to agree.", &[])
        } else {
            let device = plain(&drive.device, NAME_MAX);
            let what = self.words.say("It has no filesystem.", &[]);
            let next = self
                .words
                .say("To erase it and use it: sudo butterdock enrol {device} --format", &[("device", &device)]);
            format!("{what} {next}")
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
            Failure::Service(Error::Named(ErrorName::NotAuthorized, _)) => {
                self.words.say("You may not do this. Ask an administrator.", &[])
            }
            Failure::Service(other) => capitalised(&sentence(&plain(&other.to_string(), SENTENCE_MAX))),
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

/// A sentence of the service with a full stop: others follow.
fn sentence(text: &str) -> String {
    let end = if text.ends_with(char::is_alphanumeric) { "." } else { "" };
    format!("{text}{end}")
}

/// A sentence of the service at the beginning of a text.
fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Never 100: a bar that is full says that the drive can be unplugged.
const JUST_BELOW: u32 = 99;

fn percent(progress: f64) -> u32 {
    let percents = (0..=JUST_BELOW).rev();
    percents.into_iter().find(|percent| f64::from(*percent) <= progress * 100.0).unwrap_or_default()
}

/// The parameters that words of problems name.
fn values(params: &ProblemParams) -> Vec<(&'static str, String)> {
    let number = |value: Option<u64>| value.map(|value| value.to_string());
    let list = |value: &Option<Vec<String>>| value.as_ref().map(|list| list.join(", "));
    let all = [
        ("backup", params.backup.clone()),
        ("backups", list(&params.backups)),
        ("channel", params.channel.clone()),
        ("count", number(params.count)),
        ("devices", list(&params.devices)),
        ("drives", list(&params.drives)),
        ("formats", list(&params.formats)),
        ("missing", number(params.missing)),
        ("reason", params.reason.clone()),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, plain(&value?, SENTENCE_MAX)))).collect()
}
