//! The sentence about a failure that all users may see.
//!
//! The daemon makes it from a kind and two numbers. A worker that a stream has taken over can lie, but it cannot publish a
//! name.

use butterdock_receive::ErrorKind;

use crate::backups::BackupCause;

/// What happened, where in the stream, and what to do next. It holds no name and no path.
pub fn public(kind: ErrorKind, command: Option<u64>, byte: Option<u64>) -> String {
    let (what, next) = plain(kind);
    let at = match (command, byte) {
        (Some(command), Some(byte)) => format!(", at command {command} (byte {byte})"),
        (Some(command), None) => format!(", at command {command}"),
        (None, Some(byte)) => format!(", at byte {byte}"),
        (None, None) => String::new(),
    };
    format!("{what}{at}; {next}")
}

/// The same where a subvolume has its name already.
pub const UNCONFIRMED: &str = "what was received has its name, but the drive did not confirm that it has all of it; check the \
                               drive and its cable (dmesg), mount it again, and look whether the snapshot is there (butterdock \
                               snapshots) before you start the job again";

/// The same of a backup, where it was not its stream that was wrong: there it is about a drive and its source.
pub fn public_of_backup(
    kind: ErrorKind,
    command: Option<u64>,
    byte: Option<u64>,
    cause: Option<BackupCause>,
) -> String {
    if let Some(cause) = cause {
        return cause.to_string();
    }
    let sentence = match kind {
        ErrorKind::NoSpace => {
            "the drive is full, also after what the rule keeps no longer was deleted; keep fewer snapshots, free some space \
             on it, or take a larger drive"
        }
        ErrorKind::DeviceGone => "the drive failed or is gone; check it and its cable (dmesg), then plug it in again",
        ErrorKind::ReadOnly => "the drive has become read-only; check it (dmesg), then plug it in again",
        ErrorKind::Failed if command.is_none() => {
            "the source or the drive is not as it has to be; the journal and the job's error details say what is in the way"
        }
        ErrorKind::Failed
        | ErrorKind::InvalidStream
        | ErrorKind::TruncatedStream
        | ErrorKind::UnsupportedStream
        | ErrorKind::ParentMissing
        | ErrorKind::Exists
        | ErrorKind::Busy
        | ErrorKind::Cancelled => return public(kind, command, byte),
    };
    sentence.to_owned()
}

/// What happened and what to do next, in words that fit every error of the kind and name nothing.
fn plain(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::InvalidStream => {
            ("the stream is damaged, or btrfs send did not make it", "send the subvolume again from a source you trust")
        }
        ErrorKind::TruncatedStream => ("the stream was cut off", "send the subvolume again"),
        ErrorKind::UnsupportedStream => (
            "the stream holds something that cannot be received here",
            "send with an older protocol, or update butterdock",
        ),
        ErrorKind::ParentMissing => (
            "a subvolume that the stream builds on is missing here",
            "send a full stream, or receive the missing one first",
        ),
        ErrorKind::NoSpace => ("the volume, or a quota of it, is full", "make room and send again"),
        ErrorKind::ReadOnly => ("the volume is read-only", "see dmesg, remount it and send again"),
        ErrorKind::Exists => {
            ("a subvolume of that name is there already", "delete or rename it, or choose another name")
        }
        ErrorKind::Busy => ("another run is working in the destination", "wait until it has ended, then send again"),
        ErrorKind::DeviceGone => (
            "a drive of the volume failed or is gone",
            "check it and its cable (btrfs device stats, dmesg), then send again",
        ),
        ErrorKind::Cancelled => ("cancelled", "start the job again when you like"),
        ErrorKind::Failed => ("the stream could not be received", "ask for the job's error details, then send again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_where_and_what_to_do() {
        let said = "a subvolume of that name is there already, at command 7 (byte 99); \
                    delete or rename it, or choose another name";
        assert_eq!(public(ErrorKind::Exists, Some(7), Some(99)), said);
        assert_eq!(public(ErrorKind::Busy, Some(7), None).matches("at command 7;").count(), 1);
        assert_eq!(public(ErrorKind::Busy, None, Some(9)).matches("at byte 9;").count(), 1);
    }

    #[test]
    fn a_backups_sentence_names_the_drive_and_the_source() {
        assert!(public_of_backup(ErrorKind::NoSpace, Some(7), None, None).starts_with("the drive is full"));
        assert!(public_of_backup(ErrorKind::Failed, None, None, None).starts_with("the source or the drive"));
        assert_eq!(public_of_backup(ErrorKind::Failed, Some(7), None, None), public(ErrorKind::Failed, Some(7), None));
    }

    #[test]
    fn no_kind_names_a_device_or_any_other_path() {
        let kinds = [
            ErrorKind::InvalidStream,
            ErrorKind::TruncatedStream,
            ErrorKind::UnsupportedStream,
            ErrorKind::ParentMissing,
            ErrorKind::NoSpace,
            ErrorKind::ReadOnly,
            ErrorKind::Exists,
            ErrorKind::Busy,
            ErrorKind::DeviceGone,
            ErrorKind::Cancelled,
            ErrorKind::Failed,
        ];
        for kind in kinds {
            for said in [public(kind, None, None), public_of_backup(kind, None, None, None)] {
                assert!(!said.contains('/') && said.matches("; ").count() == 1, "{said}");
            }
        }
    }
}
