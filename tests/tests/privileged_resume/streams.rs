//! Streams that resume in other ways: from a pipe, of several subvolumes, and of other bytes with the same beginning.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::trees::Content;
use butterdock_tests::{Layout, Receiver, Sandbox, TIMEOUT, Volume, names, start, wait_until};
use nix::sys::signal::Signal;

use crate::fixture::{Said, Transfer};

const MIB: u64 = 1 << 20;

/// Four snapshots, of which each has 6 MiB more, in one stream.
fn four_subvolumes(sandbox: &Sandbox) -> Result<(Volume, Vec<PathBuf>, PathBuf)> {
    let source = sandbox.volume("source", &Layout::sized(2048, ""))?;
    let live = source.join("live");
    snapshot::create(&live)?;
    let mut all = Vec::new();
    for number in 0..4_u64 {
        for file in 0..6_u64 {
            fs::write(live.join(format!("f{number}-{file}")), Content::Noise.bytes(1 << 20, number * 6 + file))?;
        }
        let frozen = source.join(format!("s{number}"));
        snapshot::freeze(&live, &frozen)?;
        all.push(frozen);
    }
    let stream = sandbox.join("stream");
    snapshot::send_together(Proto::Two, &all, &stream)?;
    Ok((source, all, stream))
}

#[test]
fn a_stream_of_several_subvolumes_resumes_in_the_one_it_was_in() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let (_source, all, stream) = four_subvolumes(&sandbox)?;
    let volume = sandbox.plain_volume("ours")?;
    let transfer = Transfer { stream, volume: &volume, bytes: 2 * MIB };
    // The first checkpoints are in the first subvolume; a later run is killed in a later one.
    let mut reached = None;
    for _ in 0..3 {
        let said = transfer.killed_after(3)?;
        ensure!(said.resumed >= reached, "{said:?}, after {reached:?}");
        reached = said.checkpoints.last().copied();
    }
    let said = Said::of(&transfer.finish()?.out())?;
    ensure!(said.resumed >= reached, "{said:?}, after {reached:?}");
    for (number, frozen) in all.iter().enumerate() {
        let copy = volume.join(format!("s{number}"));
        same(&format!("s{number}"), &Tree::read(frozen)?, &Tree::read(&copy)?, Rules::SOURCE)?;
    }
    let (visible, hidden) = names(volume.path())?;
    ensure!(visible.len() == 4 && hidden.is_empty(), "{visible:?} {hidden:?}");
    Ok(())
}

/// The second run has no lock on the transfer, so it neither uses nor makes a checkpoint, and does not say so.
#[test]
fn a_second_run_of_one_transfer_makes_no_checkpoints() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let (_source, all, stream) = four_subvolumes(&sandbox)?;
    let volume = sandbox.plain_volume("ours")?;
    let transfer = Transfer { stream: stream.clone(), volume: &volume, bytes: 2 * MIB };
    let mut command = transfer.command()?;
    let mut first = start(command.args(["-f", "/dev/stdin"]).stdin(Stdio::piped()))?;
    let mut input = first.input()?;
    // In the first subvolume.
    input.write_all(fs::read(&stream)?.get(..4 << 20).context("4 MiB")?)?;
    wait_until("a checkpoint", || Ok(!Said::of(&first.out_so_far())?.checkpoints.is_empty()))?;
    let said = Said::of(&transfer.finish()?.out())?;
    ensure!(said.resumed.is_none() && said.checkpoints.is_empty(), "{said:?}");
    ensure!(said.warnings.iter().any(|text| text.contains("another run")), "{:?}", said.warnings);
    first.signal(Signal::SIGKILL)?;
    first.finish(TIMEOUT)?;
    let (visible, _) = names(volume.path())?;
    ensure!(visible.len() == all.len(), "{visible:?}");
    Ok(())
}

/// With `--json` the last line of a failure says from where the same command resumes; the error says how.
#[test]
fn a_cancelled_transfer_says_that_it_resumes() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = sandbox.volume("source", &Layout::sized(1024, ""))?;
    let live = source.join("live");
    snapshot::create(&live)?;
    for number in 0..30_u64 {
        fs::write(live.join(format!("f{number}")), Content::Noise.bytes(1 << 20, number))?;
    }
    snapshot::freeze(&live, &source.join("s1"))?;
    let (stream, volume) = (sandbox.join("stream"), sandbox.plain_volume("ours")?);
    snapshot::send(Proto::Two, None, &source.join("s1"), &stream)?;
    let transfer = Transfer { stream: stream.clone(), volume: &volume, bytes: 2 * MIB };
    // The input stops after 20 MiB, so that the run is at work when it is cancelled.
    let mut command = transfer.command()?;
    command.args(["-f", "/dev/stdin"]).stdin(Stdio::piped());
    let mut running = start(&mut command)?;
    let mut input = running.input()?;
    let bytes = fs::read(&stream)?;
    input.write_all(bytes.get(..20 << 20).context("20 MiB")?)?;
    wait_until("a checkpoint", || Ok(!Said::of(&running.out_so_far())?.checkpoints.is_empty()))?;
    running.signal(Signal::SIGINT)?;
    let ended = running.finish(TIMEOUT)?;
    ensure!(ended.code() == 130, "{}", ended.code());
    let error = ended.err();
    ensure!(error.contains("cancelled") && error.contains("the same command resumes"), "{error}");
    let last = *Said::of(&ended.out())?.checkpoints.last().context("a checkpoint")?;
    ensure!(ended.out().contains(&format!("\"resumes_at\":{last}")), "{}", ended.out());
    let said = Said::of(&transfer.finish()?.out())?;
    ensure!(said.resumed == Some(last), "{said:?}");
    transfer.is_whole("s1", &Tree::read(&source.join("s1"))?, Rules::SOURCE)
}

#[test]
fn another_stream_with_the_same_identity_starts_over() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = sandbox.volume("source", &Layout::sized(1024, ""))?;
    let live = source.join("live");
    snapshot::create(&live)?;
    for number in 0..8_u64 {
        fs::write(live.join(format!("f{number}")), Content::Noise.bytes(1 << 20, number))?;
    }
    snapshot::freeze(&live, &source.join("s1"))?;
    let (one, other) = (sandbox.join("one"), sandbox.join("other"));
    // The same snapshot in other commands.
    snapshot::send(Proto::Two, None, &source.join("s1"), &one)?;
    snapshot::send(Proto::One, None, &source.join("s1"), &other)?;
    let (volume, tree) = (sandbox.plain_volume("ours")?, Tree::read(&source.join("s1"))?);
    let first = Transfer { stream: one, volume: &volume, bytes: 2 * MIB };
    first.killed_after(1)?;
    let second = Transfer { stream: other.clone(), volume: &volume, bytes: 2 * MIB };
    let said = Said::of(&second.finish()?.out())?;
    ensure!(said.resumed.is_none(), "{said:?}");
    ensure!(said.warnings.iter().any(|text| text.contains("the stream differs")), "{:?}", said.warnings);
    let length = fs::metadata(&other)?.len();
    ensure!(said.bytes == Some(length), "{:?} of {length} bytes", said.bytes);
    second.is_whole("s1", &tree, Rules::SOURCE)?;

    // A pipe cannot be read again: the run fails, and the next one starts over.
    snapshot::delete(&volume.join("s1"))?;
    first.killed_after(1)?;
    let mut codes = Vec::new();
    for _ in 0..2 {
        let mut command = Receiver::Ours.command()?;
        let mut running = start(command.arg(volume.path()).stdin(Stdio::piped()))?;
        let (mut input, bytes) = (running.input()?, fs::read(&other)?);
        // The run closes its end when it fails.
        let feeding = std::thread::spawn(move || input.write_all(&bytes).is_ok());
        let ended = running.finish(TIMEOUT)?;
        feeding.join().ok().context("the thread")?;
        codes.push((ended.code(), ended.err()));
    }
    let [(1, failed), (0, _)] = &codes[..] else { anyhow::bail!("{codes:?}") };
    ensure!(failed.contains("differs") && failed.contains("starts over"), "{failed}");
    second.is_whole("s1", &tree, Rules::SOURCE)
}
