//! The verbs about settings.

use crate::fake::STEERING;
use crate::run::Fixture;

#[test]
fn settings_are_shown_with_where_each_is_from() {
    let fixture = Fixture::new();
    let shown = fixture.run(&["settings"]).out;
    let has = |words: &[&str]| shown.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["max_jobs", "4", "default"]), "{shown}");
    assert!(has(&["backup \"home\" to", "[\"Blue\"]", "administrator"]), "{shown}");
    assert!(has(&["backup \"home\" source", "maker"]) && !shown.contains('\u{1b}'), "{shown:?}");
    assert!(
        has(&["/etc/butterdock/butterdock.toml", "revision 1a2b"]) && has(&["only in the files", "paths"]),
        "{shown}"
    );
    let json = fixture.json(&["settings"]);
    assert_eq!((&json["revision"], &json["values"]["max_jobs"]), (&"1a2b".into(), &4.into()));
    assert_eq!(json["values"]["backup"][0]["source"], STEERING);
    assert_eq!(json["origins"]["backup"][0]["to"], "administrator");
}

#[test]
fn a_backup_is_added_without_an_editor() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["backup", "add", "etc", "/etc", "protect=2d", "--to", "Blue", "Red", "--daily", "02:00"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("the backup etc is added; `butterdock backup etc` runs it now"), "{}", ran.out);
    assert!(ran.err.contains("the backup etc: no enrolled drive is called"), "{}", ran.err);
    let calls = fixture.fake.calls();
    for part in ["SetBackup", "\"daily 02:00\"", "[\"Blue\", \"Red\"]", "\"/etc\"", "\"2d\"", "\"create\": <true>"] {
        assert!(calls.contains(part), "{part}: {calls}");
    }
    let again = fixture.run(&["backup", "add", "home", "/home", "--to", "Blue"]);
    assert_eq!((again.code, again.err.contains("already")), (Some(1), true), "{}", again.err);
}

#[test]
fn settings_of_a_backup_are_changed_and_removed() {
    let fixture = Fixture::new();
    let json = fixture.json(&["backup", "set", "home", "keep=daily=7", "protect="]);
    assert_eq!((&json["result"], &json["revision"]), (&"changed".into(), &"3c4d".into()));
    assert_eq!(json["warnings"][0]["code"], "destination-unknown");
    let calls = fixture.fake.calls();
    assert!(calls.contains("\"daily\": <int64 7>") && calls.contains("[\"protect\"]"), "{calls}");
    let stale = fixture.run(&["backup", "set", "home", "protect=2d", "--revision", "old"]);
    assert_eq!(stale.code, Some(1));
    assert!(stale.err.contains("butterdock settings"), "{}", stale.err);
    let renamed = fixture.run(&["backup", "rename", "home", "family", "--revision", "1a2b"]);
    assert!(renamed.out.contains("the backup family is renamed; its snapshots"), "{}{}", renamed.out, renamed.err);
    let calls = fixture.fake.calls();
    assert!(calls.contains("\"rename_from\": <\"home\">") && calls.contains("\"revision\": <\"1a2b\">"), "{calls}");
    assert_eq!(fixture.json(&["backup", "remove", "home"])["revision"], "5e6f");
    assert_eq!(fixture.run(&["backup", "set", "home", "protect"]).code, Some(64));
}
