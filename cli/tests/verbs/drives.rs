//! The verbs about drives and backups.

use std::fs::{File, read_to_string};
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use butterdock_fixtures::wait_until;
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::getuid;
use serde_json::Value;

use crate::run::Fixture;

/// Runs it on a terminal on which this is typed after the question; returns what the terminal showed as well. With
/// `hidden` it is typed when the terminal does not show it any more.
pub(crate) fn typed(fixture: &Fixture, words: &[&str], text: &str, hidden: bool) -> (Option<i32>, String) {
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).expect("a terminal");
    // A passphrase is read from the terminal of the session.
    let mut command = Command::new("setsid");
    let plain = fixture.command(words);
    command.arg("--ctty").arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdout(Stdio::null());
    command.stdin(Stdio::from(terminal.slave.try_clone().expect("a copy"))).stderr(Stdio::from(terminal.slave));
    let mut child = command.spawn().expect("it runs");
    drop(command);
    let mut master = File::from(terminal.master);
    let (mut shown, mut part) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&shown).ends_with(": ") {
        match master.read(&mut part) {
            Ok(count) if count > 0 => shown.extend(&part[..count]),
            _ => break,
        }
    }
    let hides = || Ok(!tcgetattr(&master)?.local_flags.contains(LocalFlags::ECHO));
    if hidden {
        wait_until("the terminal shows nothing", hides).expect("it hides what is typed");
        keeps_secrets(child.id());
    }
    master.write_all(text.as_bytes()).expect("typed");
    // Reading fails with EIO when no process has the terminal open any more.
    drop(master.read_to_end(&mut shown));
    let code = child.wait().expect("it ends").code();
    (code, String::from_utf8_lossy(&shown).into_owned())
}

/// What a process has in its memory gets into no core, and, as far as its limit allows, is not swapped out.
fn keeps_secrets(process: u32) {
    let read = |name: &str| read_to_string(format!("/proc/{process}/{name}")).expect("it runs");
    let (limits, status) = (read("limits"), read("status"));
    let words = |text: &str, start: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(start)).expect("a line");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(words(&limits, "Max core file size")[..2], ["0", "0"]);
    if getuid().is_root() {
        assert_ne!(words(&status, "VmLck:")[0], "0");
    }
}

#[test]
fn drives_and_status_list_problems() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["drives"]);
    assert_eq!(ran.code, Some(0));
    for part in [
        "3f2a",
        "Attic",
        "sdb1, sde1 (2 of 3)",
        "Elements 25A2",
        "2.00 TiB",
        "locked",
        "2023-11-14 22:13",
        "not enrolled",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(ran.err.contains("9a11: another drive has the same filesystem"), "{}", ran.err);
    assert!(ran.err.contains("note on the drive 3f2a: it had 7 errors; check it and its cable"), "{}", ran.err);
    assert!(ran.err.contains("note on the drive 3f2a: sdb1 has the serial number"), "{}", ran.err);
    assert!(ran.out.contains("away since 2023-11-14 22:13"), "{}", ran.out);
    assert!(ran.err.contains("the drive gone: the last backup \"home\" to this destination failed"), "{}", ran.err);
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
    let drives = fixture.json(&["drives"]);
    assert_eq!((&drives["drives"][0]["id"], &drives["drives"][0]["serial"]), (&"3f2a".into(), &"WX11".into()));
    assert!(drives["drives"][0]["note"].as_str().is_some_and(|note| note.contains("\"WX10\"")), "{drives}");
    assert_eq!(drives["drives"][0]["health"]["device_errors"], 7);
    assert_eq!(drives["drives"][0]["free"], 1_u64 << 40);
    let others = &drives["drives"][0]["origins"][1];
    assert_eq!((&others["machine"], &others["snapshots"]), (&"1a2b3c4d".into(), &3.into()));
    let lost = &drives["drives"][3];
    assert_eq!((&lost["state"], &lost["health"]["verified"]), (&"away".into(), &Value::Null));
    assert_eq!(lost["problems"][0]["code"], "drive-failed");
    assert_eq!(drives["drives"][1]["note"], Value::Null);
    assert_eq!((&drives["drives"][1]["serial"], &drives["drives"][1]["last_backup"]), (&Value::Null, &Value::Null));
    assert_eq!(fixture.json(&["status"])["drives"][0]["backups"][0], "home");
    assert!(fixture.run(&[]).out.contains("Attic"));
}

#[test]
fn status_shows_destinations_that_are_no_drives() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["status"]);
    let row = ran.out.lines().find(|line| line.starts_with("pool ")).map(str::to_owned).unwrap_or_default();
    for part in ["volume", "5.00 TiB", "512.00 GiB", "away", "2023-11-14 22:13 (overdue)", "when attached"] {
        assert!(row.contains(part), "{part}: {}", ran.out);
    }
    assert!(ran.err.contains("butterdock: the destination pool: its filesystem is not mounted\n"), "{}", ran.err);
    let status = fixture.json(&["status"]);
    let pool = &status["destinations"][0];
    assert_eq!(status["destinations"].as_array().map(Vec::len), Some(1), "drives are in their own list: {status}");
    assert_eq!((&pool["id"], &pool["kind"], &pool["state"]), (&"pool".into(), &"volume".into(), &"away".into()));
    assert_eq!((&pool["size"], &pool["free"]), (&(5_u64 << 40).into(), &(1_u64 << 39).into()));
    assert_eq!((&pool["overdue"], &pool["backups"][0]), (&true.into(), &"photos".into()));
    assert_eq!((&pool["last_backup"], &pool["last_verify"]), (&1_700_000_000_000_000_u64.into(), &Value::Null));
    assert_eq!((&pool["next_verify"], &pool["next_run"]), (&1_700_000_000_000_000_u64.into(), &Value::Null));
    assert_eq!(pool["problems"][0]["code"], "drive-failed");
}

#[test]
fn drives_show_when_a_verify_begins_by_itself() {
    let fixture = Fixture::new();
    let out = fixture.run(&["drives"]).out;
    let row = |id: &str| out.lines().find(|line| line.starts_with(id)).unwrap_or_default().to_owned();
    assert!(out.lines().next().is_some_and(|heading| heading.ends_with("NEXT VERIFY")), "{out}");
    assert!(row("3f2a").ends_with(" now") && row("gone").ends_with(" on request"), "{out}");
    assert!(row("9a11").ends_with("not enrolled"), "{out}");
    let drives = fixture.json(&["drives"]);
    let next = |at: usize| &drives["drives"][at]["next_verify"];
    assert_eq!((next(0), next(1)), (&1_700_000_001_000_000_u64.into(), &Value::Null));
}

#[test]
fn drives_says_what_others_have_mounted_and_where() {
    let fixture = Fixture::new();
    for verb in ["drives", "status"] {
        let ran = fixture.run(&[verb]);
        assert_eq!(ran.out.matches("mounted by others").count(), 2, "{}", ran.out);
        assert!(ran.err.contains("9a22 is mounted by another program at /media/anna/My disk\\u{1b}[2J"), "{}", ran.err);
        assert!(ran.err.contains("9a11 is mounted by another program in a place that only root"), "{}", ran.err);
        let all = fixture.json(&[verb]);
        let mounts = |index: usize| (&all["drives"][index]["mounted_by_others"], &all["drives"][index]["mount_points"]);
        assert_eq!(mounts(0), (&false.into(), &serde_json::json!([])));
        assert_eq!(mounts(1), (&true.into(), &serde_json::json!([])));
        assert_eq!(mounts(2), (&true.into(), &serde_json::json!(["/media/anna/My disk\u{1b}[2J"])));
    }
    assert_eq!(fixture.run(&["enrol", "9a22", "--unmount"]).code, Some(0));
    assert_eq!(fixture.fake.calls(), "Enrol 9a22 {\"unmount\": <true>}");
}

#[test]
fn an_ambiguous_or_unknown_drive_exits_with_64() {
    let fixture = Fixture::new();
    for (wanted, parts) in [("Twin", ["9a11", "9a22"]), ("9a", ["9a11", "9a22"]), ("nope", ["no drive", "drives"])] {
        for verb in ["enrol", "backup", "verify", "safely-remove"] {
            let ran = fixture.run(&[verb, wanted]);
            assert_eq!(ran.code, Some(64), "{verb} {wanted}: {}", ran.err);
            assert!(parts.iter().all(|part| ran.err.contains(part)), "{verb} {wanted}: {}", ran.err);
        }
    }
    for wanted in ["3f2a", "3f", "Attic", "Loft", "sdb1", "/dev/sde1"] {
        assert_eq!(fixture.json(&["enrol", wanted])["id"], "3f2a", "{wanted}");
    }
    assert_eq!(fixture.fake.calls().lines().count(), 6);
}

#[test]
fn format_without_terminal_needs_the_serial_number() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["enrol", "Attic", "--format"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("nothing was erased") && ran.err.contains("--yes-erase"), "{}", ran.err);
    let ran = fixture.run(&["enrol", "Attic", "--format", "--yes-erase", "WX12"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("\"WX12\" is not the serial number"), "{}", ran.err);
    assert_eq!(fixture.run(&["enrol", "Attic", "--yes-erase", "WX11"]).code, Some(64), "without --format");
    assert_eq!(fixture.run(&["enrol", "Attic", "--label", "x"]).code, Some(64), "without --format");
    assert_eq!(fixture.fake.calls(), "", "the service was asked");
    let enrolled = fixture.json(&["enrol", "Attic", "--format", "--yes-erase", "WX11", "--label", "New"]);
    assert_eq!((&enrolled["id"], &enrolled["result"]), (&"3f2a".into(), &"enrolled".into()));
    let options = r#"{"format": <true>, "label": <"New">, "serial": <"WX11">, "size": <uint64 2199023255552>}"#;
    assert_eq!(fixture.fake.calls(), format!("Enrol 3f2a {options}"));
    let plain = fixture.run(&["enrol", "9a11"]);
    assert_eq!(plain.code, Some(0), "{}", plain.err);
    assert!(fixture.fake.calls().ends_with("\nEnrol 9a11"), "{}", fixture.fake.calls());
    assert_eq!(
        fixture.run(&["enrol", "9a11", "--no-backup", "--format", "--yes-erase", "4096"]).code,
        Some(0),
        "it has no serial number"
    );
    let options = r#"{"format": <true>, "no_backup": <true>, "serial": <"">, "size": <uint64 4096>}"#;
    assert!(fixture.fake.calls().ends_with(&format!("\nEnrol 9a11 {options}")), "{}", fixture.fake.calls());
}

#[test]
fn enrol_names_the_backups_that_begin() {
    let fixture = Fixture::new();
    let due = fixture.run(&["enrol", "9a22"]);
    assert!(due.out.contains("enrolled for this machine's backups; the backup etc begins"), "{}", due.out);
    assert_eq!(fixture.json(&["enrol", "9a22"])["backups"], serde_json::json!(["etc"]));
    let none = fixture.run(&["enrol", "9a22", "--no-backup"]);
    assert!(none.out.ends_with("enrolled for this machine's backups\n"), "{}", none.out);
    assert!(fixture.run(&["enrol", "3f2a"]).out.ends_with("backups\n"), "nothing is due");
}

#[test]
fn a_drive_is_unpinned_whether_it_is_attached_or_away() {
    let fixture = Fixture::new();
    assert_eq!(fixture.json(&["unpin", "Attic", "--backup", "home"])["result"], "unpinned");
    assert_eq!(fixture.json(&["unpin", "Lost"])["id"], "gone");
    let calls = fixture.fake.calls();
    assert!(calls.starts_with("Unpin 3f2a") && calls.contains("home"), "{calls}");
    assert!(calls.ends_with("\nUnpin gone"), "{calls}");
}

#[test]
fn format_asks_for_the_serial_number() {
    let fixture = Fixture::new();
    let (code, shown) = typed(&fixture, &["enrol", "Attic", "--format"], "yes\n", false);
    assert_eq!(code, Some(64), "{shown}");
    for part in ["EVERYTHING", "Elements 25A2", "WX11", "2.00 TiB", "sdb1", "LUKS", "nothing was erased"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(fixture.fake.calls(), "");
    let (code, shown) = typed(&fixture, &["enrol", "Attic", "--format"], "WX11\n", false);
    assert_eq!(code, Some(0), "{shown}");
    assert!(fixture.fake.calls().contains(r#""format": <true>"#), "{}", fixture.fake.calls());
}

#[test]
fn a_drive_is_forgotten_whether_it_is_attached_or_away() {
    let fixture = Fixture::new();
    assert_eq!(fixture.json(&["forget", "Attic"])["result"], "forgotten");
    assert_eq!(fixture.json(&["forget", "Lost"])["id"], "gone");
    assert_eq!(fixture.fake.calls(), "Forget 3f2a\nForget gone");
    assert_eq!(fixture.run(&["forget", "Twin"]).code, Some(64));
    let ran = fixture.run(&["forget", "9a11"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("Twin is not enrolled; enrol it first"), "{}", ran.err);
    let ran = fixture.run(&["forget", "nothing"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("there is no drive \"nothing\""), "{}", ran.err);
}

#[test]
fn unlock_reads_a_key_file_or_standard_input() {
    let fixture = Fixture::new();
    assert_eq!(fixture.piped(&["unlock", "Attic", "--key-file", "-"], "open sesame").code, Some(0));
    let ran = fixture.piped(&["unlock", "Attic", "--key-file", "-"], "open sesame\n");
    assert_eq!(ran.code, Some(1), "a newline belongs to it");
    let file = fixture.stream("open sesame");
    assert_eq!(fixture.json(&["unlock", "Attic", "--key-file", file.to_str().expect("a name")])["result"], "unlocked");
    assert_eq!(fixture.run(&["unlock", "Attic", "--key-file", "/nonexistent"]).code, Some(1));
    let ran = fixture.run(&["unlock", "Attic"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.err.contains("--key-file"), "{}", ran.err);
}

#[test]
fn a_drive_is_mounted_and_the_path_printed_alone() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["mount", "Attic"]);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 1), "{}", ran.err);
    let path = ran.out.trim_end().to_owned();
    assert!(path.starts_with('/'), "{path}");
    let ran = fixture.run(&["--json", "mount", "Attic"]);
    assert_eq!((ran.lines()[0]["result"].as_str(), ran.lines()[0]["path"].as_str()), (Some("mounted"), Some(&*path)));
}

#[test]
fn a_busy_drive_is_made_safe_when_it_is_idle() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["safely-remove", "9a11"]);
    assert!(ran.code == Some(1) && ran.err.contains("in use"), "{ran:?}");
    let ran = fixture.run(&["safely-remove", "9a11", "--when-idle"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
}

#[test]
fn the_drive_is_safe_when_the_remove_job_succeeds() {
    let fixture = Fixture::new();
    let ran = fixture.run(&["safely-remove", "Attic"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.ends_with("Attic is safe to unplug\n"), "{}", ran.out);
    let ran = fixture.run(&["safely-remove", "9a11", "--json"]);
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.lines()[0]["error"]["name"], "org.butterdock.Butterdock1.Error.Busy");
    let ran = fixture.run(&["verify", "Attic"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.contains("no errors"), "{}", ran.out);
}

#[test]
fn a_passphrase_is_typed_without_an_echo() {
    let fixture = Fixture::new();
    let (code, shown) = typed(&fixture, &["unlock", "Attic"], "open sesame\n", true);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("Passphrase of Attic") && !shown.contains("sesame"), "{shown}");
    assert_eq!(fixture.fake.calls(), "Unlock 3f2a\nwith the secret \"open sesame\"");
}

#[test]
fn a_new_passphrase_is_typed_twice() {
    for (again, code) in [("open sesame", 0), ("open simsim", 1)] {
        let fixture = Fixture::new();
        let words = ["enrol", "9a11", "--format", "--encrypt", "--keep-key", "--yes-erase", "4096"];
        let (ended, shown) = typed(&fixture, &words, &format!("open sesame\n{again}\n"), true);
        assert_eq!((ended, shown.contains("New passphrase of")), (Some(code), true), "{shown}");
        assert!(!shown.contains("sesame"), "{shown}");
        let calls = fixture.fake.calls();
        assert_eq!(calls.contains("EnrolEncrypted") && calls.contains("\"keep_key\": <true>"), code == 0, "{calls}");
    }
}
