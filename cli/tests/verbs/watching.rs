//! `receive` and `watch`.

use std::fs::File;
use std::io::Read as _;
use std::process::Stdio;

use butterdock_fixtures::Running;
use butterdock_fixtures::wait_until;
use nix::pty::{Winsize, openpty};
use nix::sys::signal::Signal;

use crate::run::{Fixture, Ran};

/// Ctrl-C as soon as the program handles it.
fn interrupt(mut running: Running) -> Ran {
    running.handles(Signal::SIGINT).expect("it watches");
    running.signal(Signal::SIGINT).expect("sent");
    running.into()
}

/// Starts `watch` with these arguments; returns when it has read the jobs.
fn watch(fixture: &Fixture, words: &[&str]) -> Running {
    let before = fixture.fake.reads();
    let running = fixture.start(&[&["watch"], words].concat());
    wait_until("it has read the jobs", || Ok(fixture.fake.reads() > before)).expect("it reads them");
    running
}

#[test]
fn a_piped_stream_prints_two_lines() {
    let fixture = Fixture::new();
    let ran = fixture.piped(&["receive", "tank", "-"], "ok and some data");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(ran.out.lines().count(), 2, "{}", ran.out);
    assert!(ran.out.contains("received 16 B into tank") && ran.out.contains("durable"), "{}", ran.out);
}

/// While polkit asked for a password, the signals of another job filled the connection, and the answer was never read.
#[test]
fn a_late_reply_arrives_among_many_signals() {
    let fixture = Fixture::new();
    let file = fixture.stream("ok and some data");
    let ran = fixture.run(&["receive", "patient", file.to_str().expect("a name")]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("durable"), "{}", ran.out);
}

#[test]
fn given_options_are_passed_on_as_bytes() {
    let fixture = Fixture::new();
    assert_eq!(fixture.piped(&["receive", "tank", "--verify", "--as", "x"], "ok").code, Some(0));
    assert_eq!(fixture.piped(&["receive", "tank", "--force-decompress"], "ok").code, Some(0));
    let calls = fixture.fake.calls();
    let wanted = [r#"{"name": <[byte 0x78]>, "verify": <true>}"#, r#"{"force_decompress": <true>}"#];
    assert!(calls.lines().zip(wanted).all(|(call, options)| call.ends_with(options)), "{calls}");
    assert_eq!(calls.lines().count(), 2, "{calls}");
}

#[test]
fn a_failed_job_exits_with_1_and_names_the_file() {
    let fixture = Fixture::new();
    let ran = fixture.piped(&["receive", "tank"], "fail now");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("photos/\\u{1b}]0;x\\u{7}a.jpg"), "{:?}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
}

#[test]
fn unauthorized_callers_see_the_public_error() {
    let fixture = Fixture::new();
    let ran = fixture.piped(&["receive", "tank"], "dark now");
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("at command 7") && ran.err.contains("free some space"), "{}", ran.err);
}

#[test]
fn watching_prints_an_object_a_line() {
    let fixture = Fixture::new();
    let ran = fixture.piped(&["receive", "tank", "--json"], "fail now");
    let lines = ran.lines();
    let events = lines.iter().map(|line| line["event"].as_str().expect("an event")).collect::<Vec<_>>();
    assert_eq!((events.first(), events.last()), (Some(&"started"), Some(&"ended")), "{events:?}");
    assert!(events.contains(&"progress"), "{events:?}");
    let last = lines.last().expect("a last line");
    assert_eq!((&last["result"], &last["error"]["command"]), (&"failed".into(), &7.into()));
    assert_eq!(ran.code, Some(1));
}

#[test]
fn detached_from_the_start_it_prints_the_id_alone() {
    let fixture = Fixture::new();
    let id = fixture.stalled();
    assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id}");
    assert_eq!(fixture.run(&["cancel", &id]).code, Some(0));
    let file = fixture.stream("ok");
    let ran = fixture.run(&["receive", "tank", file.to_str().expect("a name"), "--detach", "--json"]);
    assert_eq!(ran.lines()[0]["event"], "started");
}

#[test]
fn ctrl_c_detaches_and_names_the_watch_command() {
    let fixture = Fixture::new();
    let file = fixture.stream("stall");
    let ran = interrupt(fixture.start(&["receive", "tank", file.to_str().expect("a name")]));
    assert_eq!((ran.code, ran.out.is_empty()), (Some(130), false), "{}", ran.err);
    let id = fixture.json(&["jobs"])["jobs"][0]["id"].as_str().expect("an id")[..8].to_owned();
    for part in ["continues;", &format!("butterdock watch {id}"), &format!("butterdock cancel {id}")] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert_eq!(fixture.json(&["jobs"])["jobs"][0]["state"], "flushing");
    assert_eq!(fixture.run(&["cancel", &id]).code, Some(0));
}

#[test]
fn ctrl_c_during_a_call_is_not_lost() {
    let fixture = Fixture::new();
    let stalled = fixture.stalled();
    let mut running = watch(&fixture, &[]);
    assert_eq!(fixture.piped(&["receive", "tank", "--detach"], "hold alone").code, Some(0));
    wait_until("it asks for the error", || Ok(fixture.fake.count("GetErrorDetails") > 0)).expect("it asks");
    running.signal(Signal::SIGINT).expect("sent");
    assert_eq!(Ran::from(running).code, Some(130));
    assert_eq!(fixture.run(&["cancel", &stalled]).code, Some(0));
}

#[test]
fn watch_of_a_cancelled_job_exits_with_1() {
    let fixture = Fixture::new();
    let id = fixture.stalled();
    let running = watch(&fixture, &[&id[..6], "--json"]);
    assert_eq!(fixture.run(&["cancel", &id]).code, Some(0));
    let ran = Ran::from(running);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.lines().last().expect("a last line")["result"], "cancelled");
}

#[test]
fn every_job_is_watched_until_none_is_left() {
    let fixture = Fixture::new();
    let idle = fixture.run(&["watch"]);
    assert_eq!((idle.code, idle.out.as_str()), (Some(0), "no jobs are running\n"));
    let before = fixture.stalled();
    let running = watch(&fixture, &[]);
    // One that begins meanwhile is watched as well.
    let ids = [fixture.stalled(), before];
    ids.iter().for_each(|id| assert_eq!(fixture.run(&["cancel", id]).code, Some(0)));
    let ran = Ran::from(running);
    assert_eq!(ran.code, Some(1));
    assert!(ids.iter().all(|id| ran.out.contains(&id[..8]) && ran.err.contains(&id[..8])), "{ran:?}");
}

#[test]
fn a_finished_job_is_reported_at_once() {
    let fixture = Fixture::new();
    assert_eq!(fixture.piped(&["receive", "tank"], "fail").code, Some(1));
    let id = fixture.json(&["jobs"])["jobs"][0]["id"].as_str().expect("an id").to_owned();
    let ran = fixture.run(&["watch", &id]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("photos/"), "{}", ran.err);
}

#[test]
fn a_service_that_disappears_exits_with_69() {
    let fixture = Fixture::new();
    let ran = fixture.piped(&["receive", "tank"], "die now");
    assert_eq!(ran.code, Some(69), "{}", ran.err);
    assert!(ran.err.contains("butterdock history"), "{}", ran.err);
}

#[test]
fn a_terminal_gets_a_bar_and_no_pipe_does() {
    let fixture = Fixture::new();
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).expect("a terminal");
    let file = fixture.stream("ok and some data");
    let mut command = fixture.command(&["receive", "tank", file.to_str().expect("a name")]);
    command.env("TERM", "xterm").stderr(Stdio::from(terminal.slave));
    let child = command.stdout(Stdio::piped()).spawn().expect("it runs");
    // The command holds the terminal open, too.
    drop(command);
    let mut shown = Vec::new();
    // Reading fails with EIO when no process has the terminal open any more.
    drop(File::from(terminal.master).read_to_end(&mut shown));
    let done = child.wait_with_output().expect("it ends");
    let shown = String::from_utf8_lossy(&shown);
    assert_eq!(done.status.code(), Some(0));
    assert!(shown.contains("tank") && shown.contains("16 B"), "{shown:?}");
    assert_eq!(String::from_utf8_lossy(&done.stdout).lines().count(), 1, "{done:?}");
}
