//! The verbs that print one answer.

use crate::fake::STEERING;
use crate::run::Fixture;

#[test]
fn without_a_verb_it_shows_the_status() {
    let fixture = Fixture::new();
    let (alone, named) = (fixture.run(&[]), fixture.run(&["status"]));
    assert_eq!((alone.code, &alone.out), (Some(0), &named.out));
    assert!(alone.out.starts_with("butterdockd 0.0.0\n"), "{}", alone.out);
    assert!(alone.out.contains("no jobs are running"), "{}", alone.out);
    let id = fixture.stalled();
    let busy = fixture.run(&[]);
    assert!(busy.out.contains(&id[..8]), "{}", busy.out);
    let status = fixture.json(&["status"]);
    assert_eq!((&status["version"], &status["jobs"][0]["id"]), (&"0.0.0".into(), &id.into()));
    fixture.run(&["cancel", status["jobs"][0]["id"].as_str().expect("an id")]);
}

#[test]
fn volumes_are_listed_with_what_is_free() {
    let fixture = Fixture::new();
    let shown = fixture.run(&["volumes"]).out;
    assert!(shown.contains("tank") && shown.contains("1.50 TiB") && shown.contains("not mounted"), "{shown}");
    let volumes = fixture.json(&["volumes"]);
    let tank = volumes["volumes"].as_array().expect("a list").iter().find(|volume| volume["name"] == "tank");
    assert_eq!(tank.map(|tank| &tank["size"]), Some(&(4_u64 << 40).into()));
}

#[test]
fn names_cannot_steer_the_terminal() {
    let fixture = Fixture::new();
    for words in [&["volumes"][..], &["status"], &["snapshots", "tank"], &["snapshots", STEERING]] {
        for words in [words.to_vec(), [words, &["--json"]].concat()] {
            let ran = fixture.run(&words);
            assert_eq!(ran.code, Some(0), "{words:?}: {}", ran.err);
            assert!(!ran.out.contains('\u{1b}'), "{words:?}: {:?}", ran.out);
        }
    }
    assert!(fixture.run(&["snapshots", "tank"]).out.contains("\\u{1b}[31mred\\xff"));
}

#[test]
fn subvolumes_are_listed_and_their_bytes_are_kept() {
    let fixture = Fixture::new();
    let shown = fixture.run(&["snapshots", "tank"]).out;
    assert!(shown.contains("monday") && shown.contains("2023-11-14 22:13"), "{shown}");
    let list = fixture.json(&["snapshots", "tank"]);
    assert_eq!(list["subvolumes"][1]["name_hex"], "1b5b33316d726564ff");
    assert_eq!(list["subvolumes"][0]["read_only"], true);
}

#[test]
fn jobs_and_history_list_a_job() {
    let fixture = Fixture::new();
    let id = fixture.stalled();
    let jobs = fixture.json(&["jobs"]);
    assert_eq!((&jobs["jobs"][0]["id"], &jobs["jobs"][0]["bytes_total"]), (&id.clone().into(), &10.into()));
    assert!(fixture.run(&["jobs"]).out.contains(&id[..8]));
    assert!(fixture.run(&["history"]).out.contains("no finished jobs yet"));
    assert_eq!(fixture.run(&["cancel", &id[..4]]).code, Some(0));
    let history = fixture.json(&["history"]);
    assert_eq!((&history["history"][0]["id"], &history["history"][0]["result"]), (&id.into(), &"cancelled".into()));
    let shown = fixture.run(&["history"]).out;
    assert!(shown.contains("2023-11-14 22:14") && shown.contains("Cancelled") && shown.contains("1:05"), "{shown}");
}

#[test]
fn a_cancelled_job_is_cancelled_once() {
    let fixture = Fixture::new();
    let id = fixture.stalled();
    let answer = fixture.json(&["cancel", &id]);
    assert_eq!((&answer["id"], &answer["result"]), (&id.clone().into(), &"cancelled".into()));
    let again = fixture.run(&["cancel", &id]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("ended already"), "{}", again.err);
}
