//! Why a snapshot is not deleted, for those who may know its name.

use super::LostIncrement;
use crate::backups::SnapshotOnDrive;
use crate::jobs::Refusal;
use crate::types::{Error, ErrorCode};

pub(super) fn shared_text(row: &SnapshotOnDrive, lost: &LostIncrement) -> String {
    let LostIncrement { backup, destination, is_full, bytes } = lost;
    let size = bytes.map_or_else(String::new, |bytes| format!(" of about {} MiB", bytes.div_ceil(1 << 20)));
    let next = if *is_full {
        format!("the next backup there is a full one{size}")
    } else {
        format!(
            "the next backup there starts from an older shared snapshot, or is a full one{size} if the other side has none"
        )
    };
    format!(
        "the snapshot {} is the parent of the next increment of the backup \"{}\" to \"{}\"; without it {next}. To delete it \
         nevertheless, use --force (the option force)",
        shown(row),
        backup.escape_debug(),
        destination.escape_debug()
    )
}

pub(super) fn refused_error(refused: &Refusal, row: &SnapshotOnDrive) -> Error {
    let name = shown(row);
    match refused {
        Refusal::Held(hold) => {
            let reason =
                if hold.reason.is_empty() { String::new() } else { format!(" ({})", hold.reason.escape_debug()) };
            let text = format!("the snapshot {name} is held{reason}; release it first: butterdock snapshots release");
            Error::new(ErrorCode::Held, text)
        }
        Refusal::NotOurs => {
            let text = format!(
                "this machine did not make the snapshot {name}, or it was changed since, so it is not deleted; delete it on the \
                 machine that made it, or as root with btrfs subvolume delete"
            );
            Error::new(ErrorCode::NotAllowed, text)
        }
        Refusal::OfRun => {
            let text = format!(
                "the snapshot {name} was made together with a snapshot of the backup's source, and they are deleted together: \
                 delete the snapshot of the source"
            );
            Error::new(ErrorCode::NotAllowed, text)
        }
        Refusal::Missing | Refusal::Shared => missing(),
    }
}

/// The name of a snapshot, for those who may know it.
pub(super) fn shown(row: &SnapshotOnDrive) -> String {
    row.name.escape_ascii().to_string()
}

pub(super) fn missing() -> Error {
    let text = "there is no such snapshot there; butterdock snapshots lists the snapshots";
    Error::new(ErrorCode::NotFound, text)
}
