//! Forbids the retired names of types, modules and functions, which the field's own words replaced.

use std::fs;
use std::path::{Path, PathBuf};

use super::modules::sources;

/// Types.
const TYPES: &[&str] = &[
    "Aboard",
    "Alone",
    "Anchor",
    "Asking",
    "Berth",
    "Card",
    "ClockKeeper",
    "Common",
    "Desk",
    "Dock",
    "Errand",
    "Facts",
    "FdShare",
    "Fresh",
    "GivenUp",
    "Hall",
    "Handed",
    "Heard",
    "HeldSpace",
    "Hired",
    "Keeper",
    "Known",
    "Lacking",
    "Lane",
    "Lanes",
    "Learned",
    "Leaving",
    "Left",
    "Letting",
    "Mark",
    "Meddler",
    "Pair",
    "Parked",
    "Patience",
    "Picture",
    "Pin",
    "Place",
    "Prospect",
    "Pulse",
    "Sharers",
    "Showing",
    "Sight",
    "Stage",
    "Standing",
    "Stay",
    "Story",
    "Tally",
    "Teller",
    "Thinning",
    "Ticket",
    "Told",
    "Trouble",
    "Verdict",
    "Why",
    "Wish",
];
/// Modules and functions.
const OTHERS: &[&str] = &[
    "aboard",
    "anchor",
    "asking",
    "berth",
    "card",
    "cloakroom",
    "deliver",
    "desk",
    "dock",
    "errand",
    "errands",
    "facts",
    "foreign",
    "forsake",
    "give_up",
    "given_up",
    "hall",
    "hired",
    "holders",
    "keeper",
    "kept_shared",
    "lane",
    "lanes",
    "leave",
    "let_go",
    "letting",
    "marks",
    "meddler",
    "note_held",
    "parked",
    "picture",
    "prospect",
    "sharers",
    "showing",
    "sight",
    "space_held",
    "stage",
    "standing",
    "stay",
    "story",
    "teller",
    "thin",
    "ticket",
    "told",
    "trouble",
    "twin",
    "twins",
    "users",
    "verdict",
    "verdicts",
    "wish",
    "worth",
];

/// The keywords of declarations.
const DECLARING: &[&str] = &["enum ", "fn ", "mod ", "struct ", "trait ", "type ", "union "];

/// The name that a line declares, if any.
fn declared(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with("//") {
        return None;
    }
    let before = DECLARING.iter().find_map(|word| {
        let at = line.find(word)?;
        // Only visibility and qualifiers may precede the keyword.
        let plain = |letter: char| letter.is_ascii_lowercase() || " ()_:\"".contains(letter);
        line.get(..at)?.chars().all(plain).then(|| line.get(at.saturating_add(word.len())..))?
    })?;
    before.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
}

#[test]
fn no_retired_name_is_declared() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files: Vec<PathBuf> = Vec::new();
    for part in ["cli", "daemon", "dbus", "tests"] {
        sources(&workspace.join(part), &mut files);
    }
    let mut found = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("read");
        let retired = |name: &&str| TYPES.contains(name) || OTHERS.contains(name);
        found.extend(
            text.lines().filter_map(declared).filter(retired).map(|name| format!("{}: {name}", file.display())),
        );
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if OTHERS.contains(&stem) {
            found.push(file.display().to_string());
        }
    }
    assert!(files.len() > 100 && found.is_empty(), "{} files, and in them {found:#?}", files.len());
}

#[test]
fn a_declaration_is_found_behind_its_qualifiers() {
    assert_eq!(declared("    pub(crate) async fn let_go(&self) {"), Some("let_go"));
    assert_eq!(declared("pub struct Desk<'a> {"), Some("Desk"));
    assert_eq!(declared("mod stay;"), Some("stay"));
    assert_eq!(declared("/// pub fn let_go()"), None);
    assert_eq!(declared("let text = \"a struct Desk\";"), None);
    assert_eq!(declared("self.let_go(fn_of(desk));"), None);
}
