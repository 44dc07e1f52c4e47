//! Backups to drives: a hundred thousand small files beside what people do by hand, and how long a person waits who plugs a
//! drive in.
//!
//! `cargo bench -p butterdock-tests --bench backup [-- --rounds N] [--record FILE]`

mod plug;
mod small;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use butterdock_tests::{TIMEOUT, run};
use clap::Parser;

/// Backups, measured.
#[derive(Debug, Parser)]
struct Options {
    /// How many rounds
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Append the table to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Given by `cargo bench` to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rounds = usize::try_from(options.rounds)?;
    let plugs = plug::measure(rounds)?;
    let pairs = small::run_pairs(rounds)?;
    let block = table(&pairs, &plugs)?;
    // A closed pipe is no reason to forget what was measured.
    drop(writeln!(std::io::stdout(), "{block}"));
    if let Some(file) = &options.record {
        let old = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        std::fs::write(file, format!("{}\n\n{block}", old.trim_end()))?;
    }
    Ok(())
}

fn table(pairs: &[(Duration, Duration)], plugs: &plug::Plugs) -> Result<String> {
    let (ours, theirs) = (median(pairs.iter().map(|pair| pair.0)), median(pairs.iter().map(|pair| pair.1)));
    let mut ratios: Vec<f64> = pairs.iter().map(|(ours, theirs)| ours.as_secs_f64() / theirs.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios.get(ratios.len() / 2).copied().unwrap_or_default();
    let (first, safe) = (median(plugs.first_byte.iter().copied()), median(plugs.safe.iter().copied()));
    let met = |met: bool| if met { "yes" } else { "**no**" };
    let said = |program: &str, words: &[&str]| -> Result<String> {
        Ok(run(Command::new(program).args(words), TIMEOUT)?.success()?.out().trim().to_owned())
    };
    Ok(format!(
        "## Backups, {}\n\n- kernel: {}, {} cores\n- medians of {} rounds on loop volumes\n\n\
         | what | measured | target | met |\n|---|---|---|---|\n\
         | 100 000 small files to a drive / `btrfs send \\| btrfs receive; sync`: wall | {ratio:.2} ({:.2}–{:.2}; {ours:.2?} / \
         {theirs:.2?}) | ≤ 0.75 | {} |\n\
         | plug to the first byte | {first:.2?} | ≤ 2 s | {} |\n\
         | plug to safe, source unchanged | {safe:.2?} | ≤ 3 s | {} |\n",
        said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])?,
        said("uname", &["-r"])?,
        std::thread::available_parallelism()?,
        pairs.len(),
        ratios.first().copied().unwrap_or_default(),
        ratios.last().copied().unwrap_or_default(),
        met(ratio <= 0.75),
        met(first <= Duration::from_secs(2)),
        met(safe <= Duration::from_secs(3)),
    ))
}

fn median(all: impl Iterator<Item = Duration>) -> Duration {
    let mut all: Vec<Duration> = all.collect();
    all.sort();
    all.get(all.len() / 2).copied().unwrap_or_default()
}
