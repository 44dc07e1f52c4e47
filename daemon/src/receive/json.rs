//! One JSON object per line on standard output. The man page describes the members.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use butterdock_receive::{Kind, Phase};
use butterdock_stream::Command;
use serde::Serialize;

use super::bar::phase_word;
use super::object::{Progress, Results};
use super::speed::Speed;
use super::{End, Show};
use crate::lines;

/// How many warnings the result holds at most.
const KEPT_WARNINGS: usize = 100;

/// Progress while it changes, then one result.
pub(crate) struct Json {
    total: Option<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    speed: Speed,
    last: Option<(u64, &'static str)>,
    warnings: Vec<String>,
}

impl Json {
    pub(crate) fn new(total: Option<u64>) -> Self {
        let mut state = State::default();
        state.speed.note(Instant::now(), 0);
        Self { total, state: Mutex::new(state) }
    }
}

impl Show for Json {
    fn began(&self, _: &[u8], _: Kind) {}

    fn command(&self, _: &Command<'_>) {}

    fn detail(&self) -> u8 {
        0
    }

    fn tick(&self, bytes: u64, phase: Phase) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = state.speed.note(Instant::now(), bytes);
        let now = (bytes, phase_word(phase));
        if state.last == Some(now) {
            return;
        }
        state.last = Some(now);
        print(&Progress::new(bytes, self.total, rate, now.1));
    }

    fn warning(&self, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.warnings.len() < KEPT_WARNINGS {
            state.warnings.push(text.to_owned());
        }
    }

    fn ended(&self, end: &End) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        print(&Results::new(end, &state.warnings));
        if let Some(message) = &end.message {
            lines::error(message);
        }
    }
}

fn print(object: &impl Serialize) {
    // Plain structs of numbers and strings: they cannot fail to be written down.
    if let Ok(text) = serde_json::to_string(object) {
        lines::print(&format!("{text}\n"));
    }
}
