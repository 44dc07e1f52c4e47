//! Other users who lock what they can open; and workers that start while others sweep.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use anyhow::{Context as _, Result, anyhow, ensure};
use butterdock_btrfs::subvolume::{self, Received};
use butterdock_receive::{Control, Observer, Options};
use butterdock_tests::wire::{Stream, UUID};
use butterdock_tests::{LockHolder, Sandbox, TIMEOUT, run, snapshot};

use crate::fixture::{Stalled, hidden, names, sweep, through_worker, unfinished};

const NOBODY: u32 = 65534;
const OWNER: u32 = 1000;
/// As a killed worker leaves it.
const LEFT: &str = ".butterdock-0123456789abcdef0123456789abcdef";

fn stream(sandbox: &Sandbox, name: &str, stream: &Stream) -> Result<PathBuf> {
    fs::write(sandbox.join(name), stream.bytes())?;
    Ok(sandbox.join(name))
}

/// A subvolume of a user of this machine, to build on.
fn parent() -> Stream {
    Stream::new(2).subvol("s0").mkfile("kept").chown("", OWNER.into(), OWNER.into()).chmod("", 0o755).end()
}

/// An increment to it.
fn increment() -> Stream {
    Stream::new(2).snapshot("s1", UUID, 7).mkfile("f").write("f", 0, *b"new").end()
}

fn receive_often(stream: &Path, into: &Path, name: &str) -> Result<()> {
    for _ in 0..30 {
        through_worker(stream, into)?.success()?;
        snapshot::delete(&into.join(name))?;
    }
    Ok(())
}

#[test]
fn locks_on_the_directory_do_not_block_a_receive() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let stream = stream(&sandbox, "stream", &unfinished("sub").end())?;
    Stalled::new(volume.path())?.worker.kill()?;
    let lock_holder = LockHolder::start(&sandbox, volume.path(), NOBODY)?;
    ensure!(hidden(volume.path())?.len() == 1, "nothing was left: this shows little");
    sweep(volume.path())?;
    ensure!(hidden(volume.path())?.is_empty(), "not swept: {:?}", hidden(volume.path())?);
    receive_often(&stream, volume.path(), "sub")?;
    ensure!(lock_holder.stop()? == 0, "he has locked what was worked in");
    Ok(())
}

#[test]
fn the_owner_of_a_parent_cannot_block_an_increment() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let increment = stream(&sandbox, "increment", &increment())?;
    through_worker(&stream(&sandbox, "parent", &parent())?, volume.path())?.success()?;
    let lock_holder = LockHolder::start(&sandbox, volume.path(), OWNER)?;
    receive_often(&increment, volume.path(), "s1")?;
    ensure!(lock_holder.stop()? == 0, "he has locked what was worked in");
    Ok(())
}

/// Killed in its last steps, a worker leaves what has its own owner and mode already.
#[test]
fn leftovers_under_a_users_lock_are_swept_after_it() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let left = volume.join(LEFT);
    snapshot::create(&left)?;
    chown(&left, Some(OWNER), Some(OWNER))?;
    subvolume::set_received(File::open(&left)?, &Received { uuid: UUID, stransid: 7 })?;
    let lock_holder = LockHolder::start(&sandbox, volume.path(), OWNER)?;
    lock_holder.wait_for_one()?;
    sweep(volume.path())?;
    through_worker(&stream(&sandbox, "stream", &parent())?, volume.path())?.success()?;
    ensure!(left.exists(), "a directory that is in use was deleted");
    lock_holder.stop()?;
    sweep(volume.path())?;
    ensure!(names(volume.path())? == ["s0"], "{:?}", names(volume.path())?);
    Ok(())
}

#[test]
fn subvolumes_left_in_private_directories_are_swept() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    fs::DirBuilder::new().mode(0o700).create(volume.join(LEFT))?;
    let within = volume.join(LEFT).join(".butterdock-fedcba9876543210fedcba9876543210");
    snapshot::create(&within)?;
    chown(&within, Some(OWNER), Some(OWNER))?;
    run(std::process::Command::new("chattr").arg("+i").arg(&within), TIMEOUT)?.success()?;
    sweep(volume.path())?;
    ensure!(names(volume.path())?.is_empty(), "{:?}", names(volume.path())?);
    Ok(())
}

struct Silent;

impl Observer for Silent {}

#[test]
fn two_receives_during_sweeps_lose_nothing() -> Result<()> {
    const EACH: usize = 60;
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    through_worker(&stream(&sandbox, "parent", &parent())?, volume.path())?.success()?;
    let streams = [stream(&sandbox, "full", &unfinished("sub").end())?, stream(&sandbox, "increment", &increment())?];
    let (directory, stop) = (File::open(volume.path())?, AtomicBool::new(false));
    let receive = |who: &str| -> Result<()> {
        for number in 0..EACH {
            let (input, control) = (File::open(&streams[number % 2])?, Control::new()?);
            let options = Options { name: Some(format!("{who}{number}").into_bytes()), ..Options::default() };
            butterdock_receive::receive(input.as_fd(), directory.as_fd(), &options, &control, &Silent)
                .map_err(|failure| anyhow!("{who}{number}: {failure}"))?;
        }
        Ok(())
    };
    scope(|threads| -> Result<()> {
        let sweeper = || -> Result<()> {
            while !stop.load(Ordering::Relaxed) {
                butterdock_receive::sweep(directory.as_fd())?;
            }
            Ok(())
        };
        let sweepers = [threads.spawn(sweeper), threads.spawn(sweeper)];
        let receivers = ["a", "b"].map(|who| threads.spawn(move || receive(who)));
        let ended = receivers.map(|thread| thread.join());
        stop.store(true, Ordering::Relaxed);
        for ended in ended.into_iter().chain(sweepers.map(|thread| thread.join())) {
            ended.ok().context("a thread has fallen over")??;
        }
        Ok(())
    })?;
    for who in ["a", "b"] {
        for number in 0..EACH {
            let file = ["d/f", "f"][number % 2];
            ensure!(volume.join(format!("{who}{number}").as_str()).join(file).exists(), "{who}{number} is not whole");
        }
    }
    ensure!(names(volume.path())?.len() == 2 * EACH + 1, "{:?}", names(volume.path())?);
    Ok(())
}
