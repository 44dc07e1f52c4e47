//! The verbs that hold, release and delete snapshots.

use crate::drives::typed;
use crate::run::Fixture;

#[test]
fn the_list_shows_holds_and_their_reasons() {
    let fixture = Fixture::new();
    let shown = fixture.run(&["snapshots", "--drive", "Attic"]).out;
    assert!(shown.contains("HELD") && shown.contains("before the move"), "{shown}");
    let list = fixture.json(&["snapshots", "--drive", "Attic"]);
    let row = &list["snapshots"][2];
    assert_eq!((row["held"].as_bool(), row["held_reason"].as_str()), (Some(true), Some("before the move")));
    assert!(row["held_since"].is_u64() && list["snapshots"][0]["held"].is_null(), "{list}");
}

#[test]
fn a_snapshot_is_held_and_released_by_name() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["snapshots", "hold", "--drive", "Attic", "tuesday", "--reason", "tax"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "the snapshot tuesday is held: no rule deletes it\n"));
    let ran = fixture.json(&["snapshots", "release", "--drive", "Attic", "aa22"]);
    assert_eq!((ran["uuid"].as_str(), ran["result"].as_str()), (Some("aa22"), Some("released")));
    let list = fixture.json(&["snapshots", "--source", "home"]);
    assert_eq!((list["source"].as_str(), list["snapshots"][0]["uuid"].as_str()), (Some("home"), Some("aa22")));
    let ran = fixture.json(&["snapshots", "hold", "--source", "home", "tuesday"]);
    assert_eq!(ran["result"].as_str(), Some("held"));
    let ran = fixture.run(&["snapshots", "--source", "hom"]);
    assert!(ran.code == Some(64) && ran.err.contains("there is no backup hom"), "{}", ran.err);
    let ran = fixture.run(&["snapshots", "hold", "--drive", "Attic", "monday"]);
    assert!(ran.code == Some(64) && ran.err.contains("ambiguous"), "{} {}", ran.out, ran.err);
}

#[test]
fn a_deletion_asks_and_says_what_it_frees() {
    let fixture = Fixture::new();
    let words = ["snapshots", "delete", "--drive", "Attic", "tuesday", "aa11"];
    let ran = fixture.run(&words);
    assert!(ran.code == Some(64) && ran.err.contains("add --yes"), "{} {}", ran.out, ran.err);
    assert!(ran.err.contains("Deleting 2 snapshots frees at most 10.00 MiB"), "{}", ran.err);
    let (code, shown) = typed(&fixture, &words, "no\n", false);
    assert!(code == Some(64) && shown.contains("nothing was deleted"), "{shown}");
    let (code, shown) = typed(&fixture, &words, "yes\n", false);
    assert_eq!(code, Some(0), "{shown}");
    for part in ["tuesday of home", "monday of home", "Deleting 2 snapshots frees at most 10.00 MiB"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let ran = fixture.run(&[&words[..], &["--yes"]].concat());
    assert_eq!(ran.code, Some(0), "{} {}", ran.out, ran.err);
    let ran = fixture.run(&["snapshots", "delete", "--drive", "Attic", "bb11", "--yes"]);
    assert!(ran.code == Some(1) && ran.err.contains("the snapshot is held"), "{} {}", ran.out, ran.err);
}
