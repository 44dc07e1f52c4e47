//! `butterdock metrics`.

use std::fs;

use crate::fake::QUOTING;
use crate::run::Fixture;

#[test]
fn metrics_have_backups_destinations_and_jobs() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["metrics"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    for line in [
        "butterdock_up 1",
        "butterdock_build_info{version=\"0.0.0\"} 1",
        "butterdock_backup_last_duration_seconds{backup=\"home\",destination=\"3f2a\"} 61.000005",
        "butterdock_backup_last_sent_bytes{backup=\"home\",destination=\"3f2a\"} 5242880",
        "butterdock_backup_due{backup=\"home\",destination=\"gone\"} 1",
        "butterdock_backup_overdue{backup=\"photos\",destination=\"\"} 0",
        "butterdock_destination_info{destination=\"3f2a\",name=\"Attic\",kind=\"drive\"} 1",
        "butterdock_destination_free_bytes{destination=\"3f2a\"} 1099511627776",
        "butterdock_jobs{state=\"flushing\"} 0",
        "butterdock_jobs_ended_total{kind=\"backup\",result=\"failed\"} 2",
        "# TYPE butterdock_jobs_ended_total counter",
    ] {
        assert!(ran.out.lines().any(|one| one == line), "{line} is missing:\n{}", ran.out);
    }
    for (name, count) in [
        ("butterdock_backup_last_success_timestamp_seconds", 1),
        ("butterdock_destination_last_verify_timestamp_seconds", 1),
        ("butterdock_destination_free_bytes", 2),
        ("butterdock_backup_due", 4),
    ] {
        let samples = ran.out.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        assert_eq!(samples.count(), count, "what is not known is left out: {name}\n{}", ran.out);
    }
    let json = fixture.json(&["metrics"]);
    assert_eq!(json["metrics"], ran.out);
}

#[test]
fn a_name_cannot_add_a_metric() {
    let fixture = Fixture::new();
    let out = fixture.run(&["metrics"]).out;
    let name = QUOTING.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let line = format!("butterdock_destination_info{{destination=\"gone\",name=\"{name}\",kind=\"drive\"}} 1");
    assert!(out.lines().any(|one| one == line), "{line}\n{out}");
    assert_eq!(out.lines().filter(|line| line.starts_with("butterdock_up")).count(), 1);
}

#[test]
fn a_file_is_written_and_without_a_service_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("butterdock.prom");
    let words = ["metrics", "--output", file.to_str().expect("a path")];
    let fixture = Fixture::new();
    let ran = fixture.run(&words);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
    assert_eq!(fs::read_to_string(&file).expect("written"), fixture.run(&["metrics"]).out);
    let ran = crate::run::Ran::of(&mut crate::run::command("unix:path=/nonexistent/bus", &words));
    assert_eq!((ran.code, ran.out.as_str()), (Some(69), ""), "{}", ran.err);
    let text = fs::read_to_string(&file).expect("written");
    assert!(text.ends_with("\nbutterdock_up 0\n") && text.lines().count() == 3, "{text}");
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1, "something is left over");
}
