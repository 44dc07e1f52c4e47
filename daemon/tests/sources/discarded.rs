//! Forbids `.unwrap_or_default();` as a statement: code that discards a result gives the reason.

use std::fs;
use std::path::Path;

use super::modules::sources;

const DISCARDING: &str = ".unwrap_or_default();";

/// The part of the statement before `end`, without the contents of parentheses, brackets and braces.
fn statement(source: &str, end: usize) -> String {
    let mut depth = 0_usize;
    let mut outside = Vec::new();
    let before = &source[..end];
    for (at, letter) in before.char_indices().rev() {
        let behind = before[at..].chars().skip(1).collect::<String>();
        // A block at the end of a line that no method call follows is another statement.
        let ends = letter == '}' && behind.starts_with('\n') && !behind.trim_start().starts_with('.');
        match letter {
            ';' if depth == 0 => break,
            '}' if depth == 0 && ends => break,
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' if depth == 0 => break,
            '(' | '[' | '{' => depth -= 1,
            _ if depth == 0 => outside.push(letter),
            _ => {}
        }
    }
    outside.iter().rev().collect()
}

/// The lines on which a result is discarded.
fn discarded(source: &str) -> Vec<usize> {
    let used = |statement: &str| statement.contains('=') || statement.contains("return ");
    let ends = source.match_indices(DISCARDING).map(|(at, _)| at);
    ends.filter(|&at| !used(&statement(source, at))).map(|at| source[..at].lines().count()).collect()
}

#[test]
fn no_result_is_discarded_without_a_reason() {
    let daemon = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(daemon, &mut files);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("tests/sources/discarded.rs")) {
        let lines = discarded(&fs::read_to_string(file).expect("read"));
        found.extend(lines.into_iter().map(|line| format!("{}:{line}", file.display())));
    }
    assert!(files.len() > 100 && found.is_empty(), "handle or log these, or give the reason (best_effort): {found:#?}");
}

#[test]
fn a_discarded_result_differs_from_a_used_one() {
    assert_eq!(
        discarded("fn f() {\n    if let Some(x) = y {\n    }\n    g(|| { 1 })\n        .unwrap_or_default();\n}\n"),
        [5]
    );
    assert_eq!(discarded("fn f() {\n    a(b == c).unwrap_or_default();\n}\n"), [2]);
    assert_eq!(discarded("let x = g(|| {\n    1;\n}).unwrap_or_default();\n"), [0_usize; 0]);
    assert_eq!(discarded("x = y.unwrap_or_default();\nreturn z.unwrap_or_default();\n"), [0_usize; 0]);
}
