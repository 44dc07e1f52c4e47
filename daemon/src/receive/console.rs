//! Lines as `btrfs receive` prints them, and a progress bar on a terminal.

use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use butterdock_receive::{Kind, Phase};
use butterdock_stream::Command;
use butterdock_stream::text::Dump;

use super::bar::Bar;
use super::{End, Show};
use crate::args::Receive;
use crate::{lines, zone};

/// How many warnings are kept for a failure; a stream can cause any number.
const KEPT_WARNINGS: usize = 100;

/// See [`zone::local`].
type Zone = Box<dyn Fn(i64) -> i32 + Send>;

/// For a person, and for scripts that read what `btrfs receive` prints.
pub(crate) struct Console {
    quiet: bool,
    detail: u8,
    bar: Option<Bar>,
    /// A script that takes any word on standard error for a failure must not be woken by a warning.
    warns_at_once: bool,
    warnings: Mutex<Vec<String>>,
    text: Mutex<Dump<Zone>>,
}

impl Console {
    pub(crate) fn new(wanted: &Receive, total: Option<u64>) -> Self {
        let detail = if wanted.quiet { 0 } else { wanted.verbose };
        Self {
            quiet: wanted.quiet,
            detail,
            bar: Bar::new(wanted, total),
            warns_at_once: detail > 0 || (!wanted.quiet && std::io::stderr().is_terminal()),
            warnings: Mutex::default(),
            text: Mutex::new(Dump::new(Box::new(zone::local()))),
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
    /// `At subvol` on standard error and `At snapshot` on standard output: so it is there, and scripts have got used to it.
    fn began(&self, name: &[u8], kind: Kind) {
        if self.quiet {
            return;
        }
        let name = lines::name(name);
        self.beside_bar(|| match kind {
            Kind::Full => lines::complain_bytes(&[b"At subvol ", name.as_slice(), b"\n"].concat()),
            Kind::Incremental => lines::print_bytes(&[b"At snapshot ", name.as_slice(), b"\n"].concat()),
        });
    }

    fn command(&self, command: &Command<'_>) {
        if self.detail < 2 && !is_told_at_once(command) {
            return;
        }
        let mut line = Vec::new();
        self.text.lock().unwrap_or_else(PoisonError::into_inner).line(&mut line, command);
        lines::complain_bytes(&line);
    }

    fn detail(&self) -> u8 {
        self.detail
    }

    fn tick(&self, bytes: u64, phase: Phase) {
        if let Some(bar) = &self.bar {
            bar.tick(bytes, phase);
        }
    }

    fn warning(&self, text: &str) {
        if self.warns_at_once {
            self.beside_bar(|| lines::warning(text));
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
            kept.iter().for_each(|text| lines::warning(text));
            lines::error(message);
        }
    }
}

/// What one `-v` shows: where a subvolume begins, and its data.
fn is_told_at_once(command: &Command<'_>) -> bool {
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
