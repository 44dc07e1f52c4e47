//! Text on standard output and standard error.
//!
//! Errors of a closed pipe are ignored: the job continues without a reader.

use std::io::Write as _;

/// Prints text as it is on standard output, at once.
pub(crate) fn out(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints a question on standard error; the answer comes on the same line.
pub(crate) fn ask(text: &str) {
    let mut err = std::io::stderr().lock();
    drop(err.write_all(text.as_bytes()).and_then(|()| err.flush()));
}

/// Prints a line on standard error, in one piece.
pub(crate) fn complain(text: &str) {
    drop(std::io::stderr().lock().write_all(format!("{text}\n").as_bytes()));
}
