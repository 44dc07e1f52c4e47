//! Untrusted text, escaped for one line.

/// The text with all control characters escaped, so that it can neither end the line nor control a terminal.
#[must_use]
pub fn one_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.trim_end().chars() {
        if letter.is_control() {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(one_line("a\nERROR: b\x1b[2J\n"), "a\\nERROR: b\\u{1b}[2J");
    }
}
