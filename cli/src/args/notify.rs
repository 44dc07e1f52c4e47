//! The arguments of `notify`.

use clap::Subcommand;

/// The verbs of `notify`.
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyVerb {
    /// Send a test message over a channel, and say what happened
    Test {
        /// The name of the channel in the configuration
        #[arg(value_name = "NAME")]
        name: String,
    },
}
