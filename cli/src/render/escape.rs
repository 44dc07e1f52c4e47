//! Escapes untrusted text for a terminal.

/// Escapes a name given as bytes: letters of every script stay, bytes that are not UTF-8 become `\xff`; see also [`escaped`].
pub(crate) fn name(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&escaped(chunk.valid()));
        out.push_str(&chunk.invalid().escape_ascii().to_string());
    }
    out
}

/// Escapes line breaks, control characters, and characters that change the direction of writing.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if steers(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// JSON escapes control characters below U+0020; this escapes the others, which can occur only in strings.
pub(crate) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if steers(letter) {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

/// Whether a letter is a control character (C0, DEL, C1), breaks a line, or changes the direction of writing.
fn steers(letter: char) -> bool {
    let direction = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}'];
    letter.is_control()
        || direction.contains(&letter)
        || ('\u{202a}'..='\u{202e}').contains(&letter)
        || ('\u{2066}'..='\u{2069}').contains(&letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_names_are_escaped() {
        assert_eq!(name("été 日本".as_bytes()), "été 日本");
        assert_eq!(name(b"a\x1b[2Jb\n\x7f"), "a\\u{1b}[2Jb\\n\\u{7f}");
        assert_eq!(name(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(name("\u{9b}31m\u{202e}x".as_bytes()), "\\u{9b}31m\\u{202e}x");
    }

    #[test]
    fn control_characters_in_json_are_escaped() {
        let text = serde_json::to_string("a\x1b\u{9b}\u{202e}").expect("written");
        let safe = json(&text);
        assert!(safe.chars().all(|letter| letter.is_ascii_graphic()), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).expect("read"), "a\x1b\u{9b}\u{202e}");
    }
}
