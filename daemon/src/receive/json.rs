//! One JSON object per line on standard output. The man page describes the members.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use butterdock_receive::{Error, ErrorKind, Kind, Phase, Published};
use butterdock_service::text::one_line;
use butterdock_stream::Command;
use serde::Serialize;

use super::{End, Show, phase_word};
use crate::output;

/// Limit of warnings in the result.
const KEPT_WARNINGS: usize = 100;

/// Prints progress while it changes, then one result.
pub(super) struct Json {
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
    pub(super) fn new(total: Option<u64>) -> Self {
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

    fn resumed(&self, bytes: u64) {
        print(&Resumability::Resumed { bytes });
    }

    fn checkpoint(&self, bytes: u64) {
        print(&Resumability::Checkpoint { bytes });
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
            output::error(message);
        }
    }
}

fn print(object: &impl Serialize) {
    // Serializing structs of numbers and strings cannot fail.
    if let Ok(text) = serde_json::to_string(object) {
        output::print(&format!("{text}\n"));
    }
}

/// The object `progress`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "progress")]
pub(super) struct Progress {
    bytes: u64,
    total: Option<u64>,
    rate: u64,
    state: &'static str,
}

/// The objects `resumed` and `checkpoint`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Resumability {
    Resumed { bytes: u64 },
    Checkpoint { bytes: u64 },
}

/// The object `result`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "result")]
pub(super) struct Results<'a> {
    success: bool,
    exit_status: u8,
    subvolumes: Vec<Subvolume>,
    commands: u64,
    bytes: u64,
    bytes_written: u64,
    encoded_writes: u64,
    fallbacks: u64,
    plain_writes: u64,
    clones: u64,
    files: u64,
    seconds: f64,
    warnings: &'a [String],
    resumes_at: Option<u64>,
    error: Option<Problem>,
}

#[derive(Debug, Serialize)]
struct Subvolume {
    name: String,
    kind: &'static str,
    id: u64,
    received_uuid: String,
    parent_number_differs: bool,
}

#[derive(Debug, Serialize)]
struct Problem {
    kind: &'static str,
    message: String,
    command: Option<u64>,
    byte: Option<u64>,
    name: Option<String>,
}

impl Progress {
    pub(super) fn new(bytes: u64, total: Option<u64>, rate: u64, state: &'static str) -> Self {
        Self { bytes, total, rate, state }
    }
}

impl<'a> Results<'a> {
    pub(super) fn new(end: &End, warnings: &'a [String]) -> Self {
        let counts = &end.counts;
        Self {
            success: end.exit == 0,
            exit_status: end.exit,
            subvolumes: end.subvolumes.iter().map(Subvolume::new).collect(),
            commands: counts.commands,
            bytes: counts.bytes,
            bytes_written: counts.bytes_written,
            encoded_writes: counts.encoded_writes,
            fallbacks: counts.fallback_writes,
            plain_writes: counts.plain_writes,
            clones: counts.clones,
            files: counts.files,
            seconds: end.seconds.as_secs_f64(),
            warnings,
            resumes_at: end.resumes_at,
            error: end.message.as_deref().map(|message| Problem::new(message, end.error.as_ref())),
        }
    }
}

impl Subvolume {
    fn new(published: &Published) -> Self {
        Self {
            name: readable(&published.name),
            kind: match published.kind {
                Kind::Full => "full",
                Kind::Incremental => "incremental",
            },
            id: published.id,
            received_uuid: published.received_uuid.to_string(),
            parent_number_differs: published.parent_number_differs,
        }
    }
}

impl Problem {
    fn new(message: &str, error: Option<&Error>) -> Self {
        let place = error.and_then(|error| error.place);
        Self {
            kind: error.map_or("Failed", |error| kind(error.kind())),
            message: one_line(message),
            command: place.map(|place| place.command),
            byte: place.map(|place| place.at),
            name: error.and_then(|error| error.name.as_deref()).map(readable),
        }
    }
}

/// The error names of the bus.
fn kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidStream => "InvalidStream",
        ErrorKind::TruncatedStream => "TruncatedStream",
        ErrorKind::UnsupportedStream => "UnsupportedStream",
        ErrorKind::ParentMissing => "ParentMissing",
        ErrorKind::NoSpace => "NoSpace",
        ErrorKind::ReadOnly => "ReadOnly",
        ErrorKind::Exists => "Exists",
        ErrorKind::Busy => "Busy",
        ErrorKind::DeviceGone => "DeviceGone",
        ErrorKind::Cancelled => "Cancelled",
        ErrorKind::Failed => "Failed",
    }
}

/// A name as JSON text: UTF-8 is unchanged, any other byte becomes `\xNN`, and a backslash is doubled.
fn readable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

/// The window of the rate.
const WINDOW: Duration = Duration::from_secs(5);

/// The rate over the last few seconds, so that a pause is visible and a peak is not.
#[derive(Debug, Default)]
pub(super) struct Speed {
    /// Counts of bytes within the window, the oldest first.
    samples: VecDeque<(Instant, u64)>,
}

impl Speed {
    /// Adds the current count of bytes; returns bytes per second.
    pub(super) fn note(&mut self, now: Instant, bytes: u64) -> u64 {
        while self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.samples.pop_front();
        }
        self.samples.push_back((now, bytes));
        let Some(&(since, before)) = self.samples.front() else { return 0 };
        let millis = now.duration_since(since).as_millis();
        let rate = u128::from(bytes.saturating_sub(before)).saturating_mul(1000).checked_div(millis);
        rate.and_then(|rate| u64::try_from(rate).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn non_utf8_names_are_distinguishable() {
        assert_eq!(readable("día".as_bytes()), "día");
        assert_eq!(readable(b"a\xffb"), "a\\xffb");
        assert_eq!(readable(b"a\\xffb"), "a\\\\xffb");
    }

    #[test]
    fn progress_is_one_object_with_its_type_first() {
        let text = serde_json::to_string(&Progress::new(5, None, 7, "receiving")).expect("written");
        assert_eq!(text, r#"{"type":"progress","bytes":5,"total":null,"rate":7,"state":"receiving"}"#);
    }

    #[test]
    fn a_refusal_is_a_result_with_an_error() {
        let end = End::refused(77, "needs\nroot".to_owned());
        let value = serde_json::to_value(Results::new(&end, &[])).expect("written");
        assert_eq!(value["type"], "result");
        assert_eq!(value["success"], false);
        assert_eq!(value["exit_status"], 77);
        assert_eq!(value["error"]["message"], "needs\\nroot");
    }

    #[test]
    fn the_rate_is_that_of_the_window() {
        let start = Instant::now();
        let mut speed = Speed::default();
        assert_eq!(speed.note(start, 0), 0);
        assert_eq!(speed.note(start + Duration::from_secs(2), 4000), 2000);
        assert_eq!(speed.note(start + Duration::from_secs(6), 4000), 0);
    }
}
