//! Tests that the shipped example has exactly the keys that the parser knows.

use std::collections::BTreeSet;

use super::file::parse;

const EXAMPLE: &str = include_str!("../../../data/butterdock.toml");

/// Each table: an unknown key in it, and where the example has it.
const TABLES: [(&str, &[&str]); 9] = [
    ("zzz = 1", &[]),
    ("[queue]\nzzz = 1", &["queue"]),
    ("[streams]\nzzz = 1", &["streams"]),
    ("[worker]\nzzz = 1", &["worker"]),
    ("[paths]\nzzz = 1", &["paths"]),
    ("[drives]\nzzz = 1", &["drives"]),
    ("[[volume]]\nzzz = 1", &["volume"]),
    ("[[backup]]\nzzz = 1", &["backup"]),
    ("[[backup]]\nkeep = { zzz = 1 }", &["backup", "keep"]),
];

/// Those whose default is an empty list, and which the example therefore has in words.
const IN_WORDS: [&str; 2] = ["[drives]\nmatch = [ { zzz = 1 } ]", "[drives]\nkey_file = [ { zzz = 1 } ]"];

/// The keys that the parser would have taken in place of one that it does not know.
fn known(text: &str) -> BTreeSet<String> {
    let what = parse(text).expect_err("zzz is unknown").what;
    let (unknown, known) = what.split_once(", expected ").unwrap_or_else(|| panic!("{what}"));
    assert_eq!(unknown, "unknown field `zzz`");
    known.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The keys of a table of the example, with every line that is a setting set.
fn documented(path: &[&str]) -> BTreeSet<String> {
    let set = |line: &str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned();
    let text = EXAMPLE.lines().map(set).collect::<Vec<_>>().join("\n");
    let mut table = toml::Value::Table(text.parse::<toml::Table>().expect("TOML"));
    for name in path {
        table = table.get(name).unwrap_or_else(|| panic!("{name} is not in the example")).clone();
        if let toml::Value::Array(all) = table {
            table = all.into_iter().next().unwrap_or_else(|| toml::Value::Table(toml::Table::new()));
        }
    }
    table.as_table().expect("a table").keys().cloned().collect()
}

#[test]
fn the_example_has_exactly_the_parsers_keys() {
    for (text, path) in TABLES {
        assert_eq!(documented(path), known(text), "{path:?}");
    }
}

#[test]
fn the_example_describes_entries_of_empty_lists() {
    for key in IN_WORDS.into_iter().flat_map(known) {
        assert!(EXAMPLE.lines().any(|line| line.starts_with("# ") && line.contains(key.as_str())), "{key}");
    }
}
