//! Errors as callers get them: what a drive or a tool says may name files, which is for the journal alone.

use crate::types::{Error, ErrorCode};

use super::DriveId;
use crate::catalogue;
use crate::drives::error::Error as Fault;

/// What is said of a drive that went while it was mounted.
pub(super) const PULLED: &str =
    "the drive was pulled out while it was in use; plug it in again, and what was lost is made up for";

/// For a caller. The journal gets all of it.
pub(super) fn for_caller(id: &DriveId, fault: &Fault) -> Error {
    tracing::warn!(MESSAGE_ID = catalogue::DRIVE_UNUSABLE, BUTTERDOCK_DRIVE = id.as_str(), "{fault}");
    let name = match fault {
        Fault::Refused(_) => ErrorCode::Failed,
        Fault::System { source, .. } => named(source),
    };
    Error::new(name, sentence(fault))
}

/// Without a path, for everybody.
pub(super) fn sentence(fault: &Fault) -> String {
    match fault {
        Fault::Refused(sentence) => without_paths(sentence),
        Fault::System { source, .. } => {
            let what = source
                .raw_os_error()
                .map_or_else(|| source.to_string(), |errno| nix::Error::from_raw(errno).desc().to_owned());
            if named(source) == ErrorCode::DeviceGone {
                return format!(
                    "the drive does not answer, as one does that was pulled out or whose cable fails ({what}); check it \
                     and its cable, then plug it in again"
                );
            }
            format!("the drive cannot be used ({what}); the journal of butterdockd and dmesg tell more")
        }
    }
}

/// Nodes lose their folder, and any other path becomes a word: a sentence of the policy's names nodes alone.
pub(super) fn without_paths(sentence: &str) -> String {
    let plain = |word: &str| {
        let word = word.strip_prefix("/dev/").unwrap_or(word);
        if word.starts_with('/') { "its directory".to_owned() } else { word.to_owned() }
    };
    sentence.split(' ').map(plain).collect::<Vec<_>>().join(" ")
}

pub(super) fn no_such_drive(id: &DriveId) -> Error {
    Error::new(
        ErrorCode::NotFound,
        format!("there is no drive \"{}\"; it may have been unplugged", id.as_str().escape_debug()),
    )
}

pub(super) fn failed(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::Failed, text)
}

pub(super) fn busy(text: impl Into<String>) -> Error {
    Error::new(ErrorCode::Busy, text)
}

fn named(error: &std::io::Error) -> ErrorCode {
    let errno = error.raw_os_error().map(nix::Error::from_raw);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_that_does_not_answer_is_gone_and_the_sentence_says_what_to_do() {
        let id = DriveId::from(uuid::Uuid::nil());
        let fault = Fault::system("reading /dev/sdb1")(nix::Error::ENXIO);
        let Error::Named(name, text) = for_caller(&id, &fault) else { panic!("it has a name") };
        assert_eq!(name, ErrorCode::DeviceGone);
        assert!(text.contains("pulled out") && text.ends_with("plug it in again"), "{text}");
    }

    #[test]
    fn no_path_is_left_in_a_sentence() {
        assert_eq!(without_paths("/dev/sdb1 and /dev/sdc1 have the same uuids"), "sdb1 and sdc1 have the same uuids");
        assert_eq!(without_paths("/run/butterdock/drives/x is used by sh (7)"), "its directory is used by sh (7)");
        let fault = Fault::System { doing: "writing /var/x".to_owned(), source: std::io::Error::from_raw_os_error(30) };
        assert!(!sentence(&fault).contains('/'), "{}", sentence(&fault));
    }
}
