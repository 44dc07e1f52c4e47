//! Which room of the daemon may know which: every `crate::…` in the sources, against one table.
//!
//! Directions between crates are Cargo's to guard. Inside one, nothing but this keeps the bus out of the jobs and the
//! door out of the rooms.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, and the rooms that it may know. Only the door knows `app`, and only the room that puts the service together
/// knows `bus`.
const MAY_KNOW: [(&str, &[&str]); 25] = [
    ("main", &["app", "args"]),
    ("app", &["args", "config", "dump", "lines", "receive", "serve", "status"]),
    (
        "serve",
        &[
            "args",
            "bus",
            "catalogue",
            "clock",
            "config",
            "drives",
            "hooks",
            "jobs",
            "lines",
            "status",
            "volumes",
            "worker",
        ],
    ),
    ("bus", &["backups", "clock", "config", "drives", "foreign", "jobs", "volumes"]),
    (
        "jobs",
        &[
            "anchor",
            "backups",
            "catalogue",
            "clock",
            "config",
            "drives",
            "durable",
            "foreign",
            "hooks",
            "volumes",
            "worker",
        ],
    ),
    ("worker", &["anchor", "foreign"]),
    ("volumes", &["anchor", "config", "configured"]),
    ("drives", &["anchor", "backups", "catalogue", "config", "foreign", "hooks", "policy"]),
    ("hooks", &["config", "lines"]),
    ("policy", &["config", "drives"]),
    ("backups", &["configured"]),
    ("clock", &["catalogue", "durable"]),
    ("config", &["backups", "configured", "lines", "status", "volumes"]),
    ("receive", &["args", "input", "lines", "status", "zone"]),
    ("dump", &["args", "input", "lines", "status", "zone"]),
    ("anchor", &[]),
    ("args", &[]),
    ("catalogue", &[]),
    ("configured", &[]),
    ("durable", &[]),
    ("foreign", &[]),
    ("input", &[]),
    ("lines", &[]),
    ("status", &[]),
    ("zone", &[]),
];

pub(crate) fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a source names behind `crate::`, alone or in braces; comments name any.
fn known(source: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.concat();
    let mut rooms = BTreeSet::new();
    for behind in code.split("crate::").skip(1) {
        let Some(list) = behind.strip_prefix('{') else {
            rooms.insert(word(behind));
            continue;
        };
        let mut depth = 0_usize;
        let mut at_a_name = true;
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_a_name = true,
                _ if at_a_name && !letter.is_whitespace() => {
                    rooms.insert(word(&list[at..]));
                    at_a_name = false;
                }
                _ => {}
            }
        }
    }
    rooms
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

#[test]
fn rooms_know_only_those_that_the_design_lets_them_know() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let within = file.strip_prefix(&root).expect("below it");
        let first = within.components().next().expect("a name").as_os_str();
        let room = Path::new(first).file_stem().expect("a name").to_str().expect("text");
        let allowed = MAY_KNOW.iter().find(|(name, _)| *name == room);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{room} is no room of the table"));
        for other in known(&fs::read_to_string(&file).expect("read")) {
            if other != room && !allowed.contains(&other.as_str()) {
                wrong.push(format!("{}: {other}", within.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "rooms that must not be known there: {wrong:#?}");
}

#[test]
fn a_room_is_found_alone_in_braces_and_over_lines() {
    let rooms = known("use crate::app::USAGE;\nuse crate::{\n    bus::{self, Hall}, lines,\n};\n// crate::zone\n");
    assert_eq!(rooms, ["app", "bus", "lines"].map(str::to_owned).into());
}
