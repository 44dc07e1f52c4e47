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
    pub(crate) pairs: Vec<PairedRun>,
}

/// Two runs that followed each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairedRun {
    pub(crate) ours: Cost,
    pub(crate) theirs: Cost,
}

/// Runs all pairs of a case.
pub(crate) fn run(case: Case, streams: &Streams, volume: &mut Volume, options: &Options) -> Result<Row> {
    let stream = streams.path(case.stream());
    let stream_bytes = warm(&stream)?;
    let parent = case.parent().map(|name| streams.path(name));
    let mut runner = Runner { case, stream, parent, volume, ours: options.ours()?, options };
    // The first run of a case alone pays for what the kernel allocates once; it does not count.
    runner.theirs()?;
    let mut pairs = Vec::new();
    for number in 0..options.pairs {
        let pair = if number % 2 == 0 {
            let ours = runner.ours()?;
            PairedRun { ours, theirs: runner.theirs()? }
        } else {
            let theirs = runner.theirs()?;
            PairedRun { ours: runner.ours()?, theirs }
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
    Ok(Row { case, stream_bytes, pairs })
}

struct Runner<'a> {
    case: Case,
    stream: PathBuf,
    parent: Option<PathBuf>,
    volume: &'a mut Volume,
    ours: PathBuf,
    options: &'a Options,
}

impl Runner<'_> {
    fn ours(&mut self) -> Result<Cost> {
        let more: Vec<&OsStr> = self.options.ours_arg.iter().map(OsStr::new).collect();
        self.once(&self.ours.clone(), more).context("our side")
    }

    fn theirs(&mut self) -> Result<Cost> {
        self.once(&self.options.theirs, Vec::new()).context("the other side")
    }

    fn once(&mut self, program: &Path, mut more: Vec<&OsStr>) -> Result<Cost> {
        if self.case.forces_decompression() {
            more.push(OsStr::new("--force-decompress"));
        }
        self.volume.renew()?;
        let point = self.volume.point();
        if let Some(parent) = &self.parent {
            let words = measure::command_line(parent, &point, &[]);
            disk::run("btrfs", words).context("the parent cannot be received")?;
        }
        let words = measure::command_line(&self.stream, &point, &more);
        // What other work left behind is written outside the clock.
        nix::unistd::sync();
        let cost = measure::run(&point, program, &words)?;
        let name = self.case.subvolume();
        ensure!(point.join(name).is_dir(), "{} said success and {name} is not there", program.display());
        Ok(cost)
    }
}

/// Reads a stream once, so that every run finds it in memory. Returns its length.
fn warm(stream: &Path) -> Result<u64> {
    let mut file = std::fs::File::open(stream).with_context(|| format!("{} cannot be read", stream.display()))?;
    Ok(std::io::copy(&mut file, &mut std::io::sink())?)
}
