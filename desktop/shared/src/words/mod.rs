//! The words of the desktop's programs, in the language of the session: English, or a translation from `po`.
//!
//! A text is English in the code; its translation is looked up by it, as gettext does. The files are gettext's, so that its
//! tools and translators can work with them; they are part of the program, and reading them needs no library.

mod problems;

use std::collections::HashMap;

pub use problems::{Severity, error_words, words_of};

/// The German translations.
const GERMAN: &str = include_str!("../../../po/de.po");

/// The words of one language.
#[derive(Debug)]
pub struct Words {
    /// By the English texts; empty for English.
    translations: HashMap<String, String>,
    decimal_comma: bool,
}

impl Words {
    /// The words in the language of the session, from the variables of setlocale(3).
    pub fn of_session() -> Self {
        let variables = ["LC_ALL", "LC_MESSAGES", "LANG"];
        let set = variables.iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
        Self::of_locale(&set.unwrap_or_default())
    }

    /// The words of a locale such as `de_AT.UTF-8`.
    pub fn of_locale(locale: &str) -> Self {
        match locale.split(['_', '.', '@']).next() {
            Some("de") => Self { translations: read(GERMAN), decimal_comma: true },
            Some(_) | None => Self { translations: HashMap::new(), decimal_comma: false },
        }
    }

    /// A text with its names in braces replaced by values. Braces in values stay as they are.
    pub fn say(&self, english: &str, values: &[(&str, &str)]) -> String {
        let text = self.translations.get(english).map_or(english, String::as_str);
        let mut said = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, name, after)) = placeholder(rest) {
            said.push_str(before);
            match values.iter().find(|(known, _)| *known == name) {
                Some((_, value)) => said.push_str(value),
                None => said.push('…'),
            }
            rest = after;
        }
        said.push_str(rest);
        said
    }

    /// A number of bytes in words: `1.5 GB`. The units are the decimal ones that are printed on drives.
    pub fn size(&self, bytes: u64) -> String {
        let mut unit = 1_u64;
        let mut name = "B";
        for (next, next_name) in UNITS {
            if bytes < next {
                break;
            }
            (unit, name) = (next, next_name);
        }
        let tenths = bytes.saturating_mul(10).checked_div(unit).unwrap_or_default();
        if tenths >= 100 || unit == 1 {
            return format!("{} {name}", tenths / 10);
        }
        let comma = if self.decimal_comma { ',' } else { '.' };
        format!("{}{comma}{} {name}", tenths / 10, tenths % 10)
    }
}

const UNITS: [(u64, &str); 4] = [(1_000, "kB"), (1_000_000, "MB"), (1_000_000_000, "GB"), (1_000_000_000_000, "TB")];

/// Splits a text at its first name in braces: before, the name, after.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

/// Reads the translations of a file of gettext with one line for each text.
fn read(file: &str) -> HashMap<String, String> {
    let mut translations = HashMap::new();
    let mut english = None;
    for line in file.lines() {
        if let Some(text) = quoted(line, "msgid ") {
            english = Some(text);
        } else if let (Some(text), Some(english)) = (quoted(line, "msgstr "), english.take())
            && !(text.is_empty() || english.is_empty())
        {
            translations.insert(english, text);
        }
    }
    translations
}

fn quoted(line: &str, keyword: &str) -> Option<String> {
    let text = line.strip_prefix(keyword)?.trim().strip_prefix('"')?.strip_suffix('"')?;
    Some(text.replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, found);
            } else {
                found.push(path);
            }
        }
    }

    /// The texts in the code, and those of problems.
    fn texts() -> BTreeSet<String> {
        let mut files = Vec::new();
        for program in ["agent/src", "shared/src", "window/src", "window/model/src"] {
            sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(program), &mut files);
        }
        let mut texts: BTreeSet<_> = problems::all().map(str::to_owned).collect();
        for file in files.iter().filter(|file| !file.ends_with("words/mod.rs")) {
            let source = fs::read_to_string(file).expect("read");
            for call in source.split("say(").skip(1).chain(source.split(".text(").skip(1)) {
                let Some(text) = call.trim_start().strip_prefix('"') else { continue };
                texts.insert(text.split('"').next().expect("a text").to_owned());
            }
        }
        texts
    }

    fn names(mut text: &str) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        while let Some((_, name, after)) = placeholder(text) {
            names.insert(name);
            text = after;
        }
        names
    }

    #[test]
    fn each_text_has_a_german_translation_with_its_names() {
        let (texts, german) = (texts(), read(GERMAN));
        assert!(texts.len() > 60, "{}", texts.len());
        let missing: Vec<_> = texts.iter().filter(|text| !german.contains_key(*text)).collect();
        assert!(missing.is_empty(), "without a translation: {missing:#?}");
        let unused: Vec<_> = german.keys().filter(|text| !texts.contains(*text)).collect();
        assert!(unused.is_empty(), "translations of no text: {unused:#?}");
        for (english, german) in &german {
            assert_eq!(names(english), names(german), "{english}");
        }
    }

    #[test]
    fn values_are_not_filled_in_themselves() {
        let words = Words::of_locale("C");
        assert_eq!(words.say("{a} and {b}", &[("a", "{b}"), ("b", "x")]), "{b} and x");
        assert_eq!(words.say("{a} of {missing}", &[("a", "1")]), "1 of …");
    }

    #[test]
    fn the_locale_chooses_the_language() {
        let said = |locale: &str| Words::of_locale(locale).say("The drive is full", &[]);
        assert_eq!((&*said("de_AT.UTF-8"), &*said("de")), ("Das Laufwerk ist voll", "Das Laufwerk ist voll"));
        assert_eq!((&*said("den_CA"), &*said("")), ("The drive is full", "The drive is full"));
    }

    #[test]
    fn sizes_have_the_units_of_drives() {
        let (english, german) = (Words::of_locale("en_GB.UTF-8"), Words::of_locale("de_DE.UTF-8"));
        assert_eq!(english.size(999), "999 B");
        assert_eq!(english.size(1_500_000_000), "1.5 GB");
        assert_eq!(german.size(1_500_000_000), "1,5 GB");
        assert_eq!(english.size(42_000_000), "42 MB");
        assert_eq!(english.size(u64::MAX), "1844674 TB");
    }
}
