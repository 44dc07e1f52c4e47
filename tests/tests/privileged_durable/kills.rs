//! SIGKILL, at any moment and at each step of the finish.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::trees::{Content, Random};
use butterdock_tests::{
    InterruptDelay, Layout, Receiver, Sandbox, TIMEOUT, Volume, Watcher, built_program, rounds, run, seed, start,
};
use nix::sys::signal::Signal;

use crate::final_sync::after_a_power_cut;
use crate::streams::{Source, names};

/// Where `kill_at_phase` can die: before each step, and after all of them.
const PHASES: [&str; 8] =
    ["Receiving", "Syncing", "Checking", "Marking", "ReadOnly", "Publishing", "Settling", "Published"];

fn ways_to_die() -> impl Iterator<Item = (&'static str, &'static str)> {
    ["rename", "snapshot"].into_iter().flat_map(|way| PHASES.map(|phase| (way, phase)))
}

/// A complete receive after a kill, with a watcher.
fn whole_run(source: &Source, volume: &Volume) -> Result<()> {
    let watcher = Watcher::of(volume.path())?;
    Receiver::Ours.receive(&source.stream, volume.path())?;
    let sights = watcher.incomplete()?;
    ensure!(sights.is_empty(), "seen half-made: {sights:?}");
    source.is_whole_at(&volume.join("s0"))?;
    let (visible, hidden) = names(volume.path())?;
    ensure!(visible == ["s0"] && hidden.is_empty(), "not swept: {visible:?} {hidden:?}");
    Ok(())
}

/// What can be seen must be whole; then it is taken away.
fn seen_is_whole(source: &Source, folder: &Path) -> Result<bool> {
    let (visible, hidden) = names(folder)?;
    // Two: killed when the subvolume has just come out of the private directory in which it begins.
    ensure!(hidden.len() <= 2, "what earlier runs left is not swept: {hidden:?}");
    for name in &visible {
        ensure!(name == "s0", "{name} can be seen");
        source.is_whole_at(&folder.join(name))?;
        snapshot::delete(&folder.join(name))?;
    }
    Ok(!visible.is_empty())
}

#[test]
fn a_receive_killed_at_random_moments_shows_nothing_incomplete() -> Result<()> {
    killed_at_random_moments(&Sandbox::new()?)
}

/// There it is published by a snapshot.
#[test]
fn a_kill_in_an_open_destination_shows_nothing_incomplete() -> Result<()> {
    let sandbox = Sandbox::new()?;
    set_permissions(sandbox.path(), Permissions::from_mode(0o711))?;
    killed_at_random_moments(&sandbox)
}

fn killed_at_random_moments(sandbox: &Sandbox) -> Result<()> {
    let source = Source::of(sandbox, Proto::TwoCompressed, |live| {
        for number in 0..600 {
            std::fs::write(live.join(format!("f{number}")), Content::Mixed.bytes(number * 100, 1))?;
        }
        Ok(std::fs::write(live.join("large"), Content::Digits.bytes(20 << 20, 2))?)
    })?;
    let volume = sandbox.plain_volume("ours")?;
    whole_run(&source, &volume)?;
    snapshot::delete(&volume.join("s0"))?;
    let began = Instant::now();
    Receiver::Ours.receive(&source.stream, volume.path())?;
    let mut delay = InterruptDelay::within(began.elapsed());
    snapshot::delete(&volume.join("s0"))?;

    let (mut random, kills) = (Random::new(seed(1)?), rounds(20, 100));
    let (mut finished, mut killed) = (0, 0);
    for _ in 0..kills {
        let watcher = Watcher::of(volume.path())?;
        let mut running = start(Receiver::Ours.command()?.arg("-f").arg(&source.stream).arg(volume.path()))?;
        std::thread::sleep(delay.next(&mut random));
        running.signal(Signal::SIGKILL)?;
        let hit = running.finish(TIMEOUT)?.code() == 137;
        delay.adjust(hit);
        killed += u32::from(hit);
        let sights = watcher.incomplete()?;
        ensure!(sights.is_empty(), "seen half-made: {sights:?}");
        finished += u32::from(seen_is_whole(&source, volume.path())?);
    }
    ensure!(killed >= kills / 2, "only {killed} of {kills} runs were killed ({finished} finished): this shows little");
    whole_run(&source, &volume)
}

#[test]
fn a_power_cut_before_any_step_shows_nothing_incomplete() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::of_everything(&sandbox)?;
    for (way, phase) in ways_to_die() {
        let volume = sandbox.volume(&format!("{way}-{phase}"), &Layout::mounted("commit=300"))?;
        let mut command = Command::new(built_program("kill_at_phase")?);
        let watcher = Watcher::of(volume.path())?;
        let finished = run(command.args([phase, way]).arg(&source.stream).arg(volume.path()), TIMEOUT)?;
        ensure!(finished.code() == 137, "{way}, {phase}: ended with {}: {}", finished.code(), finished.err());
        let sights = watcher.incomplete()?;
        ensure!(sights.is_empty(), "{way}, {phase}: seen half-made: {sights:?}");

        let crashed = after_a_power_cut(&sandbox, volume)?;
        let (visible, hidden) = names(crashed.path())?;
        match (way, phase) {
            // Between the rename and the last sync the name may have reached the device or not.
            ("rename", "Settling") => {}
            // A snapshot is durable when it is there; what was received is not deleted yet.
            ("snapshot", "Settling") => {
                ensure!(visible == ["s0"] && hidden.len() == 1, "{phase}: {visible:?} {hidden:?}")
            }
            (_, "Published") => {
                ensure!(visible == ["s0"] && hidden.is_empty(), "{way}, {phase}: {visible:?} {hidden:?}")
            }
            _ => ensure!(visible.is_empty(), "{way}, {phase}: {visible:?} can be seen"),
        }
        seen_is_whole(&source, crashed.path())?;
        whole_run(&source, &crashed)?;
    }
    Ok(())
}

/// A snapshot's root belongs to its parent's owner: while it is hidden he must stay out, and a sweep must know it for ours.
#[test]
fn a_killed_increment_is_hidden_from_its_owner_and_swept() -> Result<()> {
    const OWNER: u32 = 1000;
    let sandbox = Sandbox::new()?;
    let (source, stream, next) = (sandbox.plain_volume("source")?, sandbox.join("stream"), sandbox.join("next"));
    let live = source.join("live");
    snapshot::create(&live)?;
    chown(&live, Some(OWNER), Some(OWNER))?;
    snapshot::freeze(&live, &source.join("s0"))?;
    std::fs::write(live.join("f"), "new")?;
    snapshot::freeze(&live, &source.join("s1"))?;
    snapshot::send(Proto::Two, None, &source.join("s0"), &stream)?;
    snapshot::send(Proto::Two, Some(&source.join("s0")), &source.join("s1"), &next)?;
    let phases = ["Syncing", "Marking", "ReadOnly", "Publishing"];
    for (way, phase) in ways_to_die().filter(|(_, phase)| phases.contains(phase)) {
        let volume = sandbox.plain_volume(&format!("{way}-{phase}"))?;
        Receiver::Ours.receive(&stream, volume.path())?;
        let mut command = Command::new(built_program("kill_at_phase")?);
        let finished = run(command.args([phase, way]).arg(&next).arg(volume.path()), TIMEOUT)?;
        ensure!(finished.code() == 137, "{way}, {phase}: ended with {}: {}", finished.code(), finished.err());
        let (_, hidden) = names(volume.path())?;
        let [left] = &hidden[..] else { bail!("{way}, {phase}: not one is left: {hidden:?}") };
        let uid = std::fs::metadata(volume.join(left))?.uid();
        let theirs = if matches!(phase, "Syncing" | "Marking") { 0 } else { OWNER };
        ensure!(uid == theirs, "{way}, {phase}: what is hidden belongs to {uid}");
        let is_staged = left.starts_with(".butterdock-staging/");
        ensure!(is_staged == (way == "snapshot"), "{way}, {phase}: it is at {left}");
        Receiver::Ours.receive(&next, volume.path())?;
        let (_, hidden) = names(volume.path())?;
        ensure!(hidden.is_empty(), "{way}, {phase}: not swept: {hidden:?}");
        ensure!(std::fs::metadata(volume.join("s1"))?.uid() == OWNER, "{way}, {phase}: s1 has lost its owner");
    }
    Ok(())
}
