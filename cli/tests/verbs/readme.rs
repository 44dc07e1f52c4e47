//! Checks that the commands in README.md are valid.

use crate::run::command;

const README: &str = include_str!("../../../README.md");

/// What the program ends with when it does not understand its arguments.
const USAGE: i32 = 64;

/// The words behind `butterdock`, of every line that tells to type it; comments and what it reads from are left out.
fn documented() -> Vec<Vec<&'static str>> {
    let mut found = Vec::new();
    for line in README.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).flat_map(str::lines) {
        let line = line.split(" #").next().unwrap_or_default();
        let typed = line.rsplit('|').next().unwrap_or_default().trim();
        let typed =
            ["sudo ", "ssh nas "].iter().fold(typed, |typed, before| typed.strip_prefix(before).unwrap_or(typed));
        let mut words = typed.split_whitespace();
        if words.next() == Some("butterdock") {
            found.push(words.collect());
        }
    }
    found
}

#[test]
fn every_command_of_the_readme_is_understood() {
    let documented = documented();
    assert!(documented.len() >= 15, "{documented:?}");
    for words in documented {
        // There is no bus: what is understood fails for want of it, or of a file.
        let done = command("unix:path=/nonexistent", &words).output().expect("it runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.code().is_some_and(|code| code != 0 && code != USAGE), "{words:?}: {said}");
    }
}
