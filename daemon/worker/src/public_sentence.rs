//! The sentences about failed jobs that all users may see: what happened, where, and what to do next.
//!
//! They contain no names and no paths. The service makes them from the kind and the numbers that a worker reports.

use butterdock_receive::{ErrorKind, SpaceCause};

use super::worker_error::WorkerError;
use crate::backups::BackupCause;

/// The sentence for an error after a subvolume got its name.
pub const UNCONFIRMED: &str = "the subvolume has its name, but the drive did not confirm that it is complete; check the drive and \
                               its cable (dmesg), mount it again, and check with butterdock snapshots that the subvolume exists \
                               before you start the job again";

/// The sentence for all users: what happened, where in the stream, and what to do next. It contains no names and no paths.
pub fn public_sentence(kind: ErrorKind, command: Option<u64>, byte: Option<u64>) -> String {
    let (what, next) = sentence_of(kind);
    format!("{what}{}; {next}", at(command, byte))
}

/// The same for a transfer into a volume, where `space` is why the volume refused to write.
pub fn public_of_transfer(
    kind: ErrorKind,
    command: Option<u64>,
    byte: Option<u64>,
    space: Option<SpaceCause>,
) -> String {
    match space {
        Some(space) => format!("{space}{}; {}", at(command, byte), space.advice()),
        None => public_sentence(kind, command, byte),
    }
}

/// The sentence for all users about a failed deletion of snapshots.
pub fn public_of_deletion(kind: ErrorKind) -> String {
    let (what, next) = match kind {
        ErrorKind::ReadOnly => ("the filesystem is read-only", "make it writable (dmesg has the reason)"),
        ErrorKind::DeviceGone => ("the device does not respond", "check it and its cable (dmesg)"),
        ErrorKind::NoSpace => ("the filesystem has no room for the change", "free some space on it"),
        ErrorKind::Busy => ("another program uses the filesystem", "wait until a balance there has ended"),
        ErrorKind::InvalidStream
        | ErrorKind::TruncatedStream
        | ErrorKind::UnsupportedStream
        | ErrorKind::ParentMissing
        | ErrorKind::Exists
        | ErrorKind::Cancelled
        | ErrorKind::Failed => ("the kernel refused it", "see dmesg and the journal"),
    };
    format!("a snapshot could not be deleted: {what}; {next}, then delete the rest again")
}

/// The sentence for all users about a failed backup. Without a cause and without a command it is about the drive and the
/// source, not about the stream.
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
            "the drive is full even after old snapshots were deleted by the retention rule; keep fewer snapshots, free some \
             space on it, or use a larger drive"
        }
        ErrorKind::DeviceGone => "the drive failed or is gone; check it and its cable (dmesg), then plug it in again",
        ErrorKind::ReadOnly => "the drive has become read-only; check it (dmesg), then plug it in again",
        ErrorKind::Failed if command.is_none() => {
            "the source or the drive is not in the expected state; the journal and the job's error details have the reason"
        }
        ErrorKind::Failed
        | ErrorKind::InvalidStream
        | ErrorKind::TruncatedStream
        | ErrorKind::UnsupportedStream
        | ErrorKind::ParentMissing
        | ErrorKind::Exists
        | ErrorKind::Busy
        | ErrorKind::Cancelled => return public_sentence(kind, command, byte),
    };
    sentence.to_owned()
}

/// The sentence for all users about a failed restore.
pub fn public_of_restore(error: &WorkerError) -> String {
    let of_stream = || public_sentence(error.kind, error.command, error.byte);
    error.cause.map_or_else(of_stream, |cause| cause.to_string())
}

/// The sentence for all users about a failed import: how many files it is about, and why the first of them failed.
pub fn public_of_import(error: &WorkerError) -> String {
    let sentence = public_of_transfer(error.kind, error.command, error.byte, error.space);
    match error.files.and_then(|files| files.words()) {
        Some(words) => format!("{words}; the job's error details name each: {sentence}"),
        None => sentence,
    }
}

/// The sentence for all users about files in a snapshot.
pub fn public_of_files(error: &WorkerError) -> String {
    if let Some(cause) = error.file {
        return cause.to_string();
    }
    let sentence = match error.kind {
        ErrorKind::NoSpace => {
            "the place that the files are restored to, or a quota there, is full; free some space and restore again"
        }
        ErrorKind::ReadOnly => {
            "the place that the files are restored to is read-only; see dmesg, remount it writable and restore again"
        }
        ErrorKind::DeviceGone => {
            "a device failed, is gone, or has a damaged file; check it and its cable (dmesg); a damaged file may be whole in another \
             snapshot"
        }
        ErrorKind::Cancelled => "cancelled; start it again if you need it",
        ErrorKind::InvalidStream
        | ErrorKind::TruncatedStream
        | ErrorKind::UnsupportedStream
        | ErrorKind::ParentMissing
        | ErrorKind::Exists
        | ErrorKind::Busy
        | ErrorKind::Failed => {
            "the files could not be read or restored; read the job's error details or the journal, then try again"
        }
    };
    sentence.to_owned()
}

/// The place in the stream.
fn at(command: Option<u64>, byte: Option<u64>) -> String {
    match (command, byte) {
        (Some(command), Some(byte)) => format!(", at command {command} (byte {byte})"),
        (Some(command), None) => format!(", at command {command}"),
        (None, Some(byte)) => format!(", at byte {byte}"),
        (None, None) => String::new(),
    }
}

/// What happened and what to do next, for every error of this kind.
fn sentence_of(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::InvalidStream => {
            ("the stream is damaged, or btrfs send did not make it", "send the subvolume again from a source you trust")
        }
        ErrorKind::TruncatedStream => ("the stream was cut off", "send the subvolume again"),
        ErrorKind::UnsupportedStream => (
            "the stream contains something that this version or this kernel cannot receive",
            "send with an older protocol, or update butterdock",
        ),
        ErrorKind::ParentMissing => (
            "the parent or a clone source of the stream is missing here",
            "send a full stream, or receive the missing subvolume first",
        ),
        ErrorKind::NoSpace => ("the volume, or a quota of it, is full", "free some space and send again"),
        ErrorKind::ReadOnly => ("the volume is read-only", "see dmesg, remount it and send again"),
        ErrorKind::Exists => {
            ("a subvolume with that name exists already", "delete or rename it, or choose another name")
        }
        ErrorKind::Busy => ("another job writes to the destination", "wait until it has ended, then send again"),
        ErrorKind::DeviceGone => (
            "a drive of the volume failed or is gone",
            "check it and its cable (btrfs device stats, dmesg), then send again",
        ),
        ErrorKind::Cancelled => ("cancelled", "start the job again if you need it"),
        ErrorKind::Failed => ("the stream could not be received", "read the job's error details, then send again"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_says_what_where_and_what_to_do() {
        let sentence = "a subvolume with that name exists already, at command 7 (byte 99); \
                        delete or rename it, or choose another name";
        assert_eq!(public_sentence(ErrorKind::Exists, Some(7), Some(99)), sentence);
        assert_eq!(public_sentence(ErrorKind::Busy, Some(7), None).matches("at command 7;").count(), 1);
        assert_eq!(public_sentence(ErrorKind::Busy, None, Some(9)).matches("at byte 9;").count(), 1);
    }

    #[test]
    fn a_backups_sentence_names_the_drive_and_the_source() {
        assert!(public_of_backup(ErrorKind::NoSpace, Some(7), None, None).starts_with("the drive is full"));
        assert!(public_of_backup(ErrorKind::Failed, None, None, None).starts_with("the source or the drive"));
        let of_stream = public_sentence(ErrorKind::Failed, Some(7), None);
        assert_eq!(public_of_backup(ErrorKind::Failed, Some(7), None, None), of_stream);
    }

    #[test]
    fn public_sentences_contain_no_paths() {
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
            for sentence in [public_sentence(kind, None, None), public_of_backup(kind, None, None, None)] {
                assert!(!sentence.contains('/') && sentence.matches("; ").count() == 1, "{sentence}");
            }
        }
        let space = Some(SpaceCause::Attribute { size: 30_000, most: 16_228 });
        let sentence = public_of_transfer(ErrorKind::Failed, Some(7), Some(99), space);
        assert!(sentence.contains("30000 bytes") && sentence.contains("at command 7 (byte 99); remove"), "{sentence}");
    }
}
