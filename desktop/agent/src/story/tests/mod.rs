//! The story without a bus: objects in, messages out.

mod backups;
mod problems;
mod questions;

use std::time::Duration;

use butterdock_dbus::path::{backup_path, drive_path};
use butterdock_dbus::{
    BackupProperties, DestinationProperties, DriveProperties, DriveState, Error, ErrorName, JobKind, JobProperties,
    JobState, Problem, ProblemParams, Trigger,
};

use super::*;

const WALL: u64 = 1_800_000_000_000_000;
const DAY: u64 = 24 * 3600 * 1_000_000;

/// A session with the drive Blue and the backup home.
struct Session {
    story: Story,
    objects: Objects,
    now: Now,
}

fn blue() -> String {
    drive_path("b1").to_string()
}

fn home() -> String {
    backup_path("home").to_string()
}

fn problem(code: &str, params: ProblemParams) -> Problem {
    Problem { code: code.to_owned(), params, english: "see the manual".to_owned() }
}

fn failed(error: ErrorName, time: u64) -> ProblemParams {
    ProblemParams {
        backup: Some("home".to_owned()),
        error: Some(error.as_str().to_owned()),
        reason: Some("it was bad; do better".to_owned()),
        time: Some(time),
        ..ProblemParams::default()
    }
}

impl Session {
    /// The agent begins while the drive is in this state.
    fn begin(state: DriveState) -> Self {
        Self::with(state, Settings::default())
    }

    fn with(state: DriveState, settings: Settings) -> Self {
        let drive = DriveProperties { label: "Blue".to_owned(), enrolled: true, state, ..DriveProperties::default() };
        let destination = DestinationProperties {
            name: "Blue".to_owned(),
            backups: vec!["home".to_owned()],
            ..DestinationProperties::default()
        };
        let backup = BackupProperties {
            name: "home".to_owned(),
            enabled: true,
            destinations: vec![blue()],
            ..BackupProperties::default()
        };
        let mut objects = Objects::default();
        objects.drives.insert(blue(), drive);
        objects.destinations.insert(blue(), destination);
        objects.backups.insert(home(), backup);
        let story = Story::new(Words::of_locale("C"), settings);
        Self { story, objects, now: Now { wall: WALL, monotonic: Duration::ZERO } }
    }

    fn look(&mut self) -> Vec<String> {
        let outputs = self.story.look(&self.objects, self.now);
        outputs.iter().map(line).collect()
    }

    fn state(&mut self, state: DriveState) -> Vec<String> {
        self.set_state(state);
        self.look()
    }

    fn set_state(&mut self, state: DriveState) {
        self.objects.drives.get_mut(&blue()).expect("there").state = state;
    }

    fn job(&mut self, name: &str) -> &mut JobProperties {
        let path = format!("/jobs/{name}");
        self.objects.jobs.entry(path).or_insert_with(|| JobProperties {
            kind: JobKind::Backup,
            drive: blue(),
            backup_name: name.to_owned(),
            trigger: Trigger::Plug,
            state: JobState::Running,
            bytes_total: 1_000_000_000,
            progress_valid: true,
            cancelable: true,
            ..JobProperties::default()
        })
    }

    fn problems(&mut self, problems: &[Problem]) {
        self.objects.destinations.get_mut(&blue()).expect("there").problems = problems.to_vec();
    }

    fn overdue(&mut self, overdue: bool) -> Vec<String> {
        self.objects.backups.get_mut(&home()).expect("there").overdue = overdue;
        self.look()
    }
}

/// An output as a line.
fn line(output: &Output) -> String {
    match output {
        Output::Activity(activity) => format!("{} | {}", activity.title, activity.body),
        Output::ActivityEnded { error, .. } => format!("ended{}", error.as_deref().map_or("", |_| " with an error")),
        Output::Show(message) => {
            let buttons: String = message.buttons.iter().map(|button| format!(" [{}]", button.label)).collect();
            format!("{} | {}{buttons}", message.title, message.body)
        }
        Output::Close(_) => "close".to_owned(),
        Output::LookAgain(_) => "later".to_owned(),
    }
}
