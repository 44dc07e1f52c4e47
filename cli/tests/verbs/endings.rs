//! Exit statuses, and the messages with them.

use std::process::Stdio;

use butterdock_fixtures::Bus;
use serde_json::Value;

use crate::run::{Fixture, Ran, command};

#[test]
fn every_verb_exits_with_69_without_a_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let bus = Bus::without_policy(folder.path()).expect("a bus");
    for words in [
        &[][..],
        &["status"],
        &["receive", "tank"],
        &["jobs"],
        &["watch"],
        &["watch", "aa"],
        &["cancel", "aa"],
        &["history"],
        &["volumes"],
        &["snapshots", "tank"],
        &["snapshots", "--drive", "3f2a"],
        &["drives"],
        &["enrol", "3f2a"],
        &["forget", "3f2a"],
        &["unlock", "3f2a", "--key-file", "-"],
        &["backup", "3f2a"],
        &["safely-remove", "3f2a"],
        &["verify", "3f2a"],
        &["backups"],
        &["restore", "3f2a", "monday", "tank"],
        &["import", "3f2a", "tank"],
    ] {
        let ran = Ran::of(&mut command(&bus.address(), words));
        assert_eq!((ran.code, ran.out.as_str()), (Some(69), ""), "{words:?}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{words:?}: {}", ran.err);
        assert!(ran.err.contains("systemctl start butterdockd"), "{words:?}: {}", ran.err);
    }
}

#[test]
fn without_a_bus_it_exits_with_69() {
    let ran = Ran::of(&mut command("unix:path=/nonexistent/bus", &["status"]));
    assert_eq!((ran.code, ran.err.lines().count()), (Some(69), 1), "{}", ran.err);
    assert!(ran.err.contains("BUTTERDOCK_BUS_ADDRESS"), "{}", ran.err);
    let ran = Ran::of(&mut command("nonsense", &["status"]));
    assert_eq!(ran.code, Some(69), "{}", ran.err);
}

#[test]
fn a_usage_error_exits_with_64_and_help_with_0() {
    let fixture = Fixture::new();
    for words in [&["nonsense"][..], &["receive"], &["cancel"], &["receive", "tank", "a", "b"], &["--frob"]] {
        assert_eq!(fixture.run(words).code, Some(64), "{words:?}");
    }
    for words in [&["--help"][..], &["receive", "--help"], &["--version"]] {
        let ran = fixture.run(words);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}");
    }
    let ran = fixture.run(&["watch", "aa"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("butterdock history"), "{}", ran.err);
}

#[test]
fn an_unauthorized_caller_exits_with_77() {
    let fixture = Fixture::new();
    let ran = fixture.piped(&["receive", "locked"], "ok");
    assert_eq!(ran.code, Some(77));
    assert!(ran.err.contains("may not receive") && ran.err.contains("as root"), "{}", ran.err);
}

#[test]
fn a_refusal_is_an_object_with_json() {
    let fixture = Fixture::new();
    let ran = fixture.piped(&["receive", "tnak", "--json"], "ok");
    let object = serde_json::from_str::<Value>(&ran.out).expect("an object");
    assert_eq!(object["error"]["name"], "org.butterdock.Butterdock1.Error.NotFound");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("butterdock volumes"), "{}", ran.err);
    assert_eq!(fixture.run(&["snapshots", "tnak"]).code, Some(1));
}

#[test]
fn an_invalid_name_exits_with_64() {
    let fixture = Fixture::new();
    let ran = fixture.piped(&["receive", "tank", "--as", "a/b"], "ok");
    assert_eq!(ran.code, Some(64), "{}", ran.err);
    assert!(ran.err.contains("a/b"), "{}", ran.err);
}

#[test]
fn a_missing_file_is_named() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["receive", "tank", "/nonexistent/\u{1b}[2J"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("/nonexistent/\\u{1b}[2J"), "{}", ran.err);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let fixture = Fixture::new();
    let mut child = fixture.command(&["volumes"]).stdout(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
