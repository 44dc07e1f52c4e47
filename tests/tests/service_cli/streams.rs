//! Where a stream comes from.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::trees::Content;
use butterdock_tests::{Load, Service, TIMEOUT, run, snapshot, start};

#[test]
fn what_btrfs_sends_through_a_pipe_is_received() -> Result<()> {
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
    let mut file = std::fs::File::open(fixture.join("stream"))?;
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
