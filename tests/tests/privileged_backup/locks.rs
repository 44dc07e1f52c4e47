//! Other users, who lock what they can open; and two backups at once.

use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::chown;
use std::thread::scope;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::rig::{Hired, Meddler, all_names, butterdockd};
use serde_json::{Value, json};

use crate::stage::{Stage, incremental, order, told, with};

const OWNER: u32 = 1000;

/// Who may read the folder for snapshots; and his is the source, so that each snapshot is his to open, too.
#[test]
fn a_user_who_locks_the_folder_and_the_snapshots_holds_up_no_backup() -> Result<()> {
    let stage = Stage::new()?;
    chown(stage.live(""), Some(OWNER), Some(OWNER))?;
    stage.back_up()?;
    fs::write(stage.live("large"), vec![b'z'; 100 << 20])?;
    let mut worker = stage.begin(&order())?;
    worker.wait_for("began")?;
    worker.kill()?;
    let meddler = Meddler::start(&stage.rig, &stage.folder(), OWNER)?;
    meddler.wait_for_one().context("nothing was left: this shows little")?;
    for number in 0..10 {
        fs::write(stage.live("file"), format!("{number}"))?;
        let ended = stage.back_up()?;
        ensure!(incremental(&ended)?, "{:?}", ended.reports);
        let (mine, theirs) = stage.names()?;
        let hidden: Vec<_> = mine.iter().chain(&theirs).filter(|name| name.starts_with('.')).collect();
        ensure!(hidden.is_empty(), "{hidden:?}");
    }
    meddler.stop()?;
    stage.is_restorable()
}

#[test]
fn of_two_backups_at_once_beside_one_source_nothing_is_lost() -> Result<()> {
    const EACH: usize = 8;
    let stage = Stage::new()?;
    fs::create_dir(stage.drive.join("others"))?;
    let back_up = |folder: &str| -> Result<()> {
        let mut shared: Vec<Value> = Vec::new();
        for number in 0..EACH {
            fs::write(stage.live(folder), format!("{number}"))?;
            let (source, beside) = (File::open(stage.live(""))?, File::open(stage.folder())?);
            let destination = File::open(stage.drive.join(folder))?;
            let ends = [source.as_fd(), beside.as_fd(), destination.as_fd()];
            let order = with(json!({"shared": shared}));
            let ended = Hired::new(&butterdockd()?, &order, &ends)?.finish()?.success()?;
            ensure!(number == 0 || incremental(&ended)?, "{folder} {number}: {:?}", ended.reports);
            shared.extend(told(&ended, "pinned").into_iter().map(|told| told["learned"]["shared"].clone()));
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
    let mine = all_names(&stage.folder())?;
    ensure!(mine.len() == 2 * EACH, "beside the source: {mine:?}");
    for folder in ["backups", "others"] {
        let theirs = all_names(&stage.drive.join(folder))?;
        ensure!(theirs.len() == EACH && theirs.iter().all(|name| mine.contains(name)), "{theirs:?} of {mine:?}");
    }
    Ok(())
}
