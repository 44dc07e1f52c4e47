//! The arguments of `receive` and `import`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::ValueHint;

/// Arguments of `receive`.
#[derive(Debug, clap::Args)]
pub(crate) struct Receive {
    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME")]
    pub(crate) volume: String,

    /// The stream file; - is standard input
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Name of the new subvolume (default: the name in the stream)
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) name: Option<OsString>,

    /// Decompress every extent, and refuse a stream with one that does not decompress; always on for callers other than root
    #[arg(long)]
    pub(crate) verify: bool,

    /// Decompress compressed extents before writing them
    #[arg(long)]
    pub(crate) force_decompress: bool,

    /// Refuse a parent whose generation number differs from the one in the stream, even if it has not changed
    #[arg(long)]
    pub(crate) strict_parent: bool,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,
}

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The drive's id, its first letters, its label (now or at its enrolment) or its device
    #[arg(value_name = "DRIVE")]
    pub(crate) drive: String,

    /// The volume's name in the configuration
    #[arg(value_name = "VOLUME", required_unless_present = "list")]
    pub(crate) volume: Option<String>,

    /// List the stream files and import nothing
    #[arg(long, conflicts_with_all = ["volume", "file", "verify", "detach"])]
    pub(crate) list: bool,

    /// Import only the file with this name in the drive's folder
    #[arg(long, value_name = "NAME")]
    pub(crate) file: Option<OsString>,

    /// Decompress every extent, and refuse a stream with one that does not decompress
    #[arg(long)]
    pub(crate) verify: bool,

    /// Print the job's id and return without waiting for its end
    #[arg(long)]
    pub(crate) detach: bool,
}
