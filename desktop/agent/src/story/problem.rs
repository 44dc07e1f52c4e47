//! Problems: which are shown, and when.

use std::collections::BTreeSet;

use butterdock_dbus::{DriveProperties, DriveState, Problem, path};

use butterdock_desktop::objects::Objects;
use butterdock_desktop::words::{Severity, words_of};

use super::{Action, Key, Output, Story, Topic};

/// What has problems.
#[derive(Debug)]
pub(super) struct Subject<'o> {
    pub(super) path: &'o str,
    /// Its name, if it is no drive.
    pub(super) name: &'o str,
    /// If it is a drive.
    pub(super) drive: Option<&'o DriveProperties>,
    pub(super) problems: Vec<&'o Problem>,
    /// Whether something can be done with it now.
    pub(super) is_there: bool,
}

impl<'o> Subject<'o> {
    /// A drive. What is wrong with one that is not enrolled is not this agent's business.
    pub(super) fn drive(path: &'o str, drive: &'o DriveProperties, objects: &'o Objects) -> Self {
        let destination = objects.destinations.get(path);
        let problems = destination.map_or(&drive.problems, |destination| &destination.problems);
        let is_there = drive.state != DriveState::Away;
        // An interrupted backup runs again by itself while the drive is there.
        let counts = |problem: &&Problem| drive.enrolled && !(is_there && problem.code == "backup-interrupted");
        let problems = problems.iter().filter(counts).collect();
        Self { path, name: "", drive: Some(drive), problems, is_there }
    }

    /// The worst problem.
    pub(super) fn worst(&self) -> Option<&'o Problem> {
        // Of equal ones the first.
        self.problems.iter().rev().max_by_key(|problem| severity(problem)).copied()
    }
}

/// How bad a problem is.
pub(super) fn severity(problem: &Problem) -> Severity {
    words_of(&problem.code).map_or(Severity::Warning, |words| words.severity)
}

/// What makes a problem the same one at the next look: a backup that fails again is another one.
fn identity(path: &str, problem: &Problem) -> String {
    let params = &problem.params;
    let backup = params.backup.as_deref().unwrap_or_default();
    format!("{path} {} {backup} {}", problem.code, params.time.unwrap_or_default())
}

/// The action that helps against a problem, if the agent can do it.
pub(super) fn action(subject: &Subject<'_>, problem: &Problem) -> Option<Action> {
    if !subject.is_there {
        return None;
    }
    let destination = subject.path.to_owned();
    match problem.code.as_str() {
        "backup-failed" | "backup-interrupted" | "backup-not-begun" => {
            let backup = path::backup_path(problem.params.backup.as_deref()?).to_string();
            Some(Action::Run { backup, destination: Some(destination) })
        }
        "drive-full" => Some(Action::RunAll { destination }),
        "drive-damaged" | "verify-overdue" => Some(Action::Verify { destination }),
        "drive-locked" | "drive-unlock-failed" => Some(Action::Unlock { drive: destination }),
        "drive-in-use" => Some(Action::SafelyRemove { drive: destination }),
        _ => None,
    }
}

impl Story {
    /// Shows the problems of a subject if one of them is new; whether its message is about problems now.
    pub(super) fn show_problems(&mut self, key: &Key, subject: &Subject<'_>, out: &mut Vec<Output>) -> bool {
        let all: BTreeSet<_> = subject.problems.iter().map(|problem| identity(subject.path, problem)).collect();
        let Some(worst) = subject.worst() else { return false };
        let is_safe = subject.drive.is_some_and(|drive| drive.state == DriveState::Safe);
        if all.iter().all(|identity| self.settings.told.contains(identity)) {
            match self.shown.get(key) {
                // Unplugged after it was safe: a person has seen the message.
                Some(Topic::Problems(_, true)) if !subject.is_there => return false,
                // It stays while all that it says is true.
                Some(Topic::Problems(shown, said_safe)) if shown.is_subset(&all) && *said_safe == is_safe => {
                    return true;
                }
                Some(Topic::Problems(shown, _)) if shown.is_subset(&all) => {}
                Some(_) | None => return false,
            }
        }
        self.settings.told.extend(all.iter().cloned());
        let title = match key {
            Key::Drive(path) => self.drives.get(path).map(|memory| memory.title.clone()),
            Key::Destination(_) | Key::Backup(_) | Key::Overdue(_) | Key::Question(_) | Key::Answer(_) => None,
        };
        let message = self.wording.problem(key.clone(), &title.unwrap_or_default(), subject, worst);
        self.end_activity(key, Some(message.title.clone()), out);
        self.show(Topic::Problems(all, is_safe), message, out);
        true
    }

    /// The problems of destinations that are no drives.
    pub(super) fn look_at_destinations(&mut self, objects: &Objects, out: &mut Vec<Output>) {
        for (path, destination) in &objects.destinations {
            if objects.drives.contains_key(path) {
                continue;
            }
            let problems = destination.problems.iter().collect();
            let subject = Subject { path, name: &destination.name, drive: None, problems, is_there: true };
            self.show_or_close(&Key::Destination(path.clone()), &subject, out);
        }
        let gone = |key: &&Key| matches!(key, Key::Destination(path) if !objects.destinations.contains_key(path));
        let gone: Vec<_> = self.shown.keys().filter(gone).cloned().collect();
        gone.iter().for_each(|key| self.close(key, out));
    }

    /// Shows the problems of a subject, or closes their message.
    pub(super) fn show_or_close(&mut self, key: &Key, subject: &Subject<'_>, out: &mut Vec<Output>) {
        if !self.show_problems(key, subject, out) {
            self.close(key, out);
        }
    }

    /// Forgets problems that are resolved, so that they are shown when they come again.
    pub(super) fn forget_problems(&mut self, objects: &Objects) {
        if self.settings.told.is_empty() {
            return;
        }
        let mut present = BTreeSet::new();
        let drives = objects.drives.iter().map(|(path, drive)| (path, &drive.problems));
        let destinations = objects.destinations.iter().map(|(path, destination)| (path, &destination.problems));
        let backups = objects.backups.iter().map(|(path, backup)| (path, &backup.problems));
        for (path, problems) in drives.chain(destinations).chain(backups) {
            present.extend(problems.iter().map(|problem| identity(path, problem)));
        }
        self.settings.told.retain(|identity| present.contains(identity));
    }
}
