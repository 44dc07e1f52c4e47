//! The output of the program: lines on standard output and standard error, and exit statuses.
//!
//! Errors of a closed pipe are ignored: received data is durable without a reader.
//!
//! # Exit statuses, by their names in sysexits.h
//! | status | name | when |
//! |---|---|---|
//! | 0 | `EX_OK` | done |
//! | 1 | | a stream was not received whole, the service could not be served, a file cannot be read |
//! | 64 | `EX_USAGE` | the command line cannot be understood; a worker that the daemon did not start |
//! | 69 | `EX_UNAVAILABLE` | a worker whose daemon went away |
//! | 71 | `EX_OSERR` | a worker to which the kernel refused a limit, a thread or a descriptor |
//! | 76 | `EX_PROTOCOL` | a worker that did not understand its order |
//! | 77 | `EX_NOPERM` | the caller may not do this |
//! | 78 | `EX_CONFIG` | the service's configuration has a mistake: to start it again would not help, and the unit does not |

use butterdock_service::text::one_line;
use std::io::Write as _;

/// `EX_USAGE`: a mistake in the command line.
pub(crate) const USAGE: u8 = 64;

/// `EX_NOPERM`: the caller may not do this.
pub(crate) const NOT_ALLOWED: u8 = 77;

/// `EX_CONFIG`: a mistake in the configuration.
pub(crate) const MISCONFIGURED: u8 = 78;

/// Prints text unchanged on standard output.
pub(crate) fn print(text: &str) {
    print_bytes(text.as_bytes());
}

/// Prints bytes unchanged on standard output, at once.
pub(crate) fn print_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Prints a line on standard error, unless the text is empty.
pub(crate) fn complain(text: &str) {
    if !text.is_empty() {
        complain_bytes(format!("{text}\n").as_bytes());
    }
}

/// Prints bytes on standard error in one piece.
pub(crate) fn complain_bytes(bytes: &[u8]) {
    drop(std::io::stderr().lock().write_all(bytes));
}

/// Prints `ERROR: …`, always on one line.
pub(crate) fn error(text: &str) {
    complain(&format!("ERROR: {}", one_line(text)));
}

/// Prints `WARNING: …`, always on one line.
pub(crate) fn warning(text: &str) {
    complain(&format!("WARNING: {}", one_line(text)));
}

/// A file name from a stream, escaped for a line: bytes above ASCII stay, so that a terminal shows them as `ls` would; control
/// characters are escaped, so that a name cannot forge a line.
pub(crate) fn escaped_name(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_control() {
            out.extend(byte.escape_ascii());
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_a_line_and_keeps_its_letters() {
        assert_eq!(escaped_name("été\nAt subvol x".as_bytes()), "été\\nAt subvol x".as_bytes());
        assert_eq!(escaped_name(b"\xff"), b"\xff");
    }
}
