//! The options of one run.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use butterdock_stream::Limits;

use crate::destination::{Origin, SubvolumeState};

/// The subvolumes that may be the parent of an increment, or be cloned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Candidates {
    /// What has a record of root's, or of the user for whom this run is.
    Recorded {
        /// Also what has no record, where no other user than root can have made it or changed it: its root belongs to root, or
        /// root alone can enter a directory above it.
        unrecorded_if_roots: bool,
    },
    /// These and no others. A later `ctransid` than in the list needs the proof that nothing was changed.
    Listed(Vec<SubvolumeState>),
}

/// How a finished subvolume gets its name. A read-only subvolume cannot be moved to another directory, and one that can be
/// written to must not be where its owner can open it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Publication {
    /// It is received in the staging directory, which root alone can enter, and published as a read-only snapshot; then what
    /// was received is deleted. No other user can open anything of it before it is read-only under its name.
    ///
    /// The price: the kernel turns the shared blocks over to the snapshot in the background, which rewrites a part of the
    /// metadata that grows with the number of files.
    #[default]
    Snapshot,
    /// It is received beside its final name and renamed. For destinations that root alone can reach: another user could open
    /// his files in it before it is read-only.
    Rename,
}

/// How to receive.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decode every payload and refuse one that does not decode; its structure is checked always.
    pub verify: bool,
    /// Write every payload decoded, as a kernel without encoded writes would make us do.
    pub force_decompress: bool,
    /// How many threads write data; the number of cores where nothing is said.
    pub writer_threads: Option<NonZeroUsize>,
    /// How a finished subvolume gets its name; [`Publication::of`](crate::Publication::of) decides.
    pub publication: Publication,
    /// The name that the subvolume gets instead of the one in the stream.
    pub name: Option<Vec<u8>>,
    /// Leave out fs-verity instead of failing where the kernel has none.
    pub no_verity: bool,
    /// Stop at this many errors; 0 never stops. A run with an error publishes nothing.
    pub max_errors: u64,
    /// Stop after the first END command and read nothing past it.
    pub one_stream: bool,
    /// The largest commands that are accepted.
    pub limits: Limits,
    /// Where the filesystem's top-level subvolume is mounted, for when a private mount is not allowed.
    pub mount_root: Option<PathBuf>,
    /// The filesystem's top-level subvolume, open, for a caller that cannot mount any more once the run begins.
    pub top: Option<Arc<OwnedFd>>,
    /// The user for whom the subvolumes are received, for their records; 0 for root and for what root configured.
    pub asked_by: u32,
    /// Where they come from, for their records.
    pub origin: Option<Origin>,
    /// What they may build on.
    pub candidates: Candidates,
    /// Refuse a parent whose number differs from the one in the stream, although its uuid is the same and it was not changed
    /// since it was received or made.
    pub strict_parent: bool,
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
            candidates: Candidates::Recorded { unrecorded_if_roots: true },
            strict_parent: false,
        }
    }
}
