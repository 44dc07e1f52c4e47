//! Receives a stream in the foreground, like `btrfs receive`: without a bus and without a daemon.
//!
//! ```text
//! main thread      command: opens both ends, runs the engine, exits with a status
//! signal thread    waits in a signalfd for SIGINT and SIGTERM and cancels
//! ticker thread    four times per second: shows the progress
//! engine threads   report to the `Watch`, which forwards to the `Show`
//! ```
//!
//! A `Show` is one form of output: `console` or `json`.

mod command;
mod console;
mod dump;
mod ends;
mod json;
mod signals;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use butterdock_receive::{Counts, Error, Failure, Kind, Observer, Outcome, Phase, Published};
use butterdock_stream::{Command, Place};

pub(crate) use command::run;
pub(crate) use dump::run as dump;

/// How a run shows itself. Called from several threads.
trait Show: Sync {
    /// A subvolume was begun.
    fn began(&self, name: &[u8], kind: Kind);
    /// A command was read. Called only where [`Show::detail`] is not zero.
    fn command(&self, command: &Command<'_>);
    /// How much is told about commands: 0 nothing, 1 data, 2 everything.
    fn detail(&self) -> u8;
    /// A quarter of a second went by.
    fn tick(&self, bytes: u64, phase: Phase);
    /// Something a person should know.
    fn warning(&self, text: &str);
    /// The run is over.
    fn ended(&self, end: &End);
}

/// How a run ended.
#[derive(Debug)]
struct End {
    exit: u8,
    message: Option<String>,
    error: Option<Error>,
    subvolumes: Vec<Published>,
    counts: Counts,
    seconds: Duration,
}

impl End {
    /// Before the engine had anything to do.
    fn refused(exit: u8, message: String) -> Self {
        let seconds = Duration::ZERO;
        Self { exit, message: Some(message), error: None, subvolumes: Vec::new(), counts: Counts::default(), seconds }
    }

    fn succeeded(outcome: Outcome, seconds: Duration) -> Self {
        let Outcome { subvolumes, counts, .. } = outcome;
        Self { exit: 0, message: None, error: None, subvolumes, counts, seconds }
    }

    fn failed(exit: u8, failure: Failure, seconds: Duration) -> Self {
        let message = Some(failure.to_string());
        let Failure { error, published, counts, .. } = failure;
        Self { exit, message, error: Some(error), subvolumes: published, counts, seconds }
    }
}

/// The engine's observer.
struct Watch<'a> {
    show: &'a dyn Show,
    phase: Mutex<Phase>,
}

impl<'a> Watch<'a> {
    fn new(show: &'a dyn Show) -> Self {
        Self { show, phase: Mutex::new(Phase::Receiving) }
    }

    /// The step that the engine is in.
    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch<'_> {
    fn began(&self, name: &[u8], kind: Kind) {
        self.show.began(name, kind);
    }

    fn command(&self, _: Place, command: &Command<'_>) {
        self.show.command(command);
    }

    fn wants_commands(&self) -> bool {
        self.show.detail() > 0
    }

    fn phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn warning(&self, text: &str) {
        self.show.warning(text);
    }
}

/// What a step is called where people and programs read it.
fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Receiving => "receiving",
        Phase::Syncing => "syncing",
        Phase::Checking => "checking",
        Phase::Marking | Phase::ReadOnly | Phase::Publishing | Phase::Settling => "publishing",
    }
}
