//! `butterdock` on a real daemon: every verb as text and as JSON, the sources of a stream, the terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::trees::Content;
use butterdock_tests::wire::Stream;
use butterdock_tests::{Finished, Load, Service, TIMEOUT, run, snapshot, start, wait_until};
use nix::pty::{Winsize, openpty};
use serde_json::Value;

/// Runs it without a terminal, to its end.
pub(crate) fn ran(fixture: &Service, words: &[&str]) -> Result<Finished> {
    run(&mut fixture.butterdock(words)?, TIMEOUT)
}

/// The one object that a verb prints.
fn object(fixture: &Service, words: &[&str]) -> Result<Value> {
    let finished = ran(fixture, &[words, &["--json"]].concat())?.success()?;
    ensure!(finished.stderr.is_empty(), "{words:?} complains: {}", finished.err());
    serde_json::from_slice(&finished.stdout).with_context(|| format!("{words:?} printed {}", finished.out()))
}

/// The objects that a run printed, one a line.
pub(crate) fn lines(finished: &Finished) -> Result<Vec<Value>> {
    let line = |line: &str| serde_json::from_str(line).with_context(|| format!("no object: {line}"));
    finished.out().lines().map(line).collect()
}

/// Whether a text could steer a terminal.
fn steers(text: &str) -> bool {
    text.chars().any(|letter| letter.is_control() && letter != '\n') || text.contains('\u{202e}')
}

#[test]
fn every_verb_answers_in_text_and_in_json() -> Result<()> {
    let fixture = Service::with(&["tank", "pool"], "")?;
    let load = Load::new("s0", 10, 1);
    let file = fixture.join("stream");
    drop(load.file(&file)?);
    let file = file.to_str().context("a path")?;
    let received = ran(&fixture, &["receive", "tank", file])?.success()?;
    ensure!(received.out().contains("tank") && received.stderr.is_empty(), "{received:?}");
    load.is_whole_in(&fixture.path("tank"))?;
    let followed = lines(&ran(&fixture, &["receive", "pool", file, "--json"])?.success()?)?;
    ensure!(followed.first().is_some_and(|line| line["event"] == "started"), "{followed:?}");
    let last = followed.last().context("a last line")?;
    ensure!(last["event"] == "ended" && last["result"] == "succeeded", "{last}");
    ensure!(last["job"]["bytes_durable"] == load.bytes().len(), "{last}");

    for words in [&[][..], &["status"], &["jobs"], &["history"], &["volumes"], &["snapshots", "tank"], &["watch"]] {
        let finished = ran(&fixture, words)?.success()?;
        ensure!(!finished.stdout.is_empty() && finished.stderr.is_empty(), "{words:?}: {finished:?}");
        ensure!(!steers(&finished.out()), "{words:?}: a bar without a terminal: {:?}", finished.out());
    }
    let volumes = object(&fixture, &["volumes"])?;
    ensure!(volumes["volumes"].as_array().is_some_and(|volumes| volumes.len() == 2), "{volumes}");
    let jobs = object(&fixture, &["jobs"])?;
    ensure!(jobs["jobs"].as_array().is_some_and(|jobs| jobs.len() == 2), "{jobs}");
    let history = object(&fixture, &["history"])?;
    ensure!(history.to_string().matches("\"succeeded\"").count() == 2, "{history}");
    let snapshots = object(&fixture, &["snapshots", "tank"])?;
    ensure!(snapshots.to_string().contains("\"s0\""), "{snapshots}");
    object(&fixture, &["status"])?;
    object(&fixture, &[])?;
    ensure!(ran(&fixture, &["watch", "--json"])?.success()?.stdout.is_empty(), "no job runs, but something is printed");
    Ok(())
}

#[test]
fn control_characters_in_names_are_escaped() -> Result<()> {
    let fixture = Service::start()?;
    let name = b"a\x1b[2J\xc2\x9b31m\xe2\x80\xae\nb\xff";
    let file = fixture.join("stream");
    std::fs::write(&file, Stream::new(1).subvol(name).mkfile("f").end().bytes())?;
    let path = file.to_str().context("a path")?;
    ran(&fixture, &["receive", "tank", path])?.success()?;
    let shown = ran(&fixture, &["snapshots", "tank"])?.success()?;
    ensure!(!steers(&shown.out()), "{:?}", shown.out());
    ensure!(shown.out().contains("\\u{1b}[2J") && shown.out().contains("\\xff"), "{:?}", shown.out());
    let json = ran(&fixture, &["snapshots", "tank", "--json"])?.success()?;
    ensure!(!steers(&json.out()), "{:?}", json.out());
    serde_json::from_slice::<Value>(&json.stdout)?;

    // The second one fails, and the sentence has the name in it.
    let failed = ran(&fixture, &["receive", "tank", path])?;
    ensure!(failed.code() == 1, "{failed:?}");
    ensure!(!steers(&failed.err()) && !steers(&failed.out()), "{:?}", failed.err());
    ensure!(failed.err().contains("\\u{1b}[2J") || failed.err().contains("\\x1b[2J"), "{:?}", failed.err());
    Ok(())
}

#[test]
fn a_pipe_from_btrfs_send_is_received() -> Result<()> {
    let fixture = Service::with(&["tank", "pool"], "")?;
    let live = fixture.path("pool").join("live");
    snapshot::create(&live)?;
    std::fs::write(live.join("f"), Content::Mixed.bytes(1 << 20, 1))?;
    snapshot::freeze(&live, &fixture.path("pool").join("s0"))?;
    let mut send = Command::new("btrfs");
    send.args(["-q", "send"]).arg(fixture.path("pool").join("s0")).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut sender = send.spawn().context("btrfs send")?;
    let stream = sender.stdout.take().context("piped")?;
    let mut command = fixture.butterdock(&["receive", "tank", "-"])?;
    let finished = run(command.stdin(stream), TIMEOUT);
    drop(command);
    let sent = sender.wait()?;
    finished?.success()?;
    ensure!(sent.success(), "btrfs send ended with {sent}");
    let copy = std::fs::read(fixture.path("tank").join("s0/f"))?;
    ensure!(copy == Content::Mixed.bytes(1 << 20, 1), "other content");
    Ok(())
}

/// sshd gives a command without a terminal a pair of sockets, and sends on what the client types.
#[test]
fn a_stream_through_a_socket_is_received() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 30, 1);
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = fixture.butterdock(&["receive", "tank", "-"])?;
    let program = start(command.stdin(OwnedFd::from(theirs)))?;
    drop(command);
    ours.write_all(load.bytes())?;
    ours.shutdown(Shutdown::Write)?;
    program.finish(TIMEOUT)?.success()?;
    load.is_whole_in(&fixture.path("tank"))?;
    let mut rest = Vec::new();
    ours.read_to_end(&mut rest)?;
    ensure!(rest.is_empty(), "something was written into the stream's socket");
    fixture.is_tidy(&client, "tank", &["s0"])
}

#[test]
fn a_partly_read_file_is_received_from_its_position() -> Result<()> {
    let fixture = Service::start()?;
    let load = Load::new("s0", 10, 1);
    std::fs::write(fixture.join("stream"), [&b"a header of somebody else's"[..], load.bytes()].concat())?;
    let mut file = File::open(fixture.join("stream"))?;
    file.read_exact(&mut [0; 27])?;
    let mut command = fixture.butterdock(&["receive", "tank"])?;
    run(command.stdin(file), TIMEOUT)?.success()?;
    load.is_whole_in(&fixture.path("tank"))
}

#[test]
fn a_truncated_stream_exits_with_1_and_leaves_nothing() -> Result<()> {
    let mut fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 30, 1);
    let (stream, feed) = load.pipe()?;
    let mut command = fixture.butterdock(&["receive", "tank", "-"])?;
    let program = start(command.stdin(stream))?;
    drop(command);
    feed.up_to(load.bytes().len() / 2);
    drop(feed);
    let finished = program.finish(TIMEOUT)?;
    ensure!(finished.code() == 1 && finished.err().contains("cut off"), "{finished:?}");
    fixture.is_tidy(&client, "tank", &[])
}

#[test]
fn a_terminal_gets_a_bar_that_moves() -> Result<()> {
    let fixture = Service::start()?;
    let client = fixture.client()?;
    let load = Load::new("s0", 60, 1);
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None)?;
    let (stream, feed) = load.pipe()?;
    let mut command = fixture.butterdock(&["receive", "tank", "-"])?;
    command.env("TERM", "xterm").stdin(stream).stdout(Stdio::piped()).stderr(Stdio::from(terminal.slave));
    let program = command.spawn()?;
    // The command holds the terminal and the stream open, too.
    drop(command);
    let shown = Arc::<Mutex<Vec<u8>>>::default();
    let reader = {
        let shown = Arc::clone(&shown);
        std::thread::spawn(move || {
            let (mut master, mut piece) = (File::from(terminal.master), [0; 4096]);
            // Reading fails with EIO when no process has the terminal open any more.
            while let Ok(len @ 1..) = master.read(&mut piece) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece[..len]);
            }
        })
    };
    let text = || String::from_utf8_lossy(&shown.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    feed.up_to(load.bytes().len() / 2);
    wait_until("the job reads", || Ok(client.jobs()?.values().any(|job| job.bytes_received > 0)))?;
    wait_until("the bar moves", || Ok(text().matches('\r').count() > 1))?;
    feed.finish();
    let output = program.wait_with_output()?;
    reader.join().ok();
    let shown = text();
    ensure!(output.status.success(), "{} {shown:?}", output.status);
    ensure!(shown.contains("tank") && shown.contains("iB"), "no bar: {shown:?}");
    ensure!(shown.matches('\r').count() > 1, "a bar that does not move: {shown:?}");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!steers(&out) && out.contains("durable"), "{out:?}");
    load.is_whole_in(&fixture.path("tank"))
}
