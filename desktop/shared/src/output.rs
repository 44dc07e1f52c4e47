//! The standard streams. The user's service manager writes both into the journal.

use std::io::Write as _;
use std::process::ExitCode;

/// Prints a line.
pub fn print(line: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}

/// Writes a line for the journal: why something is not shown, or does not work.
pub fn complain(line: &str) {
    inform(line);
}

/// Writes a line for the journal: what the agent does.
#[expect(clippy::print_stderr, reason = "standard error is the journal of the user's service manager")]
pub fn inform(line: &str) {
    eprintln!("{line}");
}
