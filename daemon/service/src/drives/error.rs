//! Why something could not be done with a drive.

use std::fmt;
use std::io;

/// What this room's calls answer.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What is wrong, as a sentence for a person.
#[derive(Debug)]
pub(crate) enum Error {
    /// The drive is not what it should be, or in a state in which this is not done. The sentence says what to do.
    Refused(String),
    /// The kernel or a tool would not.
    System {
        /// "mounting /dev/sdb1"
        doing: String,
        /// What it answered.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`.
    pub(super) fn system<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source: source.into() }
    }

    /// For `return Err(…)`.
    pub(super) fn refused(sentence: impl Into<String>) -> Self {
        Self::Refused(sentence.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(sentence) => f.write_str(sentence),
            Self::System { doing, source } => write!(f, "{doing}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::System { source, .. } => Some(source),
        }
    }
}
