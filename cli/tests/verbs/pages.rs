//! Compares the man page and the completions of the build with the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::run::Fixture;

const SHARE: &str = env!("BUTTERDOCK_SHARE");

const VERBS: [&str; 44] = [
    "status",
    "receive",
    "jobs",
    "watch",
    "cancel",
    "history",
    "volumes",
    "snapshots",
    "snapshots delete",
    "snapshots hold",
    "snapshots release",
    "drives",
    "enrol",
    "forget",
    "unlock",
    "mount",
    "backup",
    "backup add",
    "backup set",
    "backup rename",
    "backup remove",
    "settings",
    "settings set",
    "volume",
    "volume add",
    "volume set",
    "volume remove",
    "destination",
    "destination add",
    "destination set",
    "destination remove",
    "safely-remove",
    "verify",
    "backups",
    "unpin",
    "trust-clock",
    "metrics",
    "notify",
    "notify test",
    "restore",
    "ls",
    "cat",
    "versions",
    "import",
];

fn help(fixture: &Fixture, verb: &str) -> String {
    let words = verb.split(' ').chain(["--help"]).collect::<Vec<_>>();
    fixture.run(&words).out
}

fn made(name: &str) -> String {
    fs::read_to_string(Path::new(SHARE).join(name)).expect("made at the build")
}

/// The words of a help text that begin with `--`.
fn flags(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| letter.is_whitespace() || "[],=".contains(letter));
    words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned).collect()
}

/// A verb's part of the page.
fn part(page: &str, verb: &str) -> String {
    let part = page.split(&format!(".SS {verb}\n")).nth(1).unwrap_or_else(|| panic!("no part on {verb}"));
    part.split("\n.S").next().unwrap_or_default().replace("\\-", "-").replace("\\fR", " ").replace("\\fB", " ")
}

#[test]
fn the_page_has_exactly_the_verbs_and_flags() {
    let fixture = Fixture::new();
    let page = made("man/man1/butterdock.1");
    let common = BTreeSet::from(["--json", "--help", "--version"].map(str::to_owned));
    for verb in VERBS {
        let help = help(&fixture, verb);
        let known = flags(&help).difference(&common).cloned().collect::<BTreeSet<_>>();
        assert_eq!(flags(&part(&page, verb)), known, "{verb}");
    }
    assert_eq!(page.matches("\n.SS ").count(), VERBS.len());
    let head = page.split(".SH VERBS").next().unwrap_or_default().replace("\\-", "-");
    assert!(common.iter().all(|flag| head.contains(flag.as_str())), "{head}");
}

#[test]
fn groff_reads_the_page_without_a_warning() {
    let page = Path::new(SHARE).join("man/man1/butterdock.1");
    let Ok(done) = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(page).output() else {
        return;
    };
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
}

#[test]
fn the_completions_have_every_verb_and_flag() {
    let fixture = Fixture::new();
    let help = VERBS.map(|verb| help(&fixture, verb)).concat();
    for (shell, name) in [
        ("bash", "bash-completion/completions/butterdock"),
        ("zsh", "zsh/site-functions/_butterdock"),
        ("fish", "fish/vendor_completions.d/butterdock.fish"),
    ] {
        let text = made(name);
        for word in VERBS.iter().flat_map(|verb| verb.split(' ')) {
            assert!(text.contains(word), "{shell}: {word}");
        }
        for flag in flags(&help) {
            assert!(text.contains(flag.trim_start_matches('-')), "{shell}: {flag}");
        }
        let parsed = Command::new(shell).arg("-n").arg(Path::new(SHARE).join(name)).output();
        assert!(parsed.map_or(true, |done| done.status.success()), "{shell} cannot read {name}");
    }
}

/// Every key of an object, those of objects within as well.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    if let Some(object) = value.as_object() {
        found.extend(object.keys().cloned());
    }
    let within = value.as_object().into_iter().flat_map(|object| object.values());
    within.chain(value.as_array().into_iter().flatten()).for_each(|value| keys(value, found));
}

#[test]
fn the_page_documents_every_json_key() {
    let fixture = Fixture::new();
    let page = made("man/man1/butterdock.1");
    let mut found = BTreeSet::new();
    let ran = fixture.piped(&["receive", "tank", "--json"], "fail");
    ran.out.lines().for_each(|line| keys(&serde_json::from_str(line).expect("an object"), &mut found));
    for verb in ["status", "volumes", "jobs", "history", "drives", "backups"] {
        keys(&fixture.json(&[verb]), &mut found);
    }
    // The keys within are those of butterdock.toml(5).
    found.extend(fixture.json(&["settings"]).as_object().expect("an object").keys().cloned());
    keys(&fixture.json(&["backup", "set", "home", "protect=2d"]), &mut found);
    keys(&fixture.json(&["snapshots", "tank"]), &mut found);
    for words in [
        &["snapshots", "--drive", "3f2a"][..],
        &["snapshots", "hold", "--drive", "3f2a", "tuesday"],
        &["import", "3f2a", "--list"],
        &["forget", "3f2a"],
        &["settings", "set", "max_jobs=2"],
        &["volume", "remove", "tank"],
        &["notify"],
        &["notify", "test", "ann"],
    ] {
        keys(&fixture.json(words), &mut found);
    }
    for key in found {
        assert!(page.contains(&format!("\\fI{key}\\fR")), "{key}");
    }
}
