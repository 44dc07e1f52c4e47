//! How a worker ends when it does not end by itself.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::trees::Random;
use butterdock_tests::{
    InterruptDelay, Sandbox, TIMEOUT, Watcher, WorkerProcess, built_program, butterdockd, receive, rounds, snapshot,
    wait_until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture::{Stalled, hidden, names, sweep, through_worker, unfinished};

/// Waits until a process is gone; a zombie is.
fn is_gone(id: &str) -> Result<()> {
    let began = Instant::now();
    while let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) {
        if stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')) {
            break;
        }
        ensure!(began.elapsed() < TIMEOUT, "{id} lives: {stat}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn is_empty(folder: &Path) -> Result<()> {
    let names = names(folder)?;
    ensure!(names.is_empty(), "left behind: {names:?}");
    Ok(())
}

#[test]
fn a_sweep_removes_the_hidden_names_of_a_killed_worker() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let stalled = Stalled::new(volume.path())?;
    let status = stalled.worker.kill()?;
    ensure!(status.signal() == Some(9), "{status:?}");
    ensure!(names(volume.path())? == hidden(volume.path())?, "something can be seen: {:?}", names(volume.path())?);
    ensure!(hidden(volume.path())?.len() == 1, "{:?}", hidden(volume.path())?);
    sweep(volume.path())?;
    is_empty(volume.path())
}

#[test]
fn kills_at_random_moments_show_nothing_incomplete() -> Result<()> {
    let kills = rounds(10, 30);
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let stream = sandbox.join("stream");
    let mut made = unfinished("sub");
    for number in 0..3000 {
        let name = format!("d/{number}");
        made = made.mkfile(&name).write(&name, 0, [b'y'; 9000]).chown(&name, 5, 6).utimes(&name, 7, 8);
    }
    // Two copies have the same times only where the stream sets them.
    let made = made.utimes("d/f", 7, 8).utimes("d", 7, 8);
    std::fs::write(&stream, made.end().bytes())?;
    let began = Instant::now();
    through_worker(&stream, volume.path())?.success()?;
    let (mut delay, mut random) = (InterruptDelay::within(began.elapsed()), Random::new(5));
    let expected = Tree::read(&volume.join("sub"))?;
    snapshot::delete(&volume.join("sub"))?;

    let mut killed = 0;
    for _ in 0..kills {
        let (input, directory) = (File::open(&stream)?, File::open(volume.path())?);
        let watcher = Watcher::of(volume.path())?;
        let worker = WorkerProcess::new(&butterdockd()?, &receive(), &[input.as_fd(), directory.as_fd()])?;
        std::thread::sleep(delay.next(&mut random));
        let hit = worker.kill()?.signal() == Some(9);
        delay.adjust(hit);
        killed += u32::from(hit);
        let sights = watcher.incomplete()?;
        ensure!(sights.is_empty(), "seen half-made: {sights:?}");
        sweep(volume.path())?;
        ensure!(hidden(volume.path())?.is_empty(), "not swept: {:?}", hidden(volume.path())?);
        if volume.join("sub").exists() {
            same("published before the kill", &expected, &Tree::read(&volume.join("sub"))?, Rules::COPIES)?;
            snapshot::delete(&volume.join("sub"))?;
        }
    }
    ensure!(killed >= kills / 2, "only {killed} were killed: this shows little");
    Ok(())
}

#[test]
fn a_sweep_keeps_the_subvolume_of_a_running_worker() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let mut stalled = Stalled::new(volume.path())?;
    sweep(volume.path())?;
    ensure!(hidden(volume.path())?.len() == 1, "swept away under a worker");
    stalled.worker.say("\"cancel\"")?;
    drop(stalled.worker.finish()?);
    is_empty(volume.path())
}

#[test]
fn a_worker_ends_when_its_daemon_closes_the_socket() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let Stalled { worker, input } = Stalled::new(volume.path())?;
    let status = worker.desert()?;
    drop(input);
    ensure!(status.code() == Some(69), "{status:?}");
    is_empty(volume.path())
}

#[test]
fn a_cancelled_worker_reports_it_and_leaves_no_subvolume() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let Stalled { mut worker, input } = Stalled::new(volume.path())?;
    worker.say("\"cancel\"")?;
    let ended = worker.finish()?;
    drop(input);
    let error = ended.error()?.cloned().unwrap_or_default();
    ensure!(error["kind"] == "Cancelled" && ended.status.code() == Some(0), "{error} {:?}", ended.status);
    is_empty(volume.path())
}

#[test]
fn a_worker_exits_on_an_invalid_message() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    for nonsense in ["hello".to_owned(), "x".repeat(10_000)] {
        let Stalled { mut worker, input } = Stalled::new(volume.path())?;
        worker.say(&nonsense)?;
        let ended = worker.finish()?;
        drop(input);
        ensure!(ended.status.code() == Some(69), "{:?}", ended.status);
        is_empty(volume.path())?;
    }
    Ok(())
}

#[test]
fn a_worker_that_is_stopped_dies_with_its_daemon() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.plain_volume("ours")?;
    let (reader, mut input) = std::io::pipe()?;
    std::io::Write::write_all(&mut input, unfinished("sub").bytes())?;
    let mut daemon = Command::new(built_program("through_worker")?)
        .args(["HOLD", "receive"])
        .arg(volume.path())
        .stdin(reader)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut id = String::new();
    if let Some(out) = daemon.stdout.take() {
        BufReader::new(out).read_line(&mut id)?;
    }
    let hidden_before = hidden(volume.path());
    let worker = Pid::from_raw(id.trim().parse()?);
    // A stopped process does not see that its socket has ended: the kernel alone can end it.
    kill(worker, Signal::SIGSTOP)?;
    daemon.kill()?;
    daemon.wait()?;
    let gone = is_gone(id.trim());
    if gone.is_err() {
        kill(worker, Signal::SIGKILL).ok();
    }
    gone?;
    ensure!(hidden_before?.len() == 1, "it was not at work: this shows nothing");
    drop(input);
    // A process is a zombie before its last thread has closed its files.
    wait_until("a sweep finds nothing in use", || {
        sweep(volume.path())?;
        Ok(hidden(volume.path())?.is_empty())
    })?;
    is_empty(volume.path())
}
