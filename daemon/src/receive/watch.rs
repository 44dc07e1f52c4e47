//! Forwards the engine's reports to the output.

use std::sync::{Mutex, PoisonError};

use butterdock_receive::{Kind, Observer, Phase};
use butterdock_stream::{Command, Place};

use super::Show;

/// The engine's observer.
pub(crate) struct Watch<'a> {
    show: &'a dyn Show,
    phase: Mutex<Phase>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(show: &'a dyn Show) -> Self {
        Self { show, phase: Mutex::new(Phase::Receiving) }
    }

    /// The step that the engine is in.
    pub(crate) fn phase(&self) -> Phase {
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
