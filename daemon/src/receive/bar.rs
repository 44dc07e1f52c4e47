//! A progress bar on standard error, if it is a terminal.

use std::io::IsTerminal as _;

use butterdock_receive::Phase;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{ProgressWhen, Receive};

const KNOWN: &str = "{msg:<10} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
const UNKNOWN: &str = "{msg:<10} {spinner} {binary_bytes} {binary_bytes_per_sec} {elapsed}";

/// A bar with rate and remaining time; without a known total, what has come and how fast.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// None where nobody would see it, or where every command is told anyway.
    pub(crate) fn new(wanted: &Receive, total: Option<u64>) -> Option<Self> {
        let silent = wanted.quiet || wanted.verbose > 0 || wanted.progress == ProgressWhen::Never;
        if silent || !std::io::stderr().is_terminal() {
            return None;
        }
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), KNOWN),
            None => (ProgressBar::new_spinner(), UNKNOWN),
        };
        // A template that does not parse leaves indicatif's own.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message("receiving");
        Some(Self { bar })
    }

    /// Moves on.
    pub(crate) fn tick(&self, bytes: u64, phase: Phase) {
        self.bar.set_message(phase_word(phase));
        self.bar.set_position(bytes);
    }

    /// Makes room for a line above.
    pub(crate) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Leaves the bar as it stands; full where the run succeeded.
    pub(crate) fn end(&self, bytes: u64, success: bool) {
        self.bar.set_position(bytes);
        self.bar.set_message(if success { "durable" } else { "stopped" });
        self.bar.abandon();
    }
}

/// What a step is called where people and programs read it.
pub(crate) fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Receiving => "receiving",
        Phase::Syncing => "syncing",
        Phase::Checking => "checking",
        Phase::Marking | Phase::ReadOnly | Phase::Publishing | Phase::Settling => "publishing",
    }
}
