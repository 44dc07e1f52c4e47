//! Untrusted text, such as the label of a drive, for a message.

/// The most characters of a name in a message,
pub const NAME_MAX: usize = 64;
/// and of a sentence.
pub const SENTENCE_MAX: usize = 400;

/// A name or a sentence on one line: without control characters and characters that change the writing direction or are invisible,
/// and up to `max` characters long.
pub fn plain(text: &str, max: usize) -> String {
    let one = |letter: char| match letter {
        _ if letter.is_whitespace() => ' ',
        _ if letter.is_control() || is_invisible(letter) => '\u{fffd}',
        _ => letter,
    };
    let text = text.trim();
    if text.chars().count() <= max {
        return text.chars().map(one).collect();
    }
    text.chars().take(max.saturating_sub(1)).map(one).chain(['…']).collect()
}

/// Whether a character is invisible or changes the writing direction, without being a control character.
fn is_invisible(letter: char) -> bool {
    let ranges = [
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{fff9}'..='\u{fffb}',
        '\u{e0000}'..='\u{e007f}',
    ];
    matches!(letter, '\u{61c}' | '\u{feff}' | '\u{ad}') || ranges.iter().any(|range| range.contains(&letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_labels_are_one_short_line() {
        assert_eq!(plain(" Blue ", 64), "Blue");
        assert_eq!(plain("a\nb\tc\u{1b}[2J\u{202e}d\u{2028}\0", 64), "a b c\u{fffd}[2J\u{fffd}d \u{fffd}");
        let long = plain(&"ä".repeat(255), NAME_MAX);
        assert_eq!((long.chars().count(), long.ends_with("ä…")), (NAME_MAX, true));
        assert_eq!(plain("<b>x</b>", 64), "<b>x</b>", "the notification server's markup is escaped in notify");
    }
}
