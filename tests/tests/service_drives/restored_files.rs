//! Files that are restored where something goes wrong: a full target, a worker that is stopped, a large sparse file.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{Frozen, Options, Scenario, no_options};
use nix::unistd::Pid;
use zbus::Variant;

use super::files::Calls;

const GIB: u64 = 1 << 30;

pub(crate) fn into_tank() -> Options<'static> {
    Options::from([("target", Variant::from("tank")), ("folder", Variant::from("back"))])
}

fn is_empty(scenario: &Scenario) -> Result<()> {
    let left: Vec<_> = fs::read_dir(scenario.tank.path())?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left.iter().all(|name| name == "filler"), "{left:?}");
    Ok(())
}

/// Begins a restore into the volume, and stops its worker at its first write there.
pub(crate) fn stopped_restore(scenario: &Scenario) -> Result<(String, Pid)> {
    let calls = Calls::new(scenario)?;
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    scenario.drive("safe after the list", &DriveState::Safe)?;
    let frozen = Frozen::new(scenario.tank.path())?;
    let job = calls.begin_restore(&uuid, &[b"large"], &into_tank())?;
    let worker = scenario.stop_worker()?;
    drop(frozen);
    scenario.is_stopped(worker)?;
    Ok((job, worker))
}

pub(crate) fn with_a_large_file() -> Result<Scenario> {
    let scenario = Scenario::begin()?;
    let large: Vec<u8> =
        (0..64_u32 << 20).flat_map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes().first().copied()).collect();
    fs::write(scenario.source.join("large"), large)?;
    scenario.job("Backup", &no_options())?;
    Ok(scenario)
}

#[test]
fn a_full_target_leaves_no_incomplete_file() -> Result<()> {
    let scenario = with_a_large_file()?;
    let filler = File::create(scenario.tank.join("filler"))?;
    let (mut at, noise) = (0, fs::read(scenario.source.join("large"))?);
    while let Ok(written @ 1..) = filler.write_at(&noise, at) {
        at += u64::try_from(written)?;
    }
    let calls = Calls::new(&scenario)?;
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    let job = calls.begin_restore(&uuid, &[b"large"], &into_tank())?;
    let end = scenario.fixture.client.end_of(&job)?;
    ensure!(end == ("failed".to_owned(), "NoSpace".to_owned()), "{end:?}");
    is_empty(&scenario)?;
    scenario.drive("released", &DriveState::Safe)?;
    scenario.no_worker_is_left()
}

#[test]
fn a_stopped_worker_does_not_keep_the_drive_from_a_removal() -> Result<()> {
    let scenario = with_a_large_file()?;
    let (job, _worker) = stopped_restore(&scenario)?;
    let drive = scenario.fixture.one("the drive", |is| is.enrolled)?;
    let call = (butterdock_dbus::names::interface::DRIVE, "SafelyRemove");
    scenario.fixture.client.call(&drive.path, call, &no_options())?;
    let end = scenario.fixture.client.end_of(&job)?;
    ensure!(end == ("cancelled".to_owned(), "Cancelled".to_owned()), "{end:?}");
    scenario.drive("safe", &DriveState::Safe)?;
    is_empty(&scenario)?;
    scenario.no_worker_is_left()
}

#[test]
fn a_file_of_5_gib_is_restored_with_its_holes() -> Result<()> {
    let scenario = Scenario::begin()?;
    let at = scenario.source.join("disk.image");
    let file = File::create(&at)?;
    file.set_len(5 * GIB)?;
    for (offset, text) in [(0, b"begin"), (4 * GIB + 5, b"inner"), (5 * GIB - 5, b"at it")] {
        file.write_at(text, offset)?;
    }
    drop(file);
    scenario.job("Backup", &no_options())?;
    fs::remove_file(&at)?;
    let calls = Calls::new(&scenario)?;
    let uuid = calls.snapshots()?.pop().context("a snapshot")?;
    calls.restore(&uuid, &[b"disk.image"], &[])?;
    let (file, mut text) = (File::open(&at)?, [0; 5]);
    let facts = file.metadata()?;
    ensure!(facts.len() == 5 * GIB && facts.blocks() * 512 < 1 << 20, "{facts:?}");
    for (offset, expected) in [(0, b"begin"), (4 * GIB + 5, b"inner"), (5 * GIB - 5, b"at it")] {
        file.read_exact_at(&mut text, offset)?;
        ensure!(&text == expected, "at {offset}: {}", text.escape_ascii());
    }
    Ok(())
}
