//! A worker that is killed, at any point.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use butterdock_tests::rig::rounds;

use crate::stage::{Stage, incremental, order, told};

#[test]
fn a_kill_leaves_nothing_half_made_and_the_next_run_is_an_increment() -> Result<()> {
    let stage = Stage::new()?;
    stage.back_up()?;
    let began = Instant::now();
    fs::write(stage.live("grown"), vec![b'y'; 20 << 20])?;
    stage.back_up()?;
    let whole = began.elapsed();
    let points = rounds(7, 20);
    for point in 0..points {
        fs::write(stage.live("grown"), vec![u8::try_from(point)?; 20 << 20])?;
        let worker = stage.begin(&order())?;
        std::thread::sleep(whole * point / points);
        worker.kill()?;
        // What can be seen is whole: on the drive it was received, and beside the source it is read-only.
        let (mine, theirs) = stage.names()?;
        for name in theirs.iter().filter(|name| !name.starts_with(".butterdock-")) {
            ensure!(mine.contains(name), "point {point}: {name} has no twin among {mine:?}");
            let shown = butterdock_tests::snapshot::show(&stage.destination().join(name))?;
            ensure!(shown.read_only && shown.received_uuid != "-", "point {point}: {shown:?}");
        }
        fs::write(stage.live("small"), format!("{point}"))?;
        let next = stage.back_up()?;
        ensure!(incremental(&next)?, "point {point}: {:?}", next.reports);
        stage.is_restorable()?;
        let (mine, theirs) = stage.names()?;
        let hidden: Vec<_> = mine.iter().chain(&theirs).filter(|name| name.starts_with('.')).collect();
        ensure!(hidden.is_empty(), "point {point}: {hidden:?}");
    }
    Ok(())
}

/// A worker that is killed in its last step leaves a snapshot that is all there, marked and read-only, and has no name yet.
#[test]
fn what_has_everything_but_its_name_is_no_backup() -> Result<()> {
    let stage = Stage::new()?;
    stage.back_up()?;
    fs::write(stage.live("file"), "changed")?;
    stage.back_up()?;
    let newest = stage.names()?.1.pop().context("the newest")?;
    let hidden = stage.destination().join(".butterdock-0123456789abcdef0123456789abcdef");
    fs::rename(stage.destination().join(&newest), &hidden)?;
    let next = stage.back_up()?;
    ensure!(told(&next, "unchanged").is_empty() && incremental(&next)?, "{:?}", next.reports);
    ensure!(!hidden.exists(), "it was not swept");
    stage.is_restorable()
}

#[test]
fn a_cancelled_backup_removes_its_snapshot() -> Result<()> {
    let stage = Stage::new()?;
    fs::write(stage.live("large"), vec![b'z'; 100 << 20])?;
    let mut worker = stage.begin(&order())?;
    worker.wait_for("began")?;
    worker.say("\"cancel\"")?;
    let ended = worker.finish()?;
    if ended.error()?.is_some() {
        ensure!(stage.names()? == (vec![], vec![]), "{:?}", stage.names()?);
    }
    std::thread::sleep(Duration::from_millis(10));
    Ok(())
}
