//! What became of a drive's last backup where it is no parent any more.
//!
//! Another machine may have deleted it, or made it writable. What both sides have in common does not tell that: the drive
//! looks as if nothing had ever been received on it.

use std::os::fd::AsFd;

use butterdock_btrfs::{Error as Fault, subvolumes};

use super::identity::Identity;
use super::shared_snapshots::Why;

/// The last backup, as it is on the drive now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// It can be built on, as far as it goes by itself.
    Whole,
    /// It is writable, or was: then it has lost what it was received as.
    Writable,
    /// It is not there.
    Deleted,
}

/// Looks for the subvolume of this uuid on the filesystem of `drive`.
pub(super) fn last(drive: impl AsFd, uuid: Identity) -> Result<Last, Fault> {
    let all = subvolumes::all(drive)?;
    let found = all.iter().find(|one| Identity(one.item.uuid) == uuid && one.item.refs != 0 && one.place.is_some());
    Ok(match found {
        Some(one) if one.item.read_only && Identity(one.item.received_uuid).known().is_some() => Last::Whole,
        Some(_) => Last::Writable,
        None => Last::Deleted,
    })
}

impl Last {
    /// The reason for sending everything, where `why` is what both sides show.
    pub(super) fn explains(self, why: Why) -> Why {
        match (why, self) {
            (Why::EmptyDrive | Why::NoneAlike, Self::Writable) => Why::MadeWritable,
            (Why::EmptyDrive | Why::NoneAlike, Self::Deleted) => Why::Deleted,
            (
                Why::EmptyDrive
                | Why::NoneAlike
                | Why::NoSnapshot
                | Why::Changed(_)
                | Why::Replaced(_)
                | Why::NotRecorded
                | Why::MadeWritable
                | Why::Deleted
                | Why::NothingThere,
                _,
            ) => why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_whose_last_backup_was_deleted_or_made_writable_is_not_said_to_be_new() {
        for why in [Why::EmptyDrive, Why::NoneAlike] {
            assert!(Last::Deleted.explains(why).to_string().contains("was deleted there"));
            assert!(Last::Writable.explains(why).to_string().contains("was made writable"));
            assert_eq!(Last::Whole.explains(why), why);
        }
        assert_eq!(Last::Deleted.explains(Why::NoSnapshot), Why::NoSnapshot);
        assert_eq!(Last::Writable.explains(Why::Changed(2)), Why::Changed(2));
    }
}
