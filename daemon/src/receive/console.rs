//! Lines as `btrfs receive` prints them, and a progress bar on standard error if it is a terminal.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use butterdock_receive::{Kind, Phase};
use butterdock_stream::Command;
use butterdock_stream::text::Dump;
use indicatif::{ProgressBar, ProgressStyle};

use super::dump::local_zone;
use super::{End, Show, phase_word};
use crate::args::{ProgressWhen, Receive};
use crate::output;

/// Limit of warnings that are kept for a failure; a stream can cause any number.
const KEPT_WARNINGS: usize = 100;

/// See [`local_zone`].
type Zone = Box<dyn Fn(i64) -> i32 + Send>;

/// For a person, and for scripts that read what `btrfs receive` prints.
pub(super) struct Console {
    quiet: bool,
    detail: u8,
    bar: Option<Bar>,
    /// Scripts may treat any output on standard error as a failure, so warnings go there only on a terminal or with `-v`.
    warns_at_once: bool,
    warnings: Mutex<Vec<String>>,
    text: Mutex<Dump<Zone>>,
}

impl Console {
    pub(super) fn new(wanted: &Receive, total: Option<u64>) -> Self {
        let detail = if wanted.quiet { 0 } else { wanted.verbose };
        Self {
            quiet: wanted.quiet,
            detail,
            bar: Bar::new(wanted, total),
            warns_at_once: detail > 0 || (!wanted.quiet && std::io::stderr().is_terminal()),
            warnings: Mutex::default(),
            text: Mutex::new(Dump::new(Box::new(local_zone()))),
        }
    }

    fn beside_bar(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.beside(print),
            None => print(),
        }
    }
}

impl Show for Console {
    /// `At subvol` goes to standard error and `At snapshot` to standard output, as `btrfs receive` does and scripts expect.
    fn began(&self, name: &[u8], kind: Kind) {
        if self.quiet {
            return;
        }
        let name = output::escaped_name(name);
        self.beside_bar(|| match kind {
            Kind::Full => output::complain_bytes(&[b"At subvol ", name.as_slice(), b"\n"].concat()),
            Kind::Incremental => output::print_bytes(&[b"At snapshot ", name.as_slice(), b"\n"].concat()),
        });
    }

    fn command(&self, command: &Command<'_>) {
        if self.detail < 2 && !is_shown_once_verbose(command) {
            return;
        }
        let mut line = Vec::new();
        self.text.lock().unwrap_or_else(PoisonError::into_inner).line(&mut line, command);
        output::complain_bytes(&line);
    }

    fn detail(&self) -> u8 {
        self.detail
    }

    fn tick(&self, bytes: u64, phase: Phase) {
        if let Some(bar) = &self.bar {
            bar.tick(bytes, phase);
        }
    }

    fn resumed(&self, bytes: u64) {
        if self.warns_at_once {
            self.beside_bar(|| {
                output::complain_bytes(format!("Resuming after {bytes} bytes of the stream\n").as_bytes())
            });
        }
    }

    fn checkpoint(&self, _: u64) {}

    fn warning(&self, text: &str) {
        if self.warns_at_once {
            self.beside_bar(|| output::warning(text));
            return;
        }
        let mut kept = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_WARNINGS {
            kept.push(text.to_owned());
        }
    }

    fn ended(&self, end: &End) {
        if let Some(bar) = &self.bar {
            bar.end(end.counts.bytes, end.message.is_none());
        }
        if let Some(message) = &end.message {
            let kept = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            kept.iter().for_each(|text| output::warning(text));
            output::error(message);
        }
    }
}

/// The commands that one `-v` shows: the start of a subvolume, and its data.
fn is_shown_once_verbose(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Subvol { .. }
            | Command::Snapshot { .. }
            | Command::Write { .. }
            | Command::EncodedWrite { .. }
            | Command::Clone { .. }
            | Command::UpdateExtent { .. }
    )
}

const KNOWN: &str = "{msg:<10} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
const UNKNOWN: &str = "{msg:<10} {spinner} {binary_bytes} {binary_bytes_per_sec} {elapsed}";

/// A bar with rate and remaining time; without a known total, bytes, rate and elapsed time.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// None without a terminal, with `-q` or `--progress never`, and if `-v` prints commands anyway.
    pub(super) fn new(wanted: &Receive, total: Option<u64>) -> Option<Self> {
        let silent = wanted.quiet || wanted.verbose > 0 || wanted.progress == ProgressWhen::Never;
        if silent || !std::io::stderr().is_terminal() {
            return None;
        }
        let (bar, template) = match total {
            Some(total) => (ProgressBar::new(total), KNOWN),
            None => (ProgressBar::new_spinner(), UNKNOWN),
        };
        // If the template does not parse, indicatif uses its own.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message("receiving");
        Some(Self { bar })
    }

    /// Updates it.
    pub(super) fn tick(&self, bytes: u64, phase: Phase) {
        self.bar.set_message(phase_word(phase));
        self.bar.set_position(bytes);
    }

    /// Prints a line above it.
    pub(super) fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    /// Ends the bar and leaves it visible.
    pub(super) fn end(&self, bytes: u64, success: bool) {
        self.bar.set_position(bytes);
        self.bar.set_message(if success { "durable" } else { "stopped" });
        self.bar.abandon();
    }
}
