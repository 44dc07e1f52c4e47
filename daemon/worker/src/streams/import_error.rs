//! Why an import failed, and which of its files.

use std::fmt;

use butterdock_receive::{Error, ErrorKind, Failure};
use serde::{Deserialize, Serialize};

/// Why an import failed. The text contains names of files.
#[derive(Debug)]
pub(crate) enum ImportError {
    /// There is no such file, or no file at all.
    Nothing(Option<Vec<u8>>),
    /// The volume's subvolumes cannot be listed.
    Volume(Box<Error>),
    /// The job was cancelled between two subvolumes.
    Cancelled,
    /// Files could not be received, at least one.
    Files { failed: Vec<FailedFile>, counts: FailedFiles },
}

/// A file that could not be received.
#[derive(Debug)]
pub(crate) struct FailedFile {
    pub name: Vec<u8>,
    pub why: FileError,
}

/// Why a file could not be received.
#[derive(Debug)]
pub(crate) enum FileError {
    /// It is not a stream, or not all of it can be read.
    Invalid(String),
    /// The receiver failed; the clause says why the file could not be read to its end.
    Receive(Box<Failure>, Option<String>),
}

/// How many files of an import were not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFiles {
    /// The files that could not be received,
    pub failed: u64,
    /// and those that were not tried after an error of the volume.
    pub untried: u64,
    /// All files of the import.
    pub of: u64,
}

impl FileError {
    /// The kind of the error.
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) | Self::Receive(_, Some(_)) => ErrorKind::InvalidStream,
            Self::Receive(failure, None) => failure.error.kind(),
        }
    }

    /// Whether the next file would fail for the same reason.
    pub(super) fn is_of_volume(&self) -> bool {
        match self.kind() {
            ErrorKind::NoSpace
            | ErrorKind::ReadOnly
            | ErrorKind::Busy
            | ErrorKind::DeviceGone
            | ErrorKind::Cancelled => true,
            ErrorKind::InvalidStream
            | ErrorKind::TruncatedStream
            | ErrorKind::UnsupportedStream
            | ErrorKind::ParentMissing
            | ErrorKind::Exists
            | ErrorKind::Failed => false,
        }
    }

    /// The receiver's failure.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Receive(failure, _) => Some(failure),
            Self::Invalid(_) => None,
        }
    }
}

impl ImportError {
    /// The kind of the error: that of the volume's error, or of the first file.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Nothing(_) | Self::Volume(_) => ErrorKind::Failed,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Files { failed, .. } => {
                let of_volume = failed.last().filter(|file| file.why.is_of_volume());
                of_volume.or(failed.first()).map_or(ErrorKind::Failed, |file| file.why.kind())
            }
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing(None) => f.write_str("there is no stream file in the drive's folder; copy some there"),
            Self::Nothing(Some(name)) => {
                write!(f, "there is no stream file \"{}\" in the drive's folder", name.escape_ascii())
            }
            Self::Volume(error) => write!(f, "the subvolumes of the volume cannot be listed: {error}"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::Files { failed, counts } => {
                if let Some(words) = counts.words() {
                    write!(f, "{words}: ")?;
                }
                for (at, file) in failed.iter().enumerate() {
                    write!(f, "{}{file}", if at == 0 { "" } else { "; " })?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for FailedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.escape_ascii();
        match &self.why {
            FileError::Invalid(why) => write!(f, "the file \"{name}\" cannot be received: {why}; send it again"),
            FileError::Receive(failure, None) => write!(f, "the file \"{name}\": {failure}"),
            FileError::Receive(failure, Some(why)) => write!(f, "the file \"{name}\": {why}: {failure}"),
        }
    }
}

impl FailedFiles {
    /// How many files of several could not be received; `None` of a single file.
    pub fn words(&self) -> Option<String> {
        let Self { failed, untried, of } = *self;
        let (failed_words, rest) = match (failed, of.saturating_sub(failed).saturating_sub(untried)) {
            _ if of <= 1 => return None,
            (1, good) => ("1 file".to_owned(), good),
            (_, good) => (format!("{failed} files"), good),
        };
        let untried = if untried > 0 { format!(", and {untried} were not tried") } else { String::new() };
        Some(format!("{failed_words} of {of} could not be received{untried} (the volume has the other {rest})"))
    }
}
