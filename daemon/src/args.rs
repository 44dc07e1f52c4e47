//! The command line. A test below compares it with `man/butterdockd.8`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

/// butterdock's service: receives btrfs send streams, confined and durable.
#[derive(Debug, Parser)]
#[command(name = "butterdockd", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Receive(Receive),
    Serve(Serve),
    CheckConfig(CheckConfig),
    /// Do one job for the daemon (started only by the daemon)
    #[command(hide = true)]
    Worker,
}

/// Run the service on the D-Bus system bus.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    /// Read this configuration instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// Check the configuration and describe it.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckConfig {
    /// The configuration to check instead of the system's
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// Receive the subvolumes of a send stream into a directory of a btrfs filesystem.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(crate) struct Receive {
    /// The directory in which the subvolumes appear
    #[arg(value_name = "DIR", required_unless_present = "dump", conflicts_with = "dump")]
    pub(crate) destination: Option<PathBuf>,

    /// Read the stream from FILE instead of standard input
    #[arg(short = 'f', value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Stop after the first END command and read nothing after it
    #[arg(short = 'e', long)]
    pub(crate) terminate_on_end: bool,

    /// Continue until N commands have failed (0: never stop); nothing is published after a failure
    #[arg(short = 'E', long, value_name = "N", default_value_t = 1)]
    pub(crate) max_errors: u64,

    /// Accepted for scripts written for btrfs receive: confinement is always on
    #[arg(short = 'C', long)]
    pub(crate) chroot: bool,

    /// The mount point of the filesystem's top-level subvolume, if it cannot be found
    #[arg(short = 'm', long, value_name = "PATH")]
    pub(crate) root_mount: Option<PathBuf>,

    /// Print the writes; twice: every command
    #[arg(short = 'v', long, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print only errors
    #[arg(short = 'q', long)]
    pub(crate) quiet: bool,

    /// Decompress compressed extents before writing them
    #[arg(long)]
    pub(crate) force_decompress: bool,

    /// Print the stream's commands as text and change nothing; needs no root
    #[arg(long, conflicts_with = "json")]
    pub(crate) dump: bool,

    /// Print progress and the result as JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,

    /// Whether to show a progress bar if standard error is a terminal
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ProgressWhen::Auto)]
    pub(crate) progress: ProgressWhen,

    /// Decompress every compressed extent and refuse one that does not decompress
    #[arg(long)]
    pub(crate) verify: bool,

    /// Write data with N threads (default: one for each core)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) writer_threads: Option<u16>,

    /// Name of the new subvolume (default: the name in the stream)
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<OsString>,

    /// Refuse a parent whose generation number differs from the one in the stream, even if it has not changed
    #[arg(long)]
    pub(crate) strict_parent: bool,

    /// Ignore fs-verity in the stream
    #[arg(long)]
    pub(crate) no_verity: bool,

    /// Start over instead of resuming an interrupted transfer from its checkpoint
    #[arg(long)]
    pub(crate) no_resume: bool,

    /// Delete the checkpoints of interrupted transfers in DIR and receive nothing
    #[arg(long, conflicts_with_all = ["file", "dump", "no_resume"])]
    pub(crate) discard: bool,

    /// The least time between two checkpoints, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) checkpoint_every: u32,

    /// The least number of bytes of the stream between two checkpoints; 0 makes none
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    pub(crate) checkpoint_bytes: u64,
}

/// When to show a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressWhen {
    /// If standard error is a terminal
    Auto,
    /// Never
    Never,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory as _;

    use super::*;

    const PAGE: &str = include_str!("../man/butterdockd.8");

    fn receive(words: &[&str]) -> Result<Receive, clap::Error> {
        let all = ["butterdockd", "receive"].iter().chain(words);
        Args::try_parse_from(all).map(|args| match args.command {
            Command::Receive(wanted) => wanted,
            Command::Serve(_) | Command::CheckConfig(_) | Command::Worker => {
                unreachable!("the words begin with receive")
            }
        })
    }

    /// The options that clap knows, `-h` aside, which every program has.
    fn defined() -> BTreeSet<String> {
        let whole = Args::command();
        let command = whole.find_subcommand("receive").expect("receive");
        command
            .get_arguments()
            .flat_map(|arg| {
                let short = arg.get_short().map(|letter| format!("-{letter}"));
                let long = arg.get_long().map(|word| format!("--{word}"));
                short.into_iter().chain(long)
            })
            .collect()
    }

    /// The options that head a paragraph of the page's OPTIONS.
    fn documented() -> BTreeSet<String> {
        let page = PAGE.replace("\\-", "-").replace("\\fB", " ").replace("\\fR", " ").replace("\\fI", " ");
        let options = page.split(".SH OPTIONS").nth(1).and_then(|rest| rest.split(".SH").next()).expect("OPTIONS");
        let heads = options.lines().filter(|line| [".B -", ".BI -", ".BR -"].iter().any(|head| line.starts_with(head)));
        heads
            .flat_map(|line| line.split([' ', ',', '"']))
            .filter(|word| word.starts_with('-'))
            .map(|word| word.trim_end_matches('=').to_owned())
            .collect()
    }

    #[test]
    fn the_definition_holds() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_man_page_has_every_option_and_no_other() {
        assert_eq!(documented(), defined());
    }

    #[test]
    fn options_may_stand_behind_the_operand() {
        let wanted = receive(&["/mnt", "-f", "stream", "-vv", "-E", "0", "-e"]).expect("understood");
        assert_eq!((wanted.verbose, wanted.max_errors, wanted.terminate_on_end), (2, 0, true));
        assert_eq!(wanted.destination, Some(PathBuf::from("/mnt")));
    }

    #[test]
    fn clustered_and_repeated_options_are_understood() {
        let wanted = receive(&["-vqev", "-q", "-f", "a", "-fb", "."]).expect("understood");
        assert_eq!((wanted.verbose, wanted.quiet), (2, true));
        assert_eq!(wanted.file, Some(PathBuf::from("b")));
    }

    #[test]
    fn a_dump_takes_no_destination_and_everything_else_needs_one() {
        assert!(receive(&["--dump"]).is_ok());
        assert!(receive(&["--dump", "/mnt"]).is_err());
        assert!(receive(&["-f", "stream"]).is_err());
        assert!(receive(&["/mnt", "/srv"]).is_err());
    }
}
