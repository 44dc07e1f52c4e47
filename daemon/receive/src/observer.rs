//! What a run reports to its caller while it works.

use butterdock_stream::{Command, Place, Uuid};

use crate::destination::SubvolumeState;

/// Whether a subvolume came whole or as changes to a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It came whole (`SUBVOL`).
    Full,
    /// It came as changes to a snapshot of its parent (`SNAPSHOT`).
    Incremental,
}

/// A step of receiving a subvolume; each is reported before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Commands are applied to the hidden subvolume.
    Receiving,
    /// The filesystem writes everything out (`syncfs`).
    Syncing,
    /// Encoded extents are compared with what the filesystem has, and the device error counters are read.
    Checking,
    /// `received_uuid` is set.
    Marking,
    /// The subvolume becomes read-only.
    ReadOnly,
    /// The hidden name becomes the final one.
    Publishing,
    /// The new name is written out.
    Settling,
}

/// A subvolume that is durable under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Its name in the destination directory.
    pub name: Vec<u8>,
    /// Whether it came whole or as changes.
    pub kind: Kind,
    /// Its id on this filesystem.
    pub id: u64,
    /// The sender's identity of it, as marked.
    pub received_uuid: Uuid,
    /// What it is from now on, as its record says too.
    pub state: SubvolumeState,
    /// It builds on a parent whose number differs from the one in the stream. Its uuid is that of the stream, and it was not
    /// changed since it was received or made.
    pub parent_number_differs: bool,
    /// The offset in the input behind its last command: what comes before would survive a power cut.
    pub end: u64,
}

/// Receives the reports of a run. Called from the engine's threads; it must not block for long.
pub trait Observer: Sync {
    /// A subvolume was begun.
    fn began(&self, name: &[u8], kind: Kind) {
        let (_, _) = (name, kind);
    }

    /// A command was read. Called only where [`Observer::wants_commands`] says so.
    fn command(&self, place: Place, command: &Command<'_>) {
        let (_, _) = (place, command);
    }

    /// Whether [`Observer::command`] shall be called.
    fn wants_commands(&self) -> bool {
        false
    }

    /// A step begins.
    fn phase(&self, phase: Phase) {
        let _ = phase;
    }

    /// A subvolume is durable from here on.
    fn published(&self, subvolume: &Published) {
        let _ = subvolume;
    }

    /// Something a person should know that does not end the run.
    fn warning(&self, text: &str) {
        let _ = text;
    }
}

/// An observer that listens to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}
