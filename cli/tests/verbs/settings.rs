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
    let ran =
        fixture.run(&["backup", "add", "etc", "/etc", "protect=2d", "--to", "Blue", "--to", "Red", "--daily", "02:00"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("the backup etc is added; `butterdock backup etc` runs it now"), "{}", ran.out);
    assert!(ran.err.contains("the backup etc: no enrolled drive or other destination is called"), "{}", ran.err);
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

#[test]
fn volumes_destinations_and_defaults_are_changed_without_an_editor() {
    let fixture = Fixture::new();
    let ran = |words: &[&str]| {
        let ran = fixture.run(words);
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{words:?}");
        (ran.out, fixture.fake.calls())
    };
    let (out, calls) = ran(&["volume", "add", "second", "/srv/second", "--uuid", "1111"]);
    assert!(out.starts_with("the volume second is added"), "{out}");
    for part in ["SetVolume", "\"path\": <\"/srv/second\">", "\"uuid\": <\"1111\">", "\"create\": <true>"] {
        assert!(calls.contains(part), "{part}: {calls}");
    }
    let (out, calls) = ran(&["volume", "set", "second", "uuid="]);
    assert!(out == "the volume second is changed\n" && calls.contains("[\"uuid\"]"), "{out}{calls}");
    assert!(ran(&["volume", "remove", "second"]).1.contains("RemoveVolume"));

    let (out, calls) = ran(&["destination", "add", "pool", "--volume", "/srv/pool", "--uuid", "2222"]);
    assert!(out.contains("`butterdock backup add NAME SOURCE --to pool` backs up to it"), "{out}");
    for part in ["SetDestination", "\"kind\": <\"volume\">", "\"path\": <\"/srv/pool\">", "\"uuid\": <\"2222\">"] {
        assert!(calls.contains(part), "{part}: {calls}");
    }
    let (_, calls) = ran(&["destination", "add", "usb", "--drive", "Attic", "on_finish=keep"]);
    assert!(calls.contains("\"kind\": <\"drive\">") && calls.contains("\"on_finish\": <\"keep\">"), "{calls}");
    let none = fixture.run(&["destination", "add", "pool", "--volume", "/proc"]);
    assert_eq!(none.code, Some(64));
    assert!(none.err.contains("no btrfs filesystem is mounted at /proc"), "{}", none.err);
    assert_eq!(fixture.run(&["destination", "add", "pool"]).code, Some(64));
    let (_, calls) = ran(&["destination", "set", "usb", "on_finish=unmount", "--revision", "1a2b"]);
    assert!(calls.contains("\"revision\": <\"1a2b\">"), "{calls}");
    assert!(ran(&["destination", "remove", "usb"]).1.contains("RemoveDestination"));

    let (out, calls) = ran(&["settings", "set", "max_jobs=2", "drives.on_finish=keep", "worker.nice="]);
    assert_eq!(out, "the settings are changed\n");
    for part in ["SetDefaults", "\"max_jobs\": <int64 2>", "\"on_finish\": <\"keep\">", "[\"worker.nice\"]"] {
        assert!(calls.contains(part), "{part}: {calls}");
    }
    let json = fixture.json(&["settings", "set", "max_jobs=2"]);
    assert_eq!((&json["result"], &json["revision"], &json["name"]), (&"changed".into(), &"3c4d".into(), &().into()));
}
