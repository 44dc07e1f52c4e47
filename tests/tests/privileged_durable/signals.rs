//! SIGINT and SIGTERM.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use butterdock_receive::{Control, ErrorKind, Observer, Options, Phase, receive};
use butterdock_tests::{Receiver, Sandbox, TIMEOUT, start, under_load};
use nix::sys::signal::Signal;

use crate::streams::{Source, is_empty, names};

/// Our receiver with the default actions of signals: a shell ignores signals for programs in the background, and a program
/// inherits ignored signals.
fn heeding() -> Result<Command> {
    let ours = Receiver::Ours.command()?;
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM").arg(ours.get_program()).args(ours.get_args());
    Ok(command)
}

/// Half a stream is there and the sender is silent: the signal must wake the reader.
fn interrupted(signal: Signal, status: i32) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::of_everything(&sandbox)?;
    let volume = sandbox.plain_volume("ours")?;
    let mut running = start(heeding()?.arg(volume.path()).stdin(Stdio::piped()))?;
    let mut input = running.input()?;
    let stream = fs::read(&source.stream)?;
    input.write_all(stream.get(..stream.len() / 2).unwrap_or_default())?;
    let waits_from = Instant::now();
    while names(volume.path())?.1.is_empty() {
        ensure!(waits_from.elapsed() < TIMEOUT, "no hidden subvolume came");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    running.signal(signal)?;
    let finished = running.finish(under_load(Duration::from_secs(10)))?;
    drop(input);
    ensure!(finished.code() == status, "ended with {}: {}", finished.code(), finished.err());
    is_empty(volume.path())?;
    Receiver::Ours.receive(&source.stream, volume.path())?;
    source.is_whole_at(&volume.join("s0"))
}

#[test]
fn an_interrupt_ends_with_130_and_leaves_nothing() -> Result<()> {
    interrupted(Signal::SIGINT, 130)
}

#[test]
fn a_termination_ends_with_143_and_leaves_nothing() -> Result<()> {
    interrupted(Signal::SIGTERM, 143)
}

#[test]
fn an_interrupt_leaves_nothing_or_everything() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::of_everything(&sandbox)?;
    let volume = sandbox.plain_volume("ours")?;
    for pause in [1, 5, 10, 20, 40, 60, 80, 100, 150, 200] {
        let mut running = start(heeding()?.arg("-f").arg(&source.stream).arg(volume.path()))?;
        std::thread::sleep(Duration::from_millis(pause));
        running.signal(Signal::SIGINT)?;
        let finished = running.finish(TIMEOUT)?;
        if finished.code() == 0 {
            source.is_whole_at(&volume.join("s0"))?;
            butterdock_tests::snapshot::delete(&volume.join("s0"))?;
        } else {
            ensure!(finished.code() == 130, "ended with {}: {}", finished.code(), finished.err());
            is_empty(volume.path())?;
        }
    }
    Ok(())
}

/// Cancels when its phase comes.
struct Late {
    at: Phase,
    control: Control,
}

impl Observer for Late {
    fn phase(&self, phase: Phase) {
        if phase == self.at {
            self.control.cancel();
        }
    }
}

/// The end of the input was read long ago when a subvolume is published: a signal then has nothing left to end, and
/// must not be reported as if it had.
#[test]
fn a_cancel_after_publication_is_a_success() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::of_everything(&sandbox)?;
    let volume = sandbox.plain_volume("ours")?;
    let directory = File::open(volume.path())?;
    for at in [Phase::Syncing, Phase::Checking, Phase::Marking, Phase::ReadOnly, Phase::Publishing, Phase::Settling] {
        let control = Control::new()?;
        let late = Late { at, control: control.clone() };
        let stream = File::open(&source.stream)?;
        let result = receive(stream.as_fd(), directory.as_fd(), &Options::default(), &control, &late);
        match result {
            Ok(outcome) => {
                ensure!(outcome.subvolumes.len() == 1, "{at:?}: {outcome:?}");
                ensure!(!matches!(at, Phase::Syncing | Phase::Checking), "{at:?} is early enough to be cancelled");
                source.is_whole_at(&volume.join("s0"))?;
                butterdock_tests::snapshot::delete(&volume.join("s0"))?;
            }
            Err(failure) => {
                ensure!(failure.error.kind() == ErrorKind::Cancelled, "{at:?}: {failure}");
                ensure!(matches!(at, Phase::Syncing | Phase::Checking), "{at:?} came too late to cancel");
                is_empty(volume.path())?;
            }
        }
    }
    Ok(())
}
