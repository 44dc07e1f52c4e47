//! Progress bars on standard error if it is a terminal: one for each job.

use std::collections::HashMap;
use std::io::IsTerminal as _;

use butterdock_dbus::JobState;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{bytes, duration, now, place};
use crate::ask::Job;

const KNOWN: &str = "{prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} {msg}";
const UNKNOWN: &str = "{prefix} {spinner} {binary_bytes} {msg}";

/// The bars. Rate and remaining time come from the service, so that every client shows the same.
#[derive(Debug)]
pub(crate) struct Bars {
    all: MultiProgress,
    bars: HashMap<String, ProgressBar>,
}

impl Bars {
    /// `None` if standard error is not a terminal.
    pub(crate) fn new() -> Option<Self> {
        std::io::stderr().is_terminal().then(|| Self { all: MultiProgress::new(), bars: HashMap::new() })
    }

    /// Shows a job's current state.
    pub(crate) fn show(&mut self, job: &Job) {
        let all = &self.all;
        let bar = self.bars.entry(job.path.clone()).or_insert_with(|| all.add(ProgressBar::new(0)));
        let total = (job.now.bytes_total != 0).then_some(job.now.bytes_total);
        if bar.length() != total || bar.prefix().is_empty() {
            bar.set_style(style(total.is_some()));
            match total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            bar.set_prefix(place(job));
        }
        bar.set_position(job.now.bytes_received);
        bar.set_message(words(job));
        bar.tick();
    }

    /// Removes a job's bar.
    pub(crate) fn end(&mut self, job: &Job) {
        if let Some(bar) = self.bars.remove(&job.path) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    /// Removes all bars.
    pub(crate) fn clear(&mut self) {
        self.bars.clear();
        // This fails if the terminal is gone.
        drop(self.all.clear());
    }

    /// Prints above the bars.
    pub(crate) fn beside(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }
}

fn style(total_known: bool) -> ProgressStyle {
    let template = if total_known { KNOWN } else { UNKNOWN };
    // indicatif's own style replaces a template that does not parse.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// The rate and the remaining time, or the state if the job is not running.
fn words(job: &Job) -> String {
    if job.now.state != JobState::Running {
        return job.now.state.to_string();
    }
    let rate = format!("{}/s", bytes(job.now.rate));
    match job.now.expected_end_time.checked_sub(now()) {
        Some(left) if job.now.expected_end_time != 0 => format!("{rate} {}", duration(left)),
        Some(_) | None => rate,
    }
}
