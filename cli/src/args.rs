//! The command line. build.rs makes the man page and the completions from it, so this file knows clap alone.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};

/// Receive btrfs backups through butterdock's service, and see how they go
///
/// Without a verb, `butterdock` shows the status.
#[derive(Debug, Parser)]
#[command(name = "butterdock", version, args_override_self = true, disable_help_subcommand = true)]
#[command(subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub(crate) struct Args {
    /// Print JSON: one object, or one a line while watching
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the volumes and the jobs that are not done; the default
    Status,

    /// Receive a stream that btrfs send made into a volume, and watch
    Receive(Receive),

    /// List the jobs, those that ended minutes ago included
    Jobs,

    /// Watch one job, or every job, to the end
    Watch {
        /// The job's id, or its first digits; without it every job, until none is left
        #[arg(value_name = "JOB")]
        job: Option<String>,
    },

    /// Cancel a job; returns when nothing half-made is left
    Cancel {
        /// The job's id, or its first digits
        #[arg(value_name = "JOB")]
        job: String,
    },

    /// List the jobs that ended, the newest first
    History,

    /// List the volumes
    Volumes,

    /// List the subvolumes of a volume
    Snapshots {
        /// The volume's name in the configuration
        #[arg(value_name = "VOLUME")]
        volume: String,
    },
}

/// What `receive` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Receive {
    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME")]
    pub(crate) volume: String,

    /// The stream; - is standard input
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Give the subvolume this name instead of the sender's
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<OsString>,

    /// Decompress everything and refuse what does not decompress; always so for callers other than root
    #[arg(long)]
    pub(crate) verify: bool,

    /// Write compressed extents decompressed
    #[arg(long)]
    pub(crate) force_decompress: bool,

    /// Print the job's id and do not wait for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_holds() {
        Args::command().debug_assert();
    }

    #[test]
    fn without_a_verb_there_is_none_and_json_stands_anywhere() {
        let args = Args::try_parse_from(["butterdock"]).expect("understood");
        assert!(args.verb.is_none() && !args.json);
        assert!(Args::try_parse_from(["butterdock", "jobs", "--json"]).expect("understood").json);
        assert!(Args::try_parse_from(["butterdock", "--json", "jobs"]).expect("understood").json);
    }

    #[test]
    fn a_stream_comes_from_standard_input_unless_a_file_is_named() {
        let file = |words: &[&str]| match Args::try_parse_from(words).expect("understood").verb {
            Some(Verb::Receive(receive)) => receive.file,
            other => panic!("{other:?}"),
        };
        assert_eq!(file(&["butterdock", "receive", "tank"]), PathBuf::from("-"));
        assert_eq!(file(&["butterdock", "receive", "tank", "-"]), PathBuf::from("-"));
        assert_eq!(file(&["butterdock", "receive", "tank", "a", "--verify"]), PathBuf::from("a"));
    }
}
