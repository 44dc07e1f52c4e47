//! Side by side: `butterdockd receive` and `btrfs receive`, the same streams into the same volume.
//!
//! The two alternate and the order flips with every pair, so that a machine that warms up or slows down favours
//! neither. The clock runs until the destination is synced, for both: what is compared is the time until the data is
//! durable. Every run begins on a filesystem made for it, outside the clock.

mod cases;
mod disk;
mod increment;
mod machine;
mod measure;
mod options;
mod pairs;
mod random;
mod results;
mod streams;
mod table;
mod trees;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser as _;
use nix::sys::signal::{SigSet, Signal};

use crate::options::Options;

fn main() -> ExitCode {
    let outcome = match std::env::args_os().nth(1) {
        Some(word) if word == measure::WORD => measure::child(std::env::args_os().skip(2)),
        _ => bench(&Options::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("ERROR: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Measures what was asked for, prints the table and, where asked to, keeps it.
fn bench(options: &Options) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the bench makes and mounts loop volumes and needs root: run it with sudo"
    );
    ignore_signals()?;
    let cases = cases::chosen(&options.only)?;
    let streams = streams::prepare(&cases, &options.folder()?)?;
    let mut destination = disk::Volume::make("destination", options.destination_mount())?;
    say(&format!("destination: {}", destination.describe()));
    let mut rows = Vec::new();
    for case in cases {
        let row = pairs::run(case, &streams, &mut destination, options)
            .with_context(|| format!("case ({})", case.letter()))?;
        rows.push(row);
    }
    let block = table::markdown(&rows, options, &destination)?;
    say(&block);
    if let Some(file) = &options.record {
        results::keep(file, &block)?;
    }
    Ok(())
}

/// Ctrl-C reaches the tools, whose failure then ends the bench in good order: the volumes are unmounted on the way.
fn ignore_signals() -> Result<()> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        set.add(signal);
    }
    set.thread_block().context("signals cannot be blocked")
}

/// One line, or one block, for the person who waits.
pub(crate) fn say(text: &str) {
    // A closed pipe is no reason to leave volumes mounted.
    drop(writeln!(std::io::stdout(), "{text}"));
}

fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
