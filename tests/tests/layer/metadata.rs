//! The part of bitbake's language that the layer uses: assignments over several lines, `inherit` and `require`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// One `NAME = "value"`, whatever the operator.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// With its overrides and without a flag: `FILES:${PN}-cli`.
    pub(crate) name: String,
    /// The text in square brackets after the name.
    pub(crate) flag: Option<String>,
    /// Between the quotes, with the lines joined.
    pub(crate) value: String,
}

/// A recipe, an append, an include or a configuration.
#[derive(Debug)]
pub(crate) struct Metadata {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) assignments: Vec<Assignment>,
}

impl Metadata {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut assignments = Vec::new();
        for line in logical(&text) {
            assignments.extend(assignment(&line));
        }
        ensure!(!text.is_empty(), "{} is empty", path.display());
        Ok(Self { path: path.to_owned(), text, assignments })
    }

    /// All values that are assigned to a name, joined, without flags.
    pub(crate) fn get(&self, name: &str) -> String {
        let all = self.assignments.iter().filter(|one| one.name == name && one.flag.is_none());
        all.map(|one| one.value.trim()).collect::<Vec<_>>().join(" ")
    }

    /// The words after every `inherit`, `require` or `include`.
    pub(crate) fn words(&self, keyword: &str) -> Vec<&str> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix(keyword)?.strip_prefix(' '));
        lines.flat_map(str::split_whitespace).collect()
    }
}

/// Lines without comments and without the bodies of functions; a line that ends in a backslash is joined with the next.
fn logical(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut continues = false;
    let mut inside = false;
    for line in text.lines() {
        if inside {
            inside = line != "}";
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        if line.ends_with("() {") {
            inside = true;
            continue;
        }
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        match lines.last_mut() {
            Some(last) if continues => last.push_str(part),
            _ => lines.push(part.to_owned()),
        }
        continues = more;
    }
    lines
}

fn assignment(line: &str) -> Option<Assignment> {
    let (left, right) = line.split_once('"')?;
    let value = right.strip_suffix('"')?.to_owned();
    let name = left.trim_end().strip_suffix('=')?;
    let name = name.trim_end_matches([':', '?', '+', '.', '=']).trim();
    let (name, flag) = match name.split_once('[') {
        Some((name, flag)) => (name, Some(flag.trim_end_matches(']').to_owned())),
        None => (name, None),
    };
    (!name.contains(' ')).then(|| Assignment { name: name.to_owned(), flag, value })
}

#[test]
fn assignments_are_read_with_flags_but_not_in_functions() {
    let text = "A = \"1\"\nB:append = \" \\\n  x \\\n\"\n# C = \"no\"\ndo_it() {\n    D=\"no\"\n}\nE[a-1] = \"2\"\nF ??= \"\"\n";
    let read: Vec<_> = logical(text).iter().filter_map(|line| assignment(line)).collect();
    let all: Vec<_> = read.iter().map(|one| (one.name.as_str(), one.flag.as_deref(), one.value.trim())).collect();
    assert_eq!(all, [("A", None, "1"), ("B:append", None, "x"), ("E", Some("a-1"), "2"), ("F", None, "")]);
}
