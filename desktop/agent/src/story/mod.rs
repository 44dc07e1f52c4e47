//! What a session is shown: the service's objects in, messages out. Pure: no bus, no clock, no language of its own.
//!
//! The story looks at all objects after each event and decides what each message says now, so that it is right also after a restart
//! of the service, or when the agent begins in the middle of a job.
//!
//! - **Success is quiet** unless a person waits: one plugged the drive in, or asked for the job. Then the start is shown, the progress,
//!   and in the end that the drive can be unplugged. Only the state `safe` means that. A backup by the schedule shows nothing.
//! - **A problem is shown once**, with what to do and at most one button, and is remembered across sessions. While backups of the
//!   drive are running, the story waits for what comes of it.
//! - **A locked drive** has a button that asks for its passphrase, at each plug, unless the service unlocks it by a key.
//! - **A new drive is asked about** when it is plugged in and has btrfs or nothing, until it is enrolled or a person has answered.
//! - **Overdue is shown once a day** at most. The service decides what is overdue: a drive that is merely away is not.

mod drive;
mod locked;
mod message;
mod overdue;
mod problem;
mod question;
#[cfg(test)]
mod tests;
mod wording;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::ask::Failure;
use crate::pinentry::Dialog;
use crate::settings::Settings;
use butterdock_desktop::objects::Objects;
use butterdock_desktop::words::Words;

use drive::DriveMemory;
use wording::Wording;

pub(crate) use message::{Action, Activity, Button, Key, Message, Output, Tone};

/// The time of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// In microseconds since 1970.
    pub(crate) wall: u64,
    /// Since some moment; never goes back.
    pub(crate) monotonic: Duration,
}

/// What was shown, and what is remembered for it.
#[derive(Debug)]
pub(crate) struct Story {
    wording: Wording,
    settings: Settings,
    /// By path.
    drives: BTreeMap<String, DriveMemory>,
    /// What each message that is shown says; of a message that a person has closed, too, so that it does not come again.
    shown: BTreeMap<Key, Topic>,
    /// The jobs that had ended at the last look, by path. Before the first look there are none: a drive that appears after that was
    /// plugged in.
    finished: Option<BTreeSet<String>>,
}

/// What a message says, as far as it matters whether it has to be shown again.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Topic {
    /// A backup is running.
    Running,
    /// The drive can be unplugged.
    Safe,
    /// The backup is done, and the drive stays mounted.
    Kept,
    /// The service stopped in the middle of a backup.
    Stopped,
    /// These problems, by their identities; and whether it also says that the drive can be unplugged.
    Problems(BTreeSet<String>, bool),
    /// The drive is locked.
    Locked,
    /// The backup is overdue.
    Overdue,
    /// Whether the drive is to be used.
    Question,
}

impl Story {
    /// Nothing was shown yet, but for what the settings remember.
    pub(crate) fn new(words: Words, settings: Settings) -> Self {
        let wording = Wording::new(words);
        Self { wording, settings, drives: BTreeMap::new(), shown: BTreeMap::new(), finished: None }
    }

    /// What has to be remembered.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The objects are these now.
    pub(crate) fn look(&mut self, objects: &Objects, now: Now) -> Vec<Output> {
        let mut out = Vec::new();
        for (path, drive) in &objects.drives {
            self.look_at_drive(path, drive, objects, now, &mut out);
        }
        self.forget_drives(objects, &mut out);
        self.look_at_destinations(objects, &mut out);
        self.look_at_backups(objects, now, &mut out);
        self.forget_problems(objects);
        let finished = objects.jobs.iter().filter(|(_, job)| job.state.result().is_some());
        self.finished = Some(finished.map(|(path, _)| path.clone()).collect());
        out
    }

    /// The service is gone. What was said of finished work stays true.
    pub(crate) fn lost(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        let running: Vec<_> = self.shown.iter().filter(|(_, topic)| **topic == Topic::Running).collect();
        let running: Vec<_> = running.into_iter().map(|(key, _)| key.clone()).collect();
        for key in running {
            let title = match &key {
                Key::Drive(path) => self.drives.get(path).map(|drive| drive.title.clone()),
                Key::Destination(_) | Key::Backup(_) | Key::Overdue(_) | Key::Question(_) | Key::Answer(_) => None,
            };
            out.push(Output::ActivityEnded { key: key.clone(), error: Some(self.wording.stopped_title()) });
            out.push(Output::Show(self.wording.stopped(key.clone(), &title.unwrap_or_default())));
            self.shown.insert(key, Topic::Stopped);
        }
        self.drives.values_mut().for_each(DriveMemory::lost);
        out
    }

    /// What to show after an action failed.
    pub(crate) fn failed(&self, action: &Action, failure: &Failure) -> Output {
        Output::Show(self.wording.failed(Key::Answer(action.path().to_owned()), failure))
    }

    /// The dialog that asks for the passphrase of a drive, and what it says after a wrong one.
    pub(crate) fn unlock(&self, drive: &str) -> (Dialog, String) {
        self.wording.unlock(drive, self.drives.get(drive).map_or("", |memory| &memory.title))
    }

    /// Shows a message, unless it says the same as the one before.
    fn show(&mut self, topic: Topic, message: Message, out: &mut Vec<Output>) {
        if self.shown.get(&message.key) != Some(&topic) {
            self.end_activity(&message.key, None, out);
            self.shown.insert(message.key.clone(), topic);
            out.push(Output::Show(message));
        }
    }

    /// Closes a message that is not true any more.
    fn close(&mut self, key: &Key, out: &mut Vec<Output>) {
        let is_shown = self.shown.contains_key(key);
        self.end_activity(key, None, out);
        self.shown.remove(key);
        if is_shown {
            out.push(Output::Close(key.clone()));
        }
    }

    /// Ends the progress that is shown, if any.
    fn end_activity(&mut self, key: &Key, error: Option<String>, out: &mut Vec<Output>) {
        if self.shown.get(key) == Some(&Topic::Running) {
            self.shown.remove(key);
            out.push(Output::ActivityEnded { key: key.clone(), error });
        }
    }
}
