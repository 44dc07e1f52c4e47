//! A path of a stream, checked before the kernel sees it.
//!
//! Every name in a stream is hostile. A [`StreamPath`] is relative, has no empty part, no `.`, no `..` and no NUL, and each
//! part fits into a directory entry. This alone does not confine it, because a part may be a symbolic link: the volume also
//! resolves it below a descriptor with `openat2`.

use std::ffi::CStr;
use std::fmt;
use std::sync::Arc;

/// The longest name of a directory entry, in bytes (`NAME_MAX`).
const NAME_MAX: usize = 255;
/// The longest path in bytes, without its NUL (`PATH_MAX - 1`).
const PATH_MAX: usize = 4095;

/// Why a path of a stream is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It begins with a slash.
    #[error("an absolute path")]
    Absolute,
    /// Two slashes in a row, or one at the end.
    #[error("a path with an empty part")]
    EmptyPart,
    /// A part is `.`.
    #[error("a path with the part \".\"")]
    Dot,
    /// A part is `..`.
    #[error("a path that climbs out with \"..\"")]
    DotDot,
    /// A byte is NUL.
    #[error("a path with a NUL byte")]
    Nul,
    /// A part is longer than 255 bytes.
    #[error("a path with a part longer than {NAME_MAX} bytes")]
    PartTooLong,
    /// The whole is longer than 4095 bytes.
    #[error("a path longer than {PATH_MAX} bytes")]
    TooLong,
    /// The path is empty, and the command needs a name below the root.
    #[error("an empty path where a name is needed")]
    Root,
}

/// A checked path below the root of a subvolume; empty for the root itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamPath {
    /// The path and one NUL, so that [`StreamPath::name`] can return its last part as a C string. Shared by its step, its task
    /// and the file kept open.
    bytes: Arc<[u8]>,
    /// The offset of the last part.
    name_at: usize,
}

impl StreamPath {
    /// Checks `path`.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn new(path: &[u8]) -> Result<Self, NameError> {
        if path.len() > PATH_MAX {
            return Err(NameError::TooLong);
        }
        let mut name_at = 0;
        if !path.is_empty() {
            let mut at = 0_usize;
            for part in path.split(|&byte| byte == b'/') {
                check_part(part, at)?;
                name_at = at;
                at = at.saturating_add(part.len()).saturating_add(1);
            }
        }
        Ok(Self { bytes: path.iter().copied().chain([0]).collect(), name_at })
    }

    /// The root of the subvolume.
    #[must_use]
    pub fn root() -> Self {
        Self { bytes: Arc::new([0]), name_at: 0 }
    }

    /// Whether this is the root of the subvolume.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.bytes.len() == 1
    }

    /// The path as the stream has it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split_last().map_or(&[], |(_, path)| path)
    }

    /// The path of the directory that holds it; empty for the root's children and for the root.
    #[must_use]
    pub fn parent(&self) -> &[u8] {
        self.bytes.get(..self.name_at.saturating_sub(1)).unwrap_or(&[])
    }

    /// The last part; empty for the root.
    #[must_use]
    pub fn name(&self) -> &CStr {
        self.bytes.get(self.name_at..).and_then(|name| CStr::from_bytes_with_nul(name).ok()).unwrap_or(c"")
    }

    /// Whether this is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &[u8]) -> bool {
        within(self.as_bytes(), other)
    }

    /// Whether it has the form of the temporary names that the sender gives new inodes at the root:
    /// `o<inode>-<generation>-<index>`.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        let Some((b'o', numbers)) = self.as_bytes().split_first() else { return false };
        let mut parts = 0_usize;
        numbers.split(|&byte| byte == b'-').all(|part| {
            parts = parts.saturating_add(1);
            !part.is_empty() && part.iter().all(u8::is_ascii_digit)
        }) && parts == 3
    }
}

/// Whether `path` is `other` or lies below it; everything lies below the empty path.
pub(crate) fn within(path: &[u8], other: &[u8]) -> bool {
    match path.strip_prefix(other) {
        Some(rest) => other.is_empty() || rest.is_empty() || rest.first() == Some(&b'/'),
        None => false,
    }
}

fn check_part(part: &[u8], at: usize) -> Result<(), NameError> {
    match part {
        b"" if at == 0 => Err(NameError::Absolute),
        b"" => Err(NameError::EmptyPart),
        b"." => Err(NameError::Dot),
        b".." => Err(NameError::DotDot),
        _ if part.contains(&0) => Err(NameError::Nul),
        _ if part.len() > NAME_MAX => Err(NameError::PartTooLong),
        _ => Ok(()),
    }
}

impl fmt::Debug for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.as_bytes().escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_lead_outside_is_refused() {
        for (path, why) in [
            (&b"/etc"[..], NameError::Absolute),
            (b"/", NameError::Absolute),
            (b"a//b", NameError::EmptyPart),
            (b"a/", NameError::EmptyPart),
            (b".", NameError::Dot),
            (b"a/./b", NameError::Dot),
            (b"..", NameError::DotDot),
            (b"a/../../b", NameError::DotDot),
            (b"a\0b", NameError::Nul),
            (&[b'x'; 256], NameError::PartTooLong),
            (&[b'x'; 4096], NameError::TooLong),
        ] {
            assert_eq!(StreamPath::new(path).unwrap_err(), why, "{}", path.escape_ascii());
        }
    }

    #[test]
    fn a_path_splits_into_its_directory_and_its_name() {
        for (path, parent, name) in
            [(&b""[..], &b""[..], c""), (b"a", b"", c"a"), (b"a/b", b"a", c"b"), (b"..a/b/c...", b"..a/b", c"c...")]
        {
            let path = StreamPath::new(path).unwrap();
            assert_eq!((path.parent(), path.name()), (parent, name));
        }
    }

    #[test]
    fn within_compares_whole_parts() {
        assert!(within(b"a/b", b"a") && within(b"a", b"a") && within(b"a", b""));
        assert!(!within(b"ab", b"a") && !within(b"a", b"a/b"));
    }

    #[test]
    fn only_the_senders_form_is_a_temporary_name() {
        for name in ["o257-8-0", "o1-1-1"] {
            assert!(StreamPath::new(name.as_bytes()).unwrap().is_temporary(), "{name}");
        }
        for name in ["o257-8", "o257-8-0-1", "o-8-0", "x257-8-0", "o257-8-x", "o257-8-0/a", "", "o"] {
            assert!(!StreamPath::new(name.as_bytes()).unwrap().is_temporary(), "{name}");
        }
    }
}
