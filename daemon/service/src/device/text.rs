//! Text from a drive, escaped for display and never trusted.

/// More than any label or serial has; the rest is cut off.
const LONGEST: usize = 255;

/// The text, bounded, with everything escaped that would end a line, steer a terminal or turn the reading direction.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::new();
    for letter in text.trim().chars() {
        let start = out.len();
        if misleads(letter) {
            out.extend(letter.escape_unicode());
        } else {
            out.push(letter);
        }
        if out.len() > LONGEST {
            out.truncate(start);
            break;
        }
    }
    out
}

/// The text of a property of udev that ends in `_ENC`, where `\x20` is a blank; then as [`shown`].
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match rest {
            [b'\\', b'x', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { rest.get(4..).unwrap_or_default() } else { after };
    }
    shown(&String::from_utf8_lossy(&bytes))
}

/// Control characters, invisible characters, and those that change the direction of writing.
fn misleads(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_that_is_none_stays_as_it_is() {
        assert_eq!(decoded(r"My\x20Disk"), "My Disk");
        assert_eq!(decoded(r"a\xZZ\x2"), r"a\xZZ\x2");
        assert_eq!(decoded(r"\x5cx41"), r"\x41");
        assert_eq!(decoded(r"\xc3\xa9t\xc3\xa9"), "été");
        assert_eq!(decoded(r"\xff"), "\u{fffd}");
    }

    #[test]
    fn text_that_would_forge_a_line_is_escaped() {
        assert_eq!(shown("a\nb\u{1b}[2J"), r"a\u{a}b\u{1b}[2J");
        assert_eq!(shown("a\u{202e}b"), r"a\u{202e}b");
        assert_eq!(decoded(r"a\x0ab"), r"a\u{a}b");
    }

    #[test]
    fn text_is_bounded_also_when_it_grows() {
        assert_eq!(shown(&"x".repeat(5000)).len(), 255);
        assert!(shown(&"\u{1b}".repeat(5000)).len() <= 255);
        assert!(shown(&"é".repeat(5000)).len() <= 255);
    }
}
