//! The output format of a verb's answer.

use std::process::ExitCode;

use serde::Serialize;

use super::{escape, escaped, print};
use crate::failure::Failure;

/// Text or JSON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    /// Whether `--json` was given.
    pub(crate) json: bool,
}

impl Out {
    /// Prints the object with `--json`, the text without.
    pub(crate) fn answer(self, object: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            self.line(object);
        } else {
            print::out(&text());
        }
    }

    /// Prints an object on a line of its own.
    pub(crate) fn line(self, object: &impl Serialize) {
        // Structs of numbers and strings always serialize.
        if let Ok(text) = serde_json::to_string(object) {
            print::out(&format!("{}\n", escape::json(&text)));
        }
    }

    /// Prints an error on standard error, and with `--json` also as an object.
    pub(crate) fn failed(self, failure: &Failure) -> ExitCode {
        if self.json {
            self.line(&Refused { error: ErrorObject { name: failure.name.as_deref(), message: &failure.message } });
        }
        print::complain(&format!("butterdock: {}", escaped(&failure.message)));
        if let Some(next) = &failure.next {
            print::complain(&format!("  {}", escaped(next)));
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
