//! Errors of operations on drives.

use std::fmt;
use std::io;

use super::sentence::Sentence;
use crate::types::ErrorCode;

/// The result of calls on drives.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// What is wrong, as a sentence for a person.
#[derive(Debug)]
pub(crate) enum Error {
    /// The drive is not what it should be, or in a state in which this is not done. The sentence says what to do.
    Refused(Sentence),
    /// The kernel or a tool would not.
    System {
        /// "mounting /dev/sdb1": for the journal alone.
        doing: String,
        /// What it answered.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`.
    pub(crate) fn system<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source: source.into() }
    }

    /// For `return Err(…)`.
    pub(crate) fn refused(sentence: impl Into<Sentence>) -> Self {
        Self::Refused(sentence.into())
    }

    /// The public message, without paths and without messages of the kernel or a tool.
    pub(crate) fn public(&self) -> String {
        let source = match self {
            Self::Refused(sentence) => return sentence.public().to_owned(),
            Self::System { source, .. } => source,
        };
        let what = source
            .raw_os_error()
            .map_or_else(|| source.kind().to_string(), |errno| nix::Error::from_raw(errno).desc().to_owned());
        if self.code() == ErrorCode::DeviceGone {
            return format!(
                "the drive does not respond ({what}): it was unplugged, or it or its cable fails; check both, then plug \
                 it in again"
            );
        }
        format!("the drive cannot be used ({what}); the journal of butterdockd and dmesg tell more")
    }

    /// What it is called.
    pub(crate) fn code(&self) -> ErrorCode {
        let Self::System { source, .. } = self else { return ErrorCode::Failed };
        let errno = source.raw_os_error().map(nix::Error::from_raw);
        let is = |wanted: &[nix::Error]| errno.is_some_and(|errno| wanted.contains(&errno));
        if is(&[nix::Error::EIO, nix::Error::ENXIO, nix::Error::ENODEV, nix::Error::ENOENT]) {
            ErrorCode::DeviceGone
        } else if is(&[nix::Error::EROFS]) {
            ErrorCode::ReadOnly
        } else if is(&[nix::Error::ENOSPC, nix::Error::EDQUOT]) {
            ErrorCode::NoSpace
        } else if is(&[nix::Error::EBUSY]) {
            ErrorCode::Busy
        } else {
            ErrorCode::Failed
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(sentence) => sentence.fmt(f),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_text_of_a_failed_call_has_no_path() {
        let text = |source| Error::System { doing: "writing /var/my drives/x".to_owned(), source }.public();
        assert!(text(io::Error::from_raw_os_error(30)).contains("Read-only file system"));
        for source in [io::Error::from_raw_os_error(30), io::Error::other("/var/my drives/x")] {
            let text = text(source);
            assert!(!text.contains('/') && !text.contains("drives"), "{text}");
        }
    }
}
