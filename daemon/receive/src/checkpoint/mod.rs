//! Checkpoints: an interrupted transfer resumes inside its subvolume.
//!
//! A checkpoint is a read-only snapshot of the hidden subvolume and a journal, which says how much of the input the snapshot has.
//! The way of one:
//!
//! 1. `cadence`: enough time and bytes have passed. The engine asks the reader for a boundary.
//! 2. The reader stops between two commands, closes the planner's window, and passes the [`Prefix`] of the input so far to the
//!    engine: its length and its digest (see `prefix`).
//! 3. The engine waits for the writer threads, sets the deferred times and flags, and syncs. Every encoded extent must exist, and the
//!    device error counters must not have moved: an encoded write's I/O error shows nowhere else. So no data before a checkpoint is
//!    in doubt, and a later run need not check it again.
//! 4. `checkpointer` makes the snapshot, which the kernel commits, then writes the [`journal`](Journal) (temporary file, fsync, rename,
//!    fsync of the directory), then deletes the older snapshot.
//!
//! The next run finds the journal by the identity of the stream's first subvolume. It reads the input from its beginning as far as
//! the checkpoint, checks its frames and checksums, and compares the digest, without applying anything. Then it continues in a
//! writable snapshot of the checkpoint. If anything does not fit, the transfer starts over, with a warning that says why.
//! A wrong assumption costs time, never data.
//!
//! **Hostile drives.** The journal is authenticated by a key ([`CheckpointKey`]) that stays on this machine, so no other machine can
//! write one. It has the uuid of the snapshot and its transactions, which the kernel sets: a snapshot that was changed or replaced is not
//! used. An old journal that was kept with its old snapshot makes the transfer resume from there, with the same result.

mod cadence;
mod checkpointer;
mod files;
mod journal;
mod prefix;

use std::fmt;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use butterdock_btrfs::{Error as Fault, system};

use crate::error::Error;

pub(crate) use checkpointer::{Checkpointer, Resumption};
pub(crate) use files::sweep;
pub(crate) use journal::{PartialSubvolume, RootAccess, Transfer};
pub(crate) use prefix::{Prefix, PrefixDigest};

/// When a run makes checkpoints, and whether it uses one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoints {
    /// Authenticates the journals of this machine.
    pub key: CheckpointKey,
    /// The shortest time between two checkpoints, and before the first one.
    pub every: Duration,
    /// The fewest bytes of input between two checkpoints. On a slow destination they are made without so many bytes, so that up to
    /// two minutes of work are lost.
    pub bytes: u64,
    /// Resume from a checkpoint if there is one. Otherwise it is deleted, and the transfer starts over.
    pub resume: bool,
}

impl Checkpoints {
    /// The default of [`Self::every`].
    pub const EVERY: Duration = Duration::from_secs(60);
    /// The default of [`Self::bytes`].
    pub const BYTES: u64 = 1 << 30;

    /// With the defaults.
    #[must_use]
    pub fn new(key: CheckpointKey) -> Self {
        Self { key, every: Self::EVERY, bytes: Self::BYTES, resume: true }
    }
}

/// A key of 32 random bytes. A run uses only journals that were written with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckpointKey([u8; 32]);

impl CheckpointKey {
    /// A new random key.
    ///
    /// # Errors
    /// `getrandom(2)` failed.
    pub fn random() -> Result<Self, Fault> {
        let mut key = [0; 32];
        for half in key.chunks_mut(16) {
            half.copy_from_slice(&system::random_bytes()?);
        }
        Ok(Self(key))
    }

    /// A key that was kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the key, to be kept where only root can read them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckpointKey")
    }
}

/// Deletes all checkpoints in `directory` that no run uses now; returns how many transfers then cannot resume.
///
/// # Errors
/// `directory` is not on btrfs, or its staging directory cannot be opened or listed.
pub fn discard_checkpoints(directory: BorrowedFd<'_>) -> Result<u64, Error> {
    files::discard_all(directory)
}
