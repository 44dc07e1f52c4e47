//! Other users who lock what they can open; and two backups at once.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::chown;
use std::thread::scope;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{LockHolder, WorkerProcess, all_names, butterdockd};
use serde_json::{Value, json};

use crate::fixture::{Fixture, events, incremental, order, with};

const OWNER: u32 = 1000;

/// Who may read the folder for snapshots; and his is the source, so that each snapshot is his to open, too.
#[test]
fn locks_on_the_folder_do_not_block_a_backup() -> Result<()> {
    let fixture = Fixture::new()?;
    chown(fixture.live(""), Some(OWNER), Some(OWNER))?;
    fixture.back_up()?;
    fs::write(fixture.live("large"), vec![b'z'; 100 << 20])?;
    let mut worker = fixture.begin(&order())?;
    worker.wait_for("began")?;
    worker.kill()?;
    let lock_holder = LockHolder::start(&fixture.sandbox, &fixture.folder(), OWNER)?;
    lock_holder.wait_for_one().context("nothing was left: this shows little")?;
    for number in 0..10 {
        fs::write(fixture.live("file"), format!("{number}"))?;
        let ended = fixture.back_up()?;
        ensure!(incremental(&ended)?, "{:?}", ended.reports);
        let (mine, theirs) = fixture.names()?;
        let hidden: Vec<_> = mine.iter().chain(&theirs).filter(|name| name.starts_with('.')).collect();
        ensure!(hidden.is_empty(), "{hidden:?}");
    }
    lock_holder.stop()?;
    fixture.is_restorable()
}

#[test]
fn two_backups_of_one_source_lose_nothing() -> Result<()> {
    const EACH: usize = 8;
    let fixture = Fixture::new()?;
    fs::create_dir(fixture.drive.join("others"))?;
    let back_up = |folder: &str| -> Result<()> {
        let mut shared: Vec<Value> = Vec::new();
        for number in 0..EACH {
            fs::write(fixture.live(folder), format!("{number}"))?;
            let (source, beside) = (File::open(fixture.live(""))?, File::open(fixture.folder())?);
            let destination = File::open(fixture.drive.join(folder))?;
            let ends = [source.as_fd(), beside.as_fd(), destination.as_fd()];
            let order = with(json!({"shared": shared}));
            let ended = WorkerProcess::new(&butterdockd()?, &order, &ends)?.finish()?.success()?;
            ensure!(number == 0 || incremental(&ended)?, "{folder} {number}: {:?}", ended.reports);
            shared.extend(events(&ended, "pinned").into_iter().map(|told| told["learned"]["shared"].clone()));
        }
        Ok(())
    };
    scope(|threads| -> Result<()> {
        let both = ["backups", "others"].map(|folder| threads.spawn(move || back_up(folder)));
        for ended in both.map(|thread| thread.join()) {
            ended.ok().context("a thread has fallen over")??;
        }
        Ok(())
    })?;
    let mine = all_names(&fixture.folder())?;
    ensure!(mine.len() == 2 * EACH, "beside the source: {mine:?}");
    for folder in ["backups", "others"] {
        let theirs = all_names(&fixture.drive.join(folder))?;
        ensure!(theirs.len() == EACH && theirs.iter().all(|name| mine.contains(name)), "{theirs:?} of {mine:?}");
    }
    Ok(())
}
