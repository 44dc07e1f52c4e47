//! Drives, problems and progress in words.

use butterdock_dbus::{DriveProperties, Error, ErrorName, JobProperties, JobState, Problem, ProblemParams};

use crate::text::{NAME_MAX, SENTENCE_MAX, plain};
use crate::words::{Words, error_words, words_of};

/// Microseconds
const SECOND: u64 = 1_000_000;

/// The name of a drive.
#[must_use]
pub fn drive_title(words: &Words, drive: &DriveProperties) -> String {
    let names = [&drive.label, &drive.model, &drive.device].into_iter().chain(drive.names.iter().skip(1));
    let name = names.map(|name| plain(name, NAME_MAX)).find(|name| !name.is_empty());
    name.unwrap_or_else(|| words.say("The backup drive", &[]))
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProblemText {
    /// What is wrong.
    pub title: String,
    /// What to do, in one or more sentences.
    pub remedy: String,
}

/// A problem in words.
#[must_use]
pub fn problem_text(words: &Words, problem: &Problem) -> ProblemText {
    let Some(row) = words_of(&problem.code) else {
        let title = words.say("A backup drive needs attention", &[]);
        return ProblemText { title, remedy: sentence(&plain(&problem.english, SENTENCE_MAX)) };
    };
    let values = values(&problem.params);
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let title = plain(&words.say(row.title, &values), SENTENCE_MAX);
    if !row.remedy.is_empty() {
        return ProblemText { title, remedy: words.say(row.remedy, &values) };
    }
    let known = problem.params.error.as_deref().and_then(error_words);
    let reason = known.map(|known| words.say(known, &[]));
    let reason = reason.or_else(|| problem.params.reason.clone()).unwrap_or_else(|| problem.english.clone());
    ProblemText { title, remedy: sentence(&plain(&reason, SENTENCE_MAX)) }
}

/// Why a call failed. The service's sentence says more than its clients know, for example which program has files open.
#[must_use]
pub fn error_text(words: &Words, error: &Error) -> String {
    match error {
        Error::Named(ErrorName::NotAuthorized, _) => words.say("You may not do this. Ask an administrator.", &[]),
        Error::Named(..) | Error::InvalidArgs(_) | Error::Bus(_) => {
            capitalised(&sentence(&plain(&error.to_string(), SENTENCE_MAX)))
        }
    }
}

/// How long a job still takes, if that is known; `wall` is the time in microseconds since 1970.
#[must_use]
pub fn time_left(words: &Words, job: &JobProperties, wall: u64) -> Option<String> {
    let seconds = job.expected_end_time.checked_sub(wall)? / SECOND;
    let minutes = seconds.div_ceil(60);
    let number = if minutes < 90 { minutes } else { minutes.div_ceil(60) }.to_string();
    let values = [("n", &*number)];
    Some(match minutes {
        0 | 1 => words.say("less than a minute left", &[]),
        2..90 => words.say("about {n} minutes left", &values),
        _ => words.say("about {n} hours left", &values),
    })
}

/// How far a backup is.
#[must_use]
pub fn backup_progress(words: &Words, job: &JobProperties, wall: u64) -> String {
    let backup = plain(&job.backup_name, NAME_MAX);
    let percent = job.progress_valid.then(|| percent(job.progress));
    let total = words.size(job.bytes_total);
    let percent_text = percent.unwrap_or_default().to_string();
    let values = [("backup", &*backup), ("total", &*total), ("percent", &*percent_text)];
    let text = match &job.state {
        JobState::Flushing => words.say("{backup}: writing the last data. Do not unplug the drive.", &values),
        JobState::Queued => words.say("{backup} is next. Do not unplug the drive.", &values),
        JobState::Running | JobState::Succeeded | JobState::Failed | JobState::Cancelled => match percent {
            _ if job.bytes_total == 0 => words.say("{backup} is running. Do not unplug the drive.", &values),
            Some(done) if done > 0 => words.say("{backup}: {percent} % of about {total}", &values),
            Some(_) | None => words.say("{backup}: about {total}. Do not unplug the drive.", &values),
        },
    };
    match time_left(words, job, wall) {
        Some(left) if job.state == JobState::Running && percent.is_some_and(|done| done > 0) => {
            format!("{text}, {left}")
        }
        Some(_) | None => text,
    }
}

/// Never 100: a bar that is full says that the drive can be unplugged.
pub const JUST_BELOW: u32 = 99;

/// A progress from 0 to 1 in per cent.
#[must_use]
pub fn percent(progress: f64) -> u32 {
    let percents = (0..=JUST_BELOW).rev();
    percents.into_iter().find(|percent| f64::from(*percent) <= progress * 100.0).unwrap_or_default()
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
