//! The options of the benchmark.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

/// Both receivers, side by side.
#[derive(Debug, Parser)]
#[command(about = "`butterdockd receive` beside `btrfs receive`: wall clock, CPU and peak memory")]
pub(crate) struct Options {
    /// The cases to run, by letter: a, b, c, d, e and f (e with a's stream)
    #[arg(long, default_value = "abcdef")]
    pub(crate) only: String,

    /// How many pairs of runs a case gets
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pairs: u32,

    /// The binary on our side (default: the release build beside this one)
    #[arg(long, value_name = "PATH")]
    ours: Option<PathBuf>,

    /// The binary on the other side
    #[arg(long, value_name = "PATH", default_value = "btrfs")]
    pub(crate) theirs: PathBuf,

    /// An argument more for our side; may be given several times, for instance `--ours-arg=--writer threads=1`
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) ours_arg: Vec<String>,

    /// Where generated streams are kept between runs (default: $`BENCH_DIR`, else /var/tmp/butterdock-bench)
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,

    /// Options that the destination is mounted with
    #[arg(long, value_name = "OPTIONS")]
    mount: Option<String>,

    /// Put the table at the head of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Print every single run
    #[arg(long, short)]
    pub(crate) verbose: bool,

    /// Given by `cargo bench` to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// The binary on our side, checked to exist.
    pub(crate) fn ours(&self) -> Result<PathBuf> {
        if let Some(path) = &self.ours {
            return Ok(path.clone());
        }
        // This binary lies in target/release/deps, the one it measures two folders up.
        let own = std::env::current_exe().context("the bench does not find itself")?;
        let path = own
            .parent()
            .and_then(std::path::Path::parent)
            .map(|folder| folder.join("butterdockd"))
            .context("the bench lies in no folder")?;
        ensure!(
            path.is_file(),
            "{} is not there: build it with `cargo build --release`, or name another with --ours",
            path.display()
        );
        Ok(path)
    }

    /// The folder that keeps streams between runs; made when missing.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        let folder = self
            .dir
            .clone()
            .or_else(|| std::env::var_os("BENCH_DIR").map(PathBuf::from))
            .unwrap_or_else(|| PathBuf::from("/var/tmp/butterdock-bench"));
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(folder)
    }

    /// Mount options of the destination. `nodiscard` always: a trimmed image would give its memory back, and the next
    /// run alone would pay for it.
    pub(crate) fn destination_mount(&self) -> String {
        match &self.mount {
            Some(more) => format!("nodiscard,{more}"),
            None => "nodiscard".to_owned(),
        }
    }
}
