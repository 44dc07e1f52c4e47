//! Output while watching jobs: JSON lines, progress bars, or without a terminal a line at the start and the end.

use std::collections::HashMap;
use std::io::IsTerminal as _;

use butterdock_dbus::{ErrorDetails, JobKind, JobResult, JobState};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{EndedJob, JobObject, Output, WatchEvent, bytes, duration, escaped, now, print, print_error, short_label};
use crate::failure;
use crate::service::Job;

/// The output for watched jobs.
#[derive(Debug)]
pub(crate) struct Progress {
    out: Output,
    bars: Option<Bars>,
}

/// A job's error.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct JobError {
    name: String,
    message: String,
    command: Option<u64>,
    byte: Option<u64>,
    #[serde(skip)]
    next: Option<&'static str>,
}

impl Progress {
    /// Without jobs.
    pub(crate) fn new(out: Output) -> Self {
        Self { out, bars: if out.json { None } else { Bars::new() } }
    }

    /// Shows a job that is watched from now on.
    pub(crate) fn started(&mut self, job: &Job) {
        if self.out.json {
            self.out.line(&WatchEvent::Started { job: JobObject::new(job) });
        } else if let Some(bars) = &mut self.bars {
            bars.show(job);
        } else {
            print(&format!("job {}: {}, {}\n", job.short(), start_text(job), job.now.state));
        }
    }

    /// Shows a job's new properties.
    pub(crate) fn changed(&mut self, job: &Job) {
        if self.out.json {
            self.out.line(&WatchEvent::Progress { job: JobObject::new(job) });
        } else if let Some(bars) = &mut self.bars {
            bars.show(job);
        }
    }

    /// Shows the end of a job.
    pub(crate) fn ended(&mut self, job: &Job, result: &JobResult, error: Option<JobError>) {
        if self.out.json {
            let ended = EndedJob { job: JobObject::new(job), result: result.to_string(), error: error.clone() };
            self.out.line(&WatchEvent::Ended(Box::new(ended)));
        }
        if let Some(bars) = &mut self.bars {
            bars.end(job);
        }
        self.suspend(|out| match error {
            None if *result == JobResult::Succeeded => {
                if !out.json {
                    print(&format!("job {}: {}\n", job.short(), success_text(job)));
                    let is_said = matches!(job.now.kind, JobKind::Delete | JobKind::Verify);
                    if !job.now.note.is_empty() && !is_said {
                        print(&format!("  {}\n", escaped(&job.now.note)));
                    }
                }
            }
            None => print_error(&format!("butterdock: job {} was {result}", job.short())),
            Some(error) => {
                print_error(&format!("butterdock: job {}: {}", job.short(), escaped(&error.message)));
                if let Some(next) = error.next {
                    print_error(&format!("  {next}"));
                }
            }
        });
    }

    /// The job continues but is no longer watched; `hint` is a condition for that.
    pub(crate) fn detached(&mut self, job: &Job, hint: &str) {
        if let Some(bars) = &mut self.bars {
            bars.clear();
        }
        if self.out.json {
            self.out.line(&WatchEvent::Detached { job: JobObject::new(job) });
            return;
        }
        let id = job.short();
        print_error(&format!(
            "job {id} continues{hint}; `butterdock watch {id}` watches it again, `butterdock cancel {id}` ends it"
        ));
    }

    /// Calls `print` without the bars in the way.
    fn suspend(&self, print: impl FnOnce(Output)) {
        match &self.bars {
            Some(bars) => bars.suspend(|| print(self.out)),
            None => print(self.out),
        }
    }
}

impl JobError {
    /// Uses the details if the caller may see them, otherwise the public error properties.
    pub(crate) fn new(job: &Job, details: Option<ErrorDetails>) -> Option<Self> {
        if let Some(details) = details.filter(|details| !details.message.is_empty()) {
            let ErrorDetails { error_name: name, message, command, byte } = details;
            return Some(Self { name, message, command, byte, next: None });
        }
        if job.now.error_name.is_empty() {
            return None;
        }
        let name = job.now.error_name.clone();
        let next = name.parse().ok().and_then(|name| failure::next(name, &job.now.error_message));
        Some(Self { name, message: job.now.error_message.clone(), command: None, byte: None, next })
    }
}

/// The job's volume, or its backup and drive, or its drive.
pub(crate) fn target(job: &Job) -> String {
    match (job.volume(), drive_label(job)) {
        (Some(volume), _) => escaped(&volume),
        (None, Some(drive)) if job.now.backup_name.is_empty() => drive,
        (None, Some(drive)) => format!("{} on {drive}", escaped(&job.now.backup_name)),
        (None, None) => escaped(&job.now.backup_name),
    }
}

/// `receive into tank`.
fn start_text(job: &Job) -> String {
    let kind = escaped(job.now.kind.as_str());
    match (job.volume(), drive_label(job)) {
        (Some(volume), None) => format!("{kind} into {}", escaped(&volume)),
        (Some(volume), Some(drive)) => format!("{kind} from {drive} into {}", escaped(&volume)),
        (None, _) if matches!(job.now.kind, JobKind::Read | JobKind::RestoreFiles) => {
            format!("{kind} from {}", target(job))
        }
        (None, _) => format!("{kind} {}", target(job)),
    }
}

/// `received 5 MiB into tank in 0:05; it is durable`.
fn success_text(job: &Job) -> String {
    let (read, took) = (bytes(job.now.bytes_received), duration(now().saturating_sub(job.now.start_time)));
    let target = target(job);
    match job.now.kind {
        JobKind::Receive => format!("received {read} into {target} in {took}; it is durable"),
        JobKind::Backup => {
            let what = if job.now.incremental { " of changes" } else { "" };
            format!("backed up {target}: {read}{what} in {took}; it is durable")
        }
        JobKind::Restore => format!("restored {read} into {target} in {took}; it is durable"),
        JobKind::Import => format!("imported {read} into {target} in {took}; it is durable"),
        JobKind::Verify if job.now.note.is_empty() => format!("checked {read} on {target} in {took}; no errors"),
        JobKind::Verify => format!("checked {read} on {target} in {took}; {}", escaped(&job.now.note)),
        JobKind::Read => format!("read {read} on {target} in {took}"),
        JobKind::RestoreFiles => format!("restored {read} in {took}; it is durable"),
        JobKind::Remove => format!("{target} is safe to unplug"),
        JobKind::Delete => format!("{} on {target} in {took}, which freed {read}", escaped(&job.now.note)),
        JobKind::Other(_) => format!("{} {target} is done after {took}", escaped(job.now.kind.as_str())),
    }
}

/// `5.00 MiB/s`, and the limit if there is one.
pub(crate) fn rate(job: &Job) -> String {
    let rate = format!("{}/s", bytes(job.now.rate));
    match job.now.max_rate {
        0 => rate,
        // The configuration has whole numbers.
        limit => format!("{rate}, limited to {}/s", bytes(limit).replace(".00 ", " ")),
    }
}

/// The drive's label, model or device if known, otherwise its id.
fn drive_label(job: &Job) -> Option<String> {
    let label =
        |id: String| job.drive_title.as_deref().map_or_else(|| format!("the drive {}", escaped(&id)), short_label);
    job.drive().map(label)
}

const KNOWN: &str = "{prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} {msg}";
const UNKNOWN: &str = "{prefix} {spinner} {binary_bytes} {msg}";

/// The bars. Rate and remaining time come from the service, so that every client shows the same.
#[derive(Debug)]
struct Bars {
    all: MultiProgress,
    bars: HashMap<String, ProgressBar>,
}

impl Bars {
    /// `None` if standard error is not a terminal.
    fn new() -> Option<Self> {
        std::io::stderr().is_terminal().then(|| Self { all: MultiProgress::new(), bars: HashMap::new() })
    }

    /// Shows a job's current state.
    fn show(&mut self, job: &Job) {
        let all = &self.all;
        let bar = self.bars.entry(job.path.clone()).or_insert_with(|| all.add(ProgressBar::new(0)));
        let total = (job.now.bytes_total != 0).then_some(job.now.bytes_total);
        if bar.length() != total || bar.prefix().is_empty() {
            bar.set_style(style(total.is_some()));
            match total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            bar.set_prefix(target(job));
        }
        bar.set_position(job.now.bytes_received);
        bar.set_message(bar_message(job));
        bar.tick();
    }

    /// Removes a job's bar.
    fn end(&mut self, job: &Job) {
        if let Some(bar) = self.bars.remove(&job.path) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    /// Removes all bars.
    fn clear(&mut self) {
        self.bars.clear();
        // This fails if the terminal is gone.
        drop(self.all.clear());
    }

    /// Prints without the bars in the way.
    fn suspend(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }
}

fn style(total_known: bool) -> ProgressStyle {
    let template = if total_known { KNOWN } else { UNKNOWN };
    // indicatif's own style replaces a template that does not parse.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// The rate and the remaining time, or the state if the job is not running.
fn bar_message(job: &Job) -> String {
    if job.now.state != JobState::Running {
        return job.now.state.to_string();
    }
    let rate = rate(job);
    match job.now.expected_end_time.checked_sub(now()) {
        Some(left) if job.now.expected_end_time != 0 => format!("{rate} {}", duration(left)),
        Some(_) | None => rate,
    }
}

#[cfg(test)]
mod tests {
    use butterdock_dbus::JobProperties;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_bar_of_a_job_shows_its_rate_limit() {
        let shown = |max_rate| {
            let now = JobProperties { state: JobState::Running, rate: 5 << 20, max_rate, ..JobProperties::default() };
            bar_message(&Job { id: Uuid::nil(), path: String::new(), drive_title: None, now: Box::new(now) })
        };
        assert_eq!(shown(20 << 20), "5.00 MiB/s, limited to 20 MiB/s");
        assert_eq!(shown(96 << 10), "5.00 MiB/s, limited to 96 KiB/s");
        assert_eq!(shown(0), "5.00 MiB/s");
    }
}
