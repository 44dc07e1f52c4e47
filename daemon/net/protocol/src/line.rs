//! Text on one line.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text without control characters and line separators, of up to 255 bytes: what it becomes a part of keeps its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Line(String);

const LONGEST: usize = 255;

impl Line {
    /// What of a text fits: control characters become blanks, the rest is cut off.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut text: String = text.chars().map(|letter| if breaks(letter) { ' ' } else { letter }).collect();
        text.truncate(text.floor_char_boundary(LONGEST));
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn breaks(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

impl TryFrom<String> for Line {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() <= LONGEST && !text.chars().any(breaks) {
            Ok(Self(text))
        } else {
            Err("a line has up to 255 bytes and no control character")
        }
    }
}

impl From<Line> for String {
    fn from(line: Line) -> Self {
        line.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_become_two() {
        let line = Line::of("a\r\nBcc: b@c\0\u{2028}d");
        assert_eq!(line.as_str(), "a  Bcc: b@c  d");
        assert_eq!(Line::of(&"é".repeat(500)).as_str().len(), 254);
        assert!(Line::try_from("a\nb".to_owned()).is_err() && Line::try_from("a".repeat(256)).is_err());
    }
}
