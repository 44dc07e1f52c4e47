//! Backups, their history, and what is restored from a drive or imported.

use serde_json::Value;

use crate::run::Fixture;

#[test]
fn every_backup_of_a_drive_is_watched() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["backup", "Attic"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for part in ["backed up home on Attic", "backed up root on Attic", "full, because it is the first"] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    let ran = fixture.run(&["backup", "Attic", "--backup", "fail", "--json"]);
    assert_eq!(ran.code, Some(1));
    let lines = ran.lines();
    assert_eq!(lines[0]["job"]["max_rate"], 20_u64 << 20);
    let last = lines.last().expect("a line");
    assert_eq!((&last["event"], &last["result"]), (&"ended".into(), &"failed".into()));
    let job = &last["job"];
    assert_eq!((&job["kind"], &job["volume"], &job["drive"]), (&"backup".into(), &Value::Null, &"3f2a".into()));
    let history = fixture.json(&["history"]);
    assert_eq!((&history["history"][0]["backup"], &history["history"][0]["volume"]), (&"fail".into(), &Value::Null));
    assert_eq!(fixture.run(&["backup", "gone"]).code, Some(77));
}

#[test]
fn a_backup_is_named_where_no_drive_is() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["backup", "home", "--full"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    assert!(ran.out.contains("backed up home on Attic") && ran.out.contains("because it was requested"), "{}", ran.out);
    assert!(!ran.out.contains("root"), "only this backup: {}", ran.out);
    let ran = fixture.run(&["backup", "home", "--new-source"]);
    assert!(ran.code == Some(0) && ran.out.contains("because it is a new source"), "{ran:?}");
    let ran = fixture.run(&["backup", "photos"]);
    assert!(ran.code == Some(64) && ran.err.contains("none of the drives of the backup \"photos\""), "{ran:?}");
    let ran = fixture.run(&["backup", "nothing"]);
    assert!(ran.code == Some(64) && ran.err.contains("there is no drive \"nothing\""), "{ran:?}");
}

#[test]
fn the_history_is_listed_in_pages_and_by_drive_and_backup() {
    let fixture = Fixture::new();
    assert_eq!(fixture.run(&["backup", "Attic"]).code, Some(0));
    let listed =
        |words: &[&str]| fixture.json(&[&["history"], words].concat())["history"].as_array().expect("a list").len();
    assert_eq!(listed(&[]), 2);
    assert_eq!(listed(&["--limit", "1"]), 1);
    assert_eq!((listed(&["--backup", "root"]), listed(&["--backup", "photos"])), (1, 0));
    for drive in ["Loft", "3f2a"] {
        assert_eq!(listed(&["--drive", drive]), 2, "{drive}");
    }
    assert_eq!(listed(&["--drive", "Lost"]), 0, "one that is away");
    let end = fixture.json(&["history"])["history"][0]["end_time"].as_u64().expect("a time");
    assert_eq!((listed(&["--before", &end.to_string()]), listed(&["--before", "2099-01-01 12:00"])), (0, 2));
    let ran = fixture.run(&["history", "--before", "yesterday"]);
    assert!(ran.code == Some(64) && ran.err.contains("\"yesterday\" is no time"), "{ran:?}");
    let ran = fixture.run(&["history", "--limit", "1001"]);
    assert!(ran.code == Some(64) && ran.err.contains("1 to 1000"), "{ran:?}");
}

#[test]
fn detached_backups_print_an_id_each() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["backup", "Attic", "--backup", "stall", "--detach"]);
    let id = ran.out.trim().to_owned();
    assert!(uuid::Uuid::parse_str(&id).is_ok(), "{ran:?}");
    assert!(fixture.run(&["jobs"]).out.contains("stall on Attic"));
    assert_eq!(fixture.run(&["cancel", &id]).code, Some(0));
    assert_eq!(fixture.run(&["backup", "Attic", "--detach"]).out.lines().count(), 2);
}

#[test]
fn backups_lists_due_backups_and_estimates() {
    let fixture = Fixture::new();
    let plain = fixture.run(&["backups"]).out;
    for part in ["home", "Attic", "Lost", "2023-11-14 22:13", "never", "photos: no drive is enrolled"] {
        assert!(plain.contains(part), "{part}: {plain}");
    }
    assert!(!plain.contains("MiB"), "{plain}");
    let dry = fixture.run(&["backups", "--dry-run"]).out;
    assert!(dry.contains("5.00 MiB of changes") && dry.contains("5.00 MiB (full)"), "{dry}");
    assert!(dry.contains("no snapshot of it yet\\u{1b}"), "{dry:?}");
    let list = fixture.json(&["backups", "--dry-run"]);
    assert_eq!(
        (&list["backups"][0]["estimate"], &list["backups"][0]["incremental"]),
        (&(5 << 20).into(), &true.into())
    );
    assert_eq!((&list["backups"][1]["attached"], &list["backups"][1]["due"]), (&false.into(), &true.into()));
    assert_eq!(list["backups"][2]["drive"], Value::Null);
}

#[test]
fn a_snapshot_is_restored_by_its_name_or_its_uuid() {
    let fixture = Fixture::new();
    let shown = fixture.run(&["snapshots", "--drive", "Attic"]).out;
    assert!(shown.contains("tuesday") && shown.contains("bb11"), "{shown}");
    for part in ["left over", "butterdock snapshots delete --drive 3f2a", "\n  butterdock/home/tuesday\n"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.contains("this machine") && shown.contains("machine 1a2b3c4d"), "{shown}");
    let list = fixture.json(&["snapshots", "--drive", "Attic"]);
    let of = |row: usize, key: &str| list["snapshots"][row][key].clone();
    assert_eq!((of(0, "pinned"), of(0, "origin"), of(0, "machine")), (true.into(), "this-machine".into(), Value::Null));
    assert_eq!((of(1, "origin"), of(2, "origin")), (Value::Null, "other-machine".into()));
    assert_eq!(of(2, "machine"), "1a2b3c4d-0000-8000-8000-000000000000");
    let ran = fixture.run(&["restore", "Attic", "tuesday", "tank", "--as", "back"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("restore from Attic into tank") && ran.out.contains("restored"), "{}", ran.out);
    assert_eq!(fixture.fake.calls(), r#"Restore 3f2a "aa22" "tank" {"name": <[byte 0x62, 0x61, 0x63, 0x6b]>}"#);
    let ran = fixture.run(&["restore", "Attic", "monday", "tank"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("aa11, bb11"), "{}", ran.err);
    assert_eq!(fixture.run(&["restore", "Attic", "bb", "tank", "--detach"]).code, Some(0));
    assert_eq!(fixture.run(&["restore", "Attic", "sunday", "tank"]).code, Some(64));
    assert_eq!(fixture.run(&["restore", "Attic", "tuesday", "tnak"]).code, Some(1));
}

#[test]
fn streams_are_listed_and_imported() {
    let fixture = Fixture::new();
    let shown = fixture.run(&["import", "Attic", "--list"]).out;
    assert!(shown.contains("mon\\u{1b}[2J\\xff.send"), "{shown:?}");
    assert_eq!(fixture.json(&["import", "Attic", "--list"])["streams"][0]["size"], 7);
    let ran = fixture.run(&["import", "Attic", "tank", "--file", "mon.send", "--verify"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("imported") && fixture.fake.calls().contains(r#""verify": <true>"#), "{}", ran.out);
    assert_eq!(fixture.run(&["import", "Attic"]).code, Some(64), "a volume, or --list");
    assert_eq!(fixture.run(&["import", "Attic", "tank", "--file", "a/b"]).code, Some(64));
}
