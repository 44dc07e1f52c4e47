//! Lines on standard output and standard error.
//!
//! Errors of a closed pipe are ignored: received data is durable without a reader.

use std::io::Write as _;

use butterdock_service::text::one_line;

/// Prints text as it is on standard output.
pub(crate) fn print(text: &str) {
    print_bytes(text.as_bytes());
}

/// Prints bytes as they are on standard output, at once.
pub(crate) fn print_bytes(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(bytes).and_then(|()| out.flush()));
}

/// Prints a line on standard error; nothing where there is no text.
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

/// A name from a stream for a line: bytes above ASCII stay, so that a terminal shows them as `ls` would; control
/// characters are escaped, so that a name cannot forge a line.
pub(crate) fn name(bytes: &[u8]) -> Vec<u8> {
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
        assert_eq!(name("été\nAt subvol x".as_bytes()), "été\\nAt subvol x".as_bytes());
        assert_eq!(name(b"\xff"), b"\xff");
    }
}
