//! Formats answers as text or JSON. Makes no D-Bus calls.
//!
//! Answers go to standard output, errors and progress bars to standard error. Names and the service's messages are
//! escaped here, so that they cannot send control sequences to a terminal.

mod exposition;
mod json;
mod progress;
mod text;

use std::io::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use crate::failure::Failure;

pub(crate) use exposition::{Exposition, Sample};
pub(crate) use json::{
    BackupObject, DestinationObject, DriveObject, DriveResult, EndedJob, FileObject, FileVersionObject, HistoryObject,
    JobObject, NotificationObject, SnapshotObject, StreamObject, SubvolumeObject, VolumeObject, WatchEvent,
};
pub(crate) use progress::{JobError, Progress, rate, target};
pub(crate) use text::{Table, bytes, duration, escaped, escaped_name, now, parse_time, short_label, signed_time, time};

/// The output format: text or JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Whether `--json` was given.
    pub(crate) json: bool,
}

impl Output {
    /// Prints the object with `--json`, the text without.
    pub(crate) fn answer(self, object: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            self.line(object);
        } else {
            print(&text());
        }
    }

    /// Prints an object on a line of its own.
    pub(crate) fn line(self, object: &impl Serialize) {
        // Structs of numbers and strings always serialize.
        if let Ok(text) = serde_json::to_string(object) {
            print(&format!("{}\n", text::escaped_json(&text)));
        }
    }

    /// Prints an error on standard error, and with `--json` also as an object.
    pub(crate) fn failed(self, failure: &Failure) -> ExitCode {
        if self.json {
            self.line(&Refused { error: ErrorObject { name: failure.name.as_deref(), message: &failure.message } });
        }
        print_error(&format!("butterdock: {}", escaped(&failure.message)));
        if let Some(next) = &failure.next {
            print_error(&format!("  {}", escaped(next)));
        }
        ExitCode::from(failure.exit)
    }
}

/// The object that replaces an answer.
#[derive(Serialize)]
struct Refused<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    name: Option<&'a str>,
    message: &'a str,
}

// Errors of a closed pipe are ignored: the job continues without a reader.

/// Prints text as it is on standard output, at once.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints a question on standard error; the user types the answer on the same line.
pub(crate) fn prompt(text: &str) {
    let mut err = std::io::stderr().lock();
    drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}

/// Prints a line on standard error, in one piece.
pub(crate) fn print_error(text: &str) {
    drop(std::io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
}
