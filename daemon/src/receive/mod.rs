//! Receives a stream in the foreground, like `btrfs receive`: without a bus and without a daemon.
//!
//! ```text
//! main thread      command: opens both ends, runs the engine, exits with a status
//! signal thread    waits in a signalfd for SIGINT and SIGTERM and cancels
//! ticker thread    four times per second: shows the progress
//! engine threads   report to the `Watch`, which forwards to the `Show`
//! ```
//!
//! A `Show` is one form of output: `console` or `json`. `dump` prints a stream without receiving it.

mod command;
mod console;
mod dump;
mod ends;
mod json;
mod signals;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use butterdock_receive::{Cause, Counts, Error, Failure, Kind, Observer, Outcome, Phase, Published};
use butterdock_stream::{Command, Position};

pub(crate) use command::run;
pub(crate) use dump::run as dump;

/// The output of a run. Called from several threads.
trait Show: Sync {
    /// A subvolume was begun.
    fn began(&self, name: &[u8], kind: Kind);
    /// A command was read. Called only where [`Show::detail`] is not zero.
    fn command(&self, command: &Command<'_>);
    /// The verbosity for commands: 0 none, 1 data, 2 all.
    fn detail(&self) -> u8;
    /// Called four times per second.
    fn tick(&self, bytes: u64, phase: Phase);
    /// The run resumes after so many bytes of the stream.
    fn resumed(&self, bytes: u64);
    /// After an interruption, the next run resumes after so many bytes of the stream.
    fn checkpoint(&self, bytes: u64);
    /// A warning for a person.
    fn warning(&self, text: &str);
    /// The run has ended.
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
    /// After a failure, the same command resumes after so many bytes of the stream.
    resumes_at: Option<u64>,
}

impl End {
    /// The run ended before the engine started.
    fn refused(exit: u8, message: String) -> Self {
        let seconds = Duration::ZERO;
        let (subvolumes, counts) = (Vec::new(), Counts::default());
        Self { exit, message: Some(message), error: None, subvolumes, counts, seconds, resumes_at: None }
    }

    fn succeeded(outcome: Outcome, seconds: Duration) -> Self {
        let Outcome { subvolumes, counts, .. } = outcome;
        Self { exit: 0, message: None, error: None, subvolumes, counts, seconds, resumes_at: None }
    }

    fn failed(exit: u8, failure: Failure, seconds: Duration, resumes_at: Option<u64>) -> Self {
        let mut message = failure.to_string();
        if resumes_at.is_some() {
            message.push_str("; the same command resumes from the last checkpoint, --discard deletes it");
        }
        let message = Some(message);
        let Failure { error, published, counts, .. } = failure;
        Self { exit, message, error: Some(error), subvolumes: published, counts, seconds, resumes_at }
    }
}

/// Forwards the reports of the engine to the output.
struct Watch<'a> {
    show: &'a dyn Show,
    phase: Mutex<Phase>,
    /// The bytes of the last checkpoint; 0 without one.
    checkpoint: AtomicU64,
}

impl<'a> Watch<'a> {
    fn new(show: &'a dyn Show) -> Self {
        Self { show, phase: Mutex::new(Phase::Receiving), checkpoint: AtomicU64::new(0) }
    }

    /// From where the next run resumes, if this one failed with `error`.
    fn resumes_at(&self, error: &Error) -> Option<u64> {
        let checkpoint = self.checkpoint.load(Ordering::Relaxed);
        (checkpoint > 0 && !matches!(error.cause, Cause::CheckpointDiffers | Cause::Exists(_))).then_some(checkpoint)
    }

    /// The current step of the engine.
    fn phase(&self) -> Phase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch<'_> {
    fn began(&self, name: &[u8], kind: Kind) {
        self.show.began(name, kind);
    }

    fn command(&self, _: Position, command: &Command<'_>) {
        self.show.command(command);
    }

    fn wants_commands(&self) -> bool {
        self.show.detail() > 0
    }

    fn phase(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn resumed(&self, bytes: u64) {
        self.checkpoint.store(bytes, Ordering::Relaxed);
        self.show.resumed(bytes);
    }

    fn checkpoint(&self, bytes: u64) {
        self.checkpoint.store(bytes, Ordering::Relaxed);
        self.show.checkpoint(bytes);
    }

    fn warning(&self, text: &str) {
        self.show.warning(text);
    }
}

/// The name of a step in the output.
fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Receiving => "receiving",
        Phase::Syncing => "syncing",
        Phase::Checking => "checking",
        Phase::Marking | Phase::ReadOnly | Phase::Publishing | Phase::Settling => "publishing",
    }
}
