//! What a run reports to its caller while it works.

use std::fmt;

use butterdock_stream::{Command, Position, Uuid};

use crate::destination::SubvolumeState;

/// Whether a stream has a whole subvolume or changes to a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole subvolume (`SUBVOL`).
    Full,
    /// Changes to a snapshot of the parent (`SNAPSHOT`).
    Incremental,
}

/// A phase of receiving a subvolume; each is reported before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Commands are applied to the hidden subvolume.
    Receiving,
    /// The filesystem writes everything out (`syncfs`).
    Syncing,
    /// The run looks for the encoded extents in the filesystem, and reads the device error counters.
    Checking,
    /// `received_uuid` is set.
    Marking,
    /// The subvolume becomes read-only.
    ReadOnly,
    /// The hidden name becomes the final one.
    Publishing,
    /// The filesystem writes the new name out.
    Settling,
}

/// A subvolume that is durable under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its name in the destination directory.
    pub name: Vec<u8>,
    /// Whether the stream had it whole or as changes.
    pub kind: Kind,
    /// Its id on this filesystem.
    pub id: u64,
    /// The `received_uuid` that it was marked with.
    pub received_uuid: Uuid,
    /// Its state, which its record has too.
    pub state: SubvolumeState,
    /// The states of the snapshots of [`Options::nested`](crate::Options::nested) in it, in their order; `None` for one that has no
    /// place there.
    pub nested: Vec<Option<SubvolumeState>>,
    /// The number of its parent differs from the one in the stream. The parent has the uuid in the stream, and was not changed
    /// since it was received or made.
    pub parent_number_differs: bool,
    /// The offset in the input after its last command: everything before it would survive a power cut.
    pub end: u64,
}

/// The attributes of inodes that the destination could not get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unapplied {
    /// How many inodes lack flags.
    pub inodes: u64,
    /// These flags, as bits of a `FILEATTR` (`BTRFS_INODE_*`).
    pub flags: u64,
    /// How many files lack their `btrfs.compression`.
    pub compressions: u64,
}

impl Unapplied {
    /// Of two runs.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            inodes: self.inodes.saturating_add(more.inodes),
            flags: self.flags | more.flags,
            compressions: self.compressions.saturating_add(more.compressions),
        }
    }
}

/// For a user, without names; empty if nothing is missing.
impl fmt::Display for Unapplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inodes, flags, compressions } = self;
        if *inodes != 0 {
            write!(
                f,
                "{inodes} inodes have flags that cannot be set here (BTRFS_INODE bits {flags:#x}): \
                 they have no equivalent, cannot be set on a file with data, or would prevent the rename of the subvolume"
            )?;
        }
        if *inodes != 0 && *compressions != 0 {
            f.write_str("; ")?;
        }
        if *compressions != 0 {
            write!(
                f,
                "{compressions} files are received without their btrfs.compression: this kernel refuses it for files that are \
                 written in place (NOCOW), where it has no effect"
            )?;
        }
        Ok(())
    }
}

/// Receives the reports of a run. The engine's threads call it; it must not block for long.
pub trait Observer: Sync {
    /// The run begins a subvolume.
    fn began(&self, name: &[u8], kind: Kind) {
        let (_, _) = (name, kind);
    }

    /// The reader has read a command. Called only if [`Observer::wants_commands`] returns true.
    fn command(&self, place: Position, command: &Command<'_>) {
        let (_, _) = (place, command);
    }

    /// Whether to call [`Observer::command`].
    fn wants_commands(&self) -> bool {
        false
    }

    /// A phase begins.
    fn phase(&self, phase: Phase) {
        let _ = phase;
    }

    /// The run resumes: the first `bytes` of the input were received by an earlier run.
    fn resumed(&self, bytes: u64) {
        let _ = bytes;
    }

    /// A checkpoint was made: after an interruption, the next run resumes from `bytes` of the input.
    fn checkpoint(&self, bytes: u64) {
        let _ = bytes;
    }

    /// A subvolume is published and durable.
    fn published(&self, subvolume: &Published) {
        let _ = subvolume;
    }

    /// The run has ended, and these attributes are missing in what it received: a warning for the user.
    fn unapplied(&self, unapplied: &Unapplied) {
        self.warning(&unapplied.to_string());
    }

    /// A warning for the user; the run continues.
    fn warning(&self, text: &str) {
        let _ = text;
    }
}

/// An observer that ignores all reports.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
