//! The options of one run.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use butterdock_stream::Limits;

use crate::checkpoint::Checkpoints;
use crate::destination::{NestedSubvolume, Origin, SubvolumeState};

/// The subvolumes that may be the parent of an increment, or be cloned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidates {
    /// Subvolumes with a record that was made for root, or for the user of this run.
    Recorded {
        /// Also subvolumes without a record that only root can have made or changed: the subvolume's root belongs to root, or
        /// only root can enter a directory above it.
        unrecorded_if_roots: bool,
    },
    /// Only these. If the `ctransid` is later than in the list, the inodes' change times must prove that nothing changed.
    Listed(Vec<SubvolumeState>),
}

/// How a finished subvolume gets its name. The kernel does not move a read-only subvolume to another directory, and a writable
/// one must not be where its owner can open it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Publication {
    /// It is received in the staging directory, which only root can enter, and published as a read-only snapshot; then the
    /// received original is deleted. No other user can open a file of it before it is read-only under its name.
    ///
    /// The cost: after the deletion the kernel updates shared metadata in the background. The amount grows with the number
    /// of files.
    #[default]
    Snapshot,
    /// It is received beside its final name and renamed. For destinations that only root can reach: another user could open
    /// files of theirs in it before it is read-only.
    Rename,
}

/// How to receive.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decode every payload and refuse one that does not decode. The structure of each payload is always checked.
    pub verify: bool,
    /// Decode every payload and write it plainly, as for a kernel without encoded writes.
    pub force_decompress: bool,
    /// How many threads write data (default: the number of cores).
    pub writer_threads: Option<NonZeroUsize>,
    /// How a finished subvolume gets its name; [`Publication::of`](crate::Publication::of) decides.
    pub publication: Publication,
    /// The name that the subvolume gets instead of the one in the stream.
    pub name: Option<Vec<u8>>,
    /// Leave fs-verity out instead of failing if the kernel does not support it.
    pub no_verity: bool,
    /// Stop at this many errors (default: 1); 0 never stops. A subvolume is not published after an error.
    pub max_errors: u64,
    /// Stop after the first END command and read nothing past it.
    pub one_stream: bool,
    /// The largest commands that are accepted.
    pub limits: Limits,
    /// Where the filesystem's top-level subvolume is mounted, for a process that may not make a private mount.
    pub mount_root: Option<PathBuf>,
    /// The filesystem's top-level subvolume, opened, for a caller that cannot mount after the run has begun.
    pub top: Option<Arc<OwnedFd>>,
    /// The user for whom the subvolumes are received, for their records; 0 for root and for what root configured.
    pub asked_by: u32,
    /// The origin of the subvolumes, for their records.
    pub origin: Option<Origin>,
    /// Read-only subvolumes of the same filesystem: the received one gets snapshots of them at their places. It is then published by
    /// [`Publication::Rename`].
    pub nested: Vec<NestedSubvolume>,
    /// The subvolumes that they may use as parents and clone sources.
    pub candidates: Candidates,
    /// Refuse a parent whose number (`stransid` or `ctransid`) differs from the one in the stream, even if its uuid is the same
    /// and it was not changed since it was received or made.
    pub strict_parent: bool,
    /// Make checkpoints, and resume from one (default: neither).
    pub checkpoints: Option<Checkpoints>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            verify: false,
            force_decompress: false,
            writer_threads: None,
            publication: Publication::default(),
            name: None,
            no_verity: false,
            max_errors: 1,
            one_stream: false,
            limits: Limits::default(),
            mount_root: None,
            top: None,
            asked_by: 0,
            origin: None,
            nested: Vec::new(),
            candidates: Candidates::Recorded { unrecorded_if_roots: true },
            strict_parent: false,
            checkpoints: None,
        }
    }
}
