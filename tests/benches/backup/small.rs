//! A hundred thousand small files: a backup by a worker, and `btrfs send | btrfs receive` and a sync, in turns on the same
//! volumes.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Layout, Sandbox, TIMEOUT, WorkerProcess, butterdockd, run, snapshot};
use serde_json::json;

const FILES: usize = 100_000;
const A_FOLDER: usize = 500;

/// The wall times of ours and of theirs, a pair for each round.
pub(crate) fn run_pairs(rounds: usize) -> Result<Vec<(Duration, Duration)>> {
    let sandbox = Sandbox::new()?;
    let source = sandbox.volume("source", &Layout::sized(4096, "compress=zstd"))?;
    let drive = sandbox.volume("drive", &Layout::sized(4096, "compress=zstd"))?;
    let live = source.join("live");
    snapshot::create(&live)?;
    snapshot::create(&live.join(".butterdock"))?;
    for number in 0..FILES {
        let folder = live.join((number / A_FOLDER).to_string());
        if number % A_FOLDER == 0 {
            fs::create_dir(&folder)?;
        }
        // From 500 bytes to 8 KiB: some lie in the trees, some do not.
        fs::write(folder.join(number.to_string()), format!("{number} ").repeat(80 + number % 1200))?;
    }
    let by_hand = source.join("by-hand");
    snapshot::freeze(&live, &by_hand)?;
    let mut pairs = Vec::new();
    for round in 0..rounds {
        // Each finds an empty drive, or ours would take what theirs brought for a parent; who goes first takes turns.
        let ours = || -> Result<Duration> {
            let took = backup(&live, &made(&drive.join("ours"))?)?;
            clear(drive.path())?;
            clear(&live.join(".butterdock"))?;
            Ok(took)
        };
        let theirs = || -> Result<Duration> {
            let took = pipe(&by_hand, &made(&drive.join("theirs"))?)?;
            clear(drive.path())?;
            Ok(took)
        };
        let pair = if round % 2 == 0 {
            (ours()?, theirs()?)
        } else {
            let theirs = theirs()?;
            (ours()?, theirs)
        };
        ensure!(pair.0 * 10 > pair.1, "ours took {:?}: it did not send everything", pair.0);
        drop(writeln!(std::io::stderr(), "round {round}: ours {:.2?}, theirs {:.2?}", pair.0, pair.1));
        pairs.push(pair);
    }
    Ok(pairs)
}

fn made(folder: &Path) -> Result<PathBuf> {
    fs::create_dir(folder)?;
    Ok(folder.to_owned())
}

fn backup(live: &Path, into: &Path) -> Result<Duration> {
    let keep = json!({"last": 9, "hourly": 0, "daily": 0, "weekly": 0, "monthly": 0, "yearly": 0});
    let task = json!({"backup": {"name": "68", "source": null, "keep": keep, "protect": 0, "pins": [], "machine": "0b".repeat(16), "writer_threads": null, "dry_run": false}});
    let (source, folder, into) = (File::open(live)?, File::open(live.join(".butterdock"))?, File::open(into)?);
    let began = Instant::now();
    let ended = WorkerProcess::new(&butterdockd()?, &task, &[source.as_fd(), folder.as_fd(), into.as_fd()])?
        .finish()?
        .success()?;
    let took = began.elapsed();
    ensure!(ended.said("published").len() == 1, "{:?}", ended.reports);
    Ok(took)
}

fn pipe(snapshot: &Path, into: &Path) -> Result<Duration> {
    let began = Instant::now();
    let line = "btrfs -q send --proto 2 --compressed-data \"$0\" | btrfs -q receive \"$1\" && sync -f \"$1\"";
    run(Command::new("sh").arg("-c").arg(line).arg(snapshot).arg(into), TIMEOUT)?.success()?;
    Ok(began.elapsed())
}

/// Deletes all subvolumes below, and waits until their space is free.
fn clear(at: &Path) -> Result<()> {
    for entry in fs::read_dir(at)? {
        let entry = entry?.path();
        let is_subvolume = fs::metadata(&entry).map(|meta| std::os::unix::fs::MetadataExt::ino(&meta) == 256)?;
        if is_subvolume {
            snapshot::delete(&entry)?;
        } else {
            clear(&entry)?;
            fs::remove_dir(&entry)?;
        }
    }
    run(Command::new("btrfs").args(["subvolume", "sync"]).arg(at), TIMEOUT)?.success().context("sync")?;
    Ok(())
}
