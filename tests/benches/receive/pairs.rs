//! Runs of one case, in pairs whose order flips.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::cases::Case;
use crate::disk::{self, Volume};
use crate::measure::{self, Cost};
use crate::options::Options;
use crate::streams::Streams;

/// What both sides took for one case: one entry a pair.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) stream_bytes: u64,
    pub(crate) pairs: Vec<Pair>,
}

/// Two runs that followed each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) ours: Cost,
    pub(crate) theirs: Cost,
}

/// Runs all pairs of a case.
pub(crate) fn run(case: Case, streams: &Streams, volume: &Volume, options: &Options) -> Result<Row> {
    let stream = streams.path(case.stream());
    let stream_bytes = warm(&stream)?;
    let runner = Runner { case, stream, point: volume.point(), ours: options.ours()?, options };
    if let Some(parent) = case.parent() {
        let words = measure::command_line(&streams.path(parent), &runner.point, &[]);
        disk::run("btrfs", words).context("the parent cannot be received")?;
    }
    // The first run of a case alone pays for what the kernel allocates once; it does not count.
    runner.theirs()?;
    let mut pairs = Vec::new();
    for number in 0..options.pairs {
        let pair = if number % 2 == 0 {
            let ours = runner.ours()?;
            Pair { ours, theirs: runner.theirs()? }
        } else {
            let theirs = runner.theirs()?;
            Pair { ours: runner.ours()?, theirs }
        };
        crate::say(&format!(
            "({}) pair {}: ours {:.2} s, theirs {:.2} s, wall ratio {:.3}",
            case.letter(),
            number + 1,
            pair.ours.wall.as_secs_f64(),
            pair.theirs.wall.as_secs_f64(),
            pair.ours.wall.as_secs_f64() / pair.theirs.wall.as_secs_f64()
        ));
        if options.verbose {
            crate::say(&format!("    ours   {:?}\n    theirs {:?}", pair.ours, pair.theirs));
        }
        pairs.push(pair);
    }
    if case.parent().is_some() {
        remove(&runner.point, "base")?;
    }
    Ok(Row { case, stream_bytes, pairs })
}

struct Runner<'a> {
    case: Case,
    stream: PathBuf,
    point: PathBuf,
    ours: PathBuf,
    options: &'a Options,
}

impl Runner<'_> {
    fn ours(&self) -> Result<Cost> {
        let more: Vec<&OsStr> = self.options.ours_arg.iter().map(OsStr::new).collect();
        self.once(&self.ours, more).context("our side")
    }

    fn theirs(&self) -> Result<Cost> {
        self.once(&self.options.theirs, Vec::new()).context("the other side")
    }

    fn once(&self, program: &Path, mut more: Vec<&OsStr>) -> Result<Cost> {
        if self.case.forces_decompression() {
            more.push(OsStr::new("--force-decompress"));
        }
        let words = measure::command_line(&self.stream, &self.point, &more);
        // What other work left behind is written outside the clock.
        nix::unistd::sync();
        let cost = measure::run(&self.point, program, &words)?;
        let name = self.case.subvolume();
        ensure!(self.point.join(name).is_dir(), "{} said success and {name} is not there", program.display());
        remove(&self.point, name)?;
        Ok(cost)
    }
}

/// Deletes a subvolume and waits until the kernel's cleaner is through with it.
fn remove(point: &Path, name: &str) -> Result<()> {
    let path = point.join(name);
    disk::run("btrfs", ["subvolume".as_ref(), "delete".as_ref(), path.as_os_str()])?;
    disk::run("btrfs", ["subvolume".as_ref(), "sync".as_ref(), point.as_os_str()])?;
    disk::run("btrfs", ["filesystem".as_ref(), "sync".as_ref(), point.as_os_str()])?;
    Ok(())
}

/// Reads a stream once, so that every run finds it in memory. Returns its length.
fn warm(stream: &Path) -> Result<u64> {
    let mut file = std::fs::File::open(stream).with_context(|| format!("{} cannot be read", stream.display()))?;
    Ok(std::io::copy(&mut file, &mut std::io::sink())?)
}
