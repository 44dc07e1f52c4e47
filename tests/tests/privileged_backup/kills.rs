//! A worker that is killed, at any point.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use butterdock_tests::rounds;

use crate::fixture::{Fixture, events, incremental, order};

#[test]
fn after_a_kill_the_next_run_is_an_increment() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.back_up()?;
    let began = Instant::now();
    fs::write(fixture.live("grown"), vec![b'y'; 20 << 20])?;
    fixture.back_up()?;
    let whole = began.elapsed();
    let points = rounds(7, 20);
    for point in 0..points {
        fs::write(fixture.live("grown"), vec![u8::try_from(point)?; 20 << 20])?;
        let worker = fixture.begin(&order())?;
        std::thread::sleep(whole * point / points);
        worker.kill()?;
        // What can be seen is whole: on the drive it was received, and beside the source it is read-only.
        let (mine, theirs) = fixture.names()?;
        for name in theirs.iter().filter(|name| !name.starts_with(".butterdock-")) {
            ensure!(mine.contains(name), "point {point}: {name} has no twin among {mine:?}");
            let shown = butterdock_tests::snapshot::show(&fixture.destination().join(name))?;
            ensure!(shown.read_only && shown.received_uuid != "-", "point {point}: {shown:?}");
        }
        fs::write(fixture.live("small"), format!("{point}"))?;
        let next = fixture.back_up()?;
        ensure!(incremental(&next)?, "point {point}: {:?}", next.reports);
        fixture.is_restorable()?;
        let (mine, theirs) = fixture.names()?;
        let hidden: Vec<_> = mine.iter().chain(&theirs).filter(|name| name.starts_with('.')).collect();
        ensure!(hidden.is_empty(), "point {point}: {hidden:?}");
    }
    Ok(())
}

/// A worker that is killed in its last step leaves a snapshot that is all there, marked and read-only, and has no name yet.
#[test]
fn a_hidden_subvolume_is_no_backup() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.back_up()?;
    fs::write(fixture.live("file"), "changed")?;
    fixture.back_up()?;
    let newest = fixture.names()?.1.pop().context("the newest")?;
    let hidden = fixture.destination().join(".butterdock-0123456789abcdef0123456789abcdef");
    fs::rename(fixture.destination().join(&newest), &hidden)?;
    let next = fixture.back_up()?;
    ensure!(events(&next, "unchanged").is_empty() && incremental(&next)?, "{:?}", next.reports);
    ensure!(!hidden.exists(), "it was not swept");
    fixture.is_restorable()
}

#[test]
fn a_cancelled_backup_removes_its_snapshot() -> Result<()> {
    let fixture = Fixture::new()?;
    fs::write(fixture.live("large"), vec![b'z'; 100 << 20])?;
    let mut worker = fixture.begin(&order())?;
    worker.wait_for("began")?;
    worker.say("\"cancel\"")?;
    let ended = worker.finish()?;
    if ended.error()?.is_some() {
        ensure!(fixture.names()? == (vec![], vec![]), "{:?}", fixture.names()?);
    }
    std::thread::sleep(Duration::from_millis(10));
    Ok(())
}
