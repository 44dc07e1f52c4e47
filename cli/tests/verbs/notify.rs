//! The verb about notifications.

use crate::run::Fixture;

#[test]
fn channels_are_listed_with_their_problems() {
    let fixture = Fixture::new();
    let shown = fixture.run(&["notify"]).out;
    let has = |words: &[&str]| shown.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(has(&["ann", "mail", "0"]) && has(&["webhook", "2", "1", "none yet"]), "{shown}");
    assert!(has(&["notifications over", "fail"]) && !shown.contains('\u{1b}'), "{shown:?}");
    let json = fixture.json(&["notify"]);
    let rows = &json["notifications"];
    assert_eq!((&rows[0]["name"], &rows[1]["dropped"]), (&"ann".into(), &1.into()));
    assert_eq!(rows[1]["problems"][0]["cause"], "tls");
}

#[test]
fn a_test_says_what_happened() {
    let fixture = Fixture::new();
    let good = fixture.run(&["notify", "test", "ann"]);
    assert_eq!((good.code, good.out.as_str()), (Some(0), "the test was delivered over ann\n"));
    let bad = fixture.run(&["notify", "test", "hook"]);
    assert!(bad.code == Some(1) && bad.err.contains("no secure connection"), "{}", bad.err);
    assert!(!bad.err.contains('\u{1b}'), "{:?}", bad.err);
    let bad = fixture.run(&["notify", "test", "hook", "--json"]);
    assert!(bad.code == Some(1) && bad.out.contains("\"cause\":\"tls\""), "{}", bad.out);
    assert_eq!(fixture.run(&["notify", "test", "other"]).code, Some(1));
}
