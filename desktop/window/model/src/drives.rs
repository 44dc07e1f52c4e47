//! The page of drives: those that are attached, new ones, and those that are away; and other destinations of backups.

use butterdock_dbus::{
    DestinationProperties, DestinationState, DriveProperties, DriveState, JobKind, JobProperties, JobState,
};
use butterdock_desktop::objects::Objects;
use butterdock_desktop::text::{NAME_MAX, SENTENCE_MAX, plain};
use butterdock_desktop::wording::{backup_progress, drive_title, percent};
use butterdock_desktop::words::Words;

use crate::action::{Action, Button};
use crate::problem::{ProblemItem, problems, without};
use crate::time::ago;

/// A drive or another destination as the page shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct DriveItem {
    /// The path of its object.
    pub path: String,
    /// What people call it.
    pub title: String,
    /// Its state in a word.
    pub state: String,
    /// How the state looks.
    pub tone: Tone,
    /// Facts about it on one line.
    pub facts: String,
    /// How full it is, if that is known.
    pub space: Option<Space>,
    /// The job that runs on it.
    pub activity: Option<ActivityItem>,
    /// What is wrong with it.
    pub problems: Vec<ProblemItem>,
    /// What can be done with it.
    pub buttons: Vec<Button>,
}

/// How a state looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It can be unplugged.
    Safe,
    /// It is used: not to be unplugged.
    Busy,
    /// It waits for a person.
    Waiting,
    /// Nothing of these.
    Plain,
}

/// How full a destination is.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// 0 to 1.
    pub used: f64,
    /// In words.
    pub text: String,
}

/// A job that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActivityItem {
    /// How far it is, in words.
    pub text: String,
    /// Per cent, if a total is known; never 100.
    pub percent: Option<u32>,
    /// Stops it, while that is possible.
    pub stop: Option<Button>,
}

/// All of them: what is attached and enrolled first, then new drives, then what is away. `now` is in microseconds since 1970.
#[must_use]
pub fn drive_items(objects: &Objects, words: &Words, now: u64) -> Vec<DriveItem> {
    let drives = objects.drives.iter().map(|(path, drive)| {
        let rank = if drive.state == DriveState::Away { 2 } else { u8::from(!drive.enrolled) };
        (rank, drive_item(objects, words, path, drive, now))
    });
    let others = objects.destinations.iter().filter(|(path, _)| !objects.drives.contains_key(*path));
    let others = others.map(|(path, destination)| (0, destination_item(objects, words, path, destination, now)));
    let mut items: Vec<_> = drives.chain(others).collect();
    items.sort_by(|(left, one), (right, other)| {
        left.cmp(right).then_with(|| one.title.cmp(&other.title)).then_with(|| one.path.cmp(&other.path))
    });
    items.into_iter().map(|(_, item)| item).collect()
}

fn drive_item(objects: &Objects, words: &Words, path: &str, drive: &DriveProperties, now: u64) -> DriveItem {
    let title = drive_title(words, drive);
    let destination = objects.destinations.get(path);
    let activity = activity(objects, words, path, &title, now);
    let is_there = drive.state != DriveState::Away;
    let (state, tone) = state(words, drive, activity.is_some());
    let shown = destination.map_or(&drive.problems, |destination| &destination.problems);
    let buttons = drive_buttons(words, path, drive, destination, activity.is_some(), &title);
    DriveItem {
        path: path.to_owned(),
        facts: drive_facts(words, drive, destination, &title, now),
        space: destination.and_then(|destination| space(words, destination)),
        problems: without(problems(words, shown, path, &title, is_there), &buttons),
        buttons,
        title,
        state,
        tone,
        activity,
    }
}

fn destination_item(
    objects: &Objects,
    words: &Words,
    path: &str,
    destination: &DestinationProperties,
    now: u64,
) -> DriveItem {
    let title = plain(&destination.name, NAME_MAX);
    let activity = activity(objects, words, path, &title, now);
    let is_there = destination.state != DestinationState::Away;
    let (state, tone) = match (activity.is_some(), is_there) {
        (true, _) => (words.say("In use", &[]), Tone::Busy),
        (false, true) => (words.say("Attached", &[]), Tone::Plain),
        (false, false) => (words.say("Away", &[]), Tone::Plain),
    };
    let facts = [words.say("A volume of this computer", &[]), last_backup(words, destination, now)];
    let can_run = is_there && activity.is_none() && !destination.backups.is_empty();
    let buttons: Vec<_> = can_run.then(|| run_all(words, path, &title)).into_iter().collect();
    DriveItem {
        path: path.to_owned(),
        facts: facts.join(" · "),
        space: space(words, destination),
        problems: without(problems(words, &destination.problems, path, &title, is_there), &buttons),
        buttons,
        title,
        state,
        tone,
        activity,
    }
}

/// The state in a word. "Can be unplugged" is said of the state safe alone.
fn state(words: &Words, drive: &DriveProperties, is_used: bool) -> (String, Tone) {
    match &drive.state {
        DriveState::Safe => (words.say("Can be unplugged", &[]), Tone::Safe),
        DriveState::Away => (words.say("Away", &[]), Tone::Plain),
        _ if !drive.enrolled => (words.say("New drive", &[]), Tone::Waiting),
        DriveState::Busy => (words.say("In use", &[]), Tone::Busy),
        _ if is_used => (words.say("In use", &[]), Tone::Busy),
        DriveState::Locked => (words.say("Locked", &[]), Tone::Waiting),
        DriveState::Mounted | DriveState::Unlocked => (words.say("Open", &[]), Tone::Busy),
        DriveState::Present => (words.say("Attached", &[]), Tone::Plain),
        DriveState::Other(word) => (plain(word, NAME_MAX), Tone::Plain),
    }
}

fn drive_facts(
    words: &Words,
    drive: &DriveProperties,
    destination: Option<&DestinationProperties>,
    title: &str,
    now: u64,
) -> String {
    let mut facts = Vec::new();
    let model = plain(&drive.model, NAME_MAX);
    if model != title {
        facts.push(model);
    }
    if drive.size > 0 {
        facts.push(words.size(drive.size));
    }
    if drive.encrypted {
        facts.push(words.say("encrypted", &[]));
    }
    if drive.state == DriveState::Away && drive.last_seen > 0 {
        let when = ago(words, drive.last_seen, now);
        facts.push(words.say("last attached {when}", &[("when", &when)]));
    }
    if let Some(destination) = destination {
        facts.push(last_backup(words, destination, now));
    }
    facts.retain(|fact| !fact.is_empty());
    facts.join(" · ")
}

fn last_backup(words: &Words, destination: &DestinationProperties, now: u64) -> String {
    if destination.last_backup == 0 {
        return words.say("no backup yet", &[]);
    }
    let when = ago(words, destination.last_backup, now);
    words.say("last backup {when}", &[("when", &when)])
}

fn space(words: &Words, destination: &DestinationProperties) -> Option<Space> {
    if destination.size == 0 || destination.free > destination.size {
        return None;
    }
    let (free, size) = (words.size(destination.free), words.size(destination.size));
    let thousandths = destination.free.saturating_mul(1000).checked_div(destination.size)?;
    let used = f64::from(1000_u32.saturating_sub(u32::try_from(thousandths).ok()?)) / 1000.0;
    Some(Space { used, text: words.say("{free} free of {size}", &[("free", &free), ("size", &size)]) })
}

/// The job that runs on a drive or destination; of several the first.
fn activity(objects: &Objects, words: &Words, path: &str, title: &str, now: u64) -> Option<ActivityItem> {
    let of_path = |job: &JobProperties| job.drive == path || job.destination == path;
    let mut jobs: Vec<_> =
        objects.jobs.iter().filter(|(_, job)| of_path(job) && job.state.result().is_none()).collect();
    jobs.sort_by_key(|(_, job)| (job.state == JobState::Queued, job.start_time));
    let (job_path, job) = jobs.first()?;
    let label = words.say("Stop", &[]);
    let stop = job.cancelable.then(|| Button {
        accessible: format!("{label}: {title}"),
        label,
        action: Action::Cancel { job: (*job_path).clone() },
        is_suggested: false,
    });
    let text = plain(&job_text(words, job, now), SENTENCE_MAX);
    Some(ActivityItem { text, percent: job.progress_valid.then(|| percent(job.progress)), stop })
}

/// How far a job is, in words.
fn job_text(words: &Words, job: &JobProperties, now: u64) -> String {
    match &job.kind {
        JobKind::Backup => backup_progress(words, job, now),
        JobKind::Verify => words.say("All data is being verified. Do not unplug the drive.", &[]),
        JobKind::Remove => words.say("The drive is made safe to unplug.", &[]),
        JobKind::Restore | JobKind::RestoreFiles => {
            words.say("Files are being restored. Do not unplug the drive.", &[])
        }
        JobKind::Read => words.say("A file is being read. Do not unplug the drive.", &[]),
        JobKind::Receive | JobKind::Import => words.say("A stream is being received. Do not unplug the drive.", &[]),
        JobKind::Delete => words.say("Snapshots are being deleted. Do not unplug the drive.", &[]),
        JobKind::Other(_) => words.say("The drive is in use. Do not unplug it.", &[]),
    }
}

fn run_all(words: &Words, path: &str, title: &str) -> Button {
    let label = words.say("Back up now", &[]);
    let action = Action::RunAll { destination: path.to_owned() };
    Button { accessible: format!("{label}: {title}"), label, action, is_suggested: false }
}

fn drive_buttons(
    words: &Words,
    path: &str,
    drive: &DriveProperties,
    destination: Option<&DestinationProperties>,
    is_used: bool,
    title: &str,
) -> Vec<Button> {
    let drive_path = path.to_owned();
    let button = |label: String, action: Action, is_suggested: bool| Button {
        accessible: format!("{label}: {title}"),
        label,
        action,
        is_suggested,
    };
    if !drive.enrolled {
        let is_ready = !matches!(drive.state, DriveState::Away | DriveState::Safe);
        let ask = || button(words.say("Use for backups…", &[]), Action::AskEnrol { drive: drive_path }, true);
        return is_ready.then(ask).into_iter().collect();
    }
    let unlock = || button(words.say("Unlock…", &[]), Action::AskUnlock { drive: drive_path.clone() }, true);
    let remove = || button(words.say("Remove safely", &[]), Action::SafelyRemove { drive: drive_path.clone() }, false);
    let has_backups = destination.is_some_and(|destination| !destination.backups.is_empty());
    let run = (has_backups && !is_used).then(|| run_all(words, path, title));
    match drive.state {
        DriveState::Away => Vec::new(),
        DriveState::Locked => vec![unlock()],
        DriveState::Safe => run.into_iter().collect(),
        DriveState::Present | DriveState::Unlocked | DriveState::Mounted | DriveState::Busy | DriveState::Other(_) => {
            run.into_iter().chain([remove()]).collect()
        }
    }
}
