//! What the service costs: receiving through it beside `butterdockd receive`, the daemon at rest and under load, how soon
//! a cancel is in effect, and how long the first call to a daemon takes that the bus has to start.
//!
//! Numbers are printed and recorded, and none of them fails the benchmark: a busy machine is no fault of the
//! service. The bus is a private dbus-daemon, the volumes are loop devices, in memory where there is room.

mod calls;
mod endless;
mod pairs;
mod rest;
mod table;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

/// What the service costs, measured.
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// How many pairs of runs
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,

    /// The stream of the pairs (default: the large files that the bench `receive` keeps)
    #[arg(long, value_name = "FILE")]
    stream: Option<PathBuf>,

    /// Measure only how soon the daemon answers and cancels, and print that
    #[arg(long, conflicts_with_all = ["record", "stream"])]
    only_calls: bool,

    /// Append the table to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Given by `cargo bench` to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    match measure(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "ERROR: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<()> {
    if options.only_calls {
        say(&table::calls(&calls::run()?).join("\n"));
        return Ok(());
    }
    let stream = stream(options)?;
    let pairs = pairs::run(&stream, options.pairs)?;
    let rest = rest::run()?;
    let calls = calls::run()?;
    let block = table::markdown(&pairs, &rest, &calls)?;
    say(&block);
    if let Some(file) = &options.record {
        let old = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        std::fs::write(file, format!("{}\n\n{block}", old.trim_end()))?;
    }
    Ok(())
}

fn stream(options: &Options) -> Result<PathBuf> {
    if let Some(stream) = &options.stream {
        return Ok(stream.clone());
    }
    let folder =
        std::env::var_os("BENCH_DIR").map_or_else(|| PathBuf::from("/var/tmp/butterdock-bench"), PathBuf::from);
    let stream = folder.join("streams-1/large-v2.stream");
    ensure!(
        stream.is_file(),
        "{} is not there: run the bench `receive --only b` first, which makes it, or name a stream with --stream",
        stream.display()
    );
    Ok(stream)
}

/// One line, or one block, for the person who waits.
pub(crate) fn say(text: &str) {
    // A closed pipe is no reason to leave volumes mounted.
    drop(writeln!(std::io::stdout(), "{text}"));
}
