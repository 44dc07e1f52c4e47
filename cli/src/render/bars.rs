//! Bars on standard error, for a person at a terminal: one for each job.

use std::collections::HashMap;
use std::io::IsTerminal as _;

use butterdock_dbus::JobState;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{bytes, duration, now, place};
use crate::ask::Job;

const KNOWN: &str = "{prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} {msg}";
const UNKNOWN: &str = "{prefix} {spinner} {binary_bytes} {msg}";

/// The bars. How fast and how long is the service's word, so that every client shows the same.
#[derive(Debug)]
pub(crate) struct Bars {
    all: MultiProgress,
    bars: HashMap<String, ProgressBar>,
}

impl Bars {
    /// None where nobody would see them.
    pub(crate) fn new() -> Option<Self> {
        std::io::stderr().is_terminal().then(|| Self { all: MultiProgress::new(), bars: HashMap::new() })
    }

    /// Shows a job as it stands.
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

    /// Takes a job's bar away.
    pub(crate) fn end(&mut self, job: &Job) {
        if let Some(bar) = self.bars.remove(&job.path) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    /// Takes all of them away.
    pub(crate) fn clear(&mut self) {
        self.bars.clear();
        // It fails where the terminal is gone.
        drop(self.all.clear());
    }

    /// Makes room for a line above.
    pub(crate) fn beside(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }
}

fn style(total_known: bool) -> ProgressStyle {
    let template = if total_known { KNOWN } else { UNKNOWN };
    // A template that does not parse leaves indicatif's own.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// The rate and how long it takes, or what is done in place of reading.
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
