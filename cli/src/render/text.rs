//! Text for a terminal: escaped names, readable sizes, durations and times, tables.

use std::time::{SystemTime, UNIX_EPOCH};

use indicatif::BinaryBytes;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// [`short_label`] shows this many characters.
const SHORT_LABEL: usize = 32;

/// Escapes a name given as bytes: letters of every script stay, bytes that are not UTF-8 become `\xff`; see also [`escaped`].
pub(crate) fn escaped_name(bytes: &[u8]) -> String {
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
        if must_escape(letter) {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    out
}

/// A label or model for a line of text, escaped: a label may have 255 characters, and 32 identify it.
pub(crate) fn short_label(text: &str) -> String {
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(SHORT_LABEL).collect();
    let more = if letters.next().is_some() { "…" } else { "" };
    escaped(&start) + more
}

/// JSON escapes control characters below U+0020; this escapes the others, which can occur only in strings.
pub(crate) fn escaped_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        if must_escape(letter) {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

/// Whether a letter is a control character (C0, DEL, C1), breaks a line, or changes the direction of writing.
fn must_escape(letter: char) -> bool {
    let direction = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}'];
    letter.is_control()
        || direction.contains(&letter)
        || ('\u{202a}'..='\u{202e}').contains(&letter)
        || ('\u{2066}'..='\u{2069}').contains(&letter)
}

/// `1.50 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    BinaryBytes(count).to_string()
}

/// `1:05` or `26:01:05`.
pub(crate) fn duration(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `2026-11-22 17:30`, in local time. (The C library's localtime is not thread-safe.)
pub(crate) fn time(micros: u64) -> String {
    i64::try_from(micros).map_or_else(|_late| "unknown".to_owned(), signed_time)
}

/// The same of a time that may be before 1970.
pub(crate) fn signed_time(micros: i64) -> String {
    Timestamp::from_microsecond(micros).ok().map_or_else(
        || "unknown".to_owned(),
        |time| TimeZone::system().to_datetime(time).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

/// The microseconds since 1970 of `2026-11-22` or `2026-11-22 17:30`, in local time.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    let time: DateTime = text.parse().ok()?;
    let time = TimeZone::system().to_timestamp(time).ok()?;
    u64::try_from(time.as_microsecond()).ok()
}

/// Microseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Rows of text below headings; each column is as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// The text: one line per row, without trailing blanks.
    pub(crate) fn render(&self) -> String {
        let mut widths = Vec::<usize>::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_names_are_escaped() {
        assert_eq!(escaped_name("été 日本".as_bytes()), "été 日本");
        assert_eq!(escaped_name(b"a\x1b[2Jb\n\x7f"), "a\\u{1b}[2Jb\\n\\u{7f}");
        assert_eq!(escaped_name(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(escaped_name("\u{9b}31m\u{202e}x".as_bytes()), "\\u{9b}31m\\u{202e}x");
    }

    #[test]
    fn a_long_label_is_shortened() {
        assert_eq!(short_label("été"), "été");
        assert_eq!(short_label(&"é".repeat(32)), "é".repeat(32));
        assert_eq!(short_label(&"é".repeat(255)), "é".repeat(32) + "…");
        assert_eq!(short_label("a\x1b"), "a\\u{1b}");
    }

    #[test]
    fn control_characters_in_json_are_escaped() {
        let text = serde_json::to_string("a\x1b\u{9b}\u{202e}").expect("written");
        let safe = escaped_json(&text);
        assert!(safe.chars().all(|letter| letter.is_ascii_graphic()), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).expect("read"), "a\x1b\u{9b}\u{202e}");
    }

    #[test]
    fn short_durations_have_no_hours() {
        assert_eq!(duration(0), "0:00");
        assert_eq!(duration(65_900_000), "1:05");
        assert_eq!(duration(93_665_000_000), "26:01:05");
    }

    #[test]
    fn every_time_has_a_text() {
        assert!(!time(u64::MAX).is_empty());
        assert!(time(1_700_000_000_000_000).starts_with("2023-11-1"));
    }

    #[test]
    fn a_written_time_is_read_back() {
        for text in ["2026-11-22 17:30", "2026-11-22T17:30", "2026-11-22 17:30:00"] {
            assert_eq!(parse_time(text).map(time).as_deref(), Some("2026-11-22 17:30"), "{text}");
        }
        assert_eq!(parse_time("2026-11-22").map(time).as_deref(), Some("2026-11-22 00:00"));
        for text in ["yesterday", "", "2026-13-01", "17:30"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["A", "BC", "D"]);
        table.row(["long".to_owned(), "été".to_owned(), String::new()]);
        assert_eq!(table.render(), "A     BC   D\nlong  été\n");
    }
}
