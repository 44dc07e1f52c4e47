//! What a caller may choose for one run.

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use butterdock_stream::Limits;

/// How to receive.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decode every payload and refuse one that does not decode; its structure is checked always.
    pub verify: bool,
    /// Write every payload decoded, as a kernel without encoded writes would make us do.
    pub force_decompress: bool,
    /// How many threads write data; the number of cores where nothing is said.
    pub lanes: Option<NonZeroUsize>,
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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            verify: false,
            force_decompress: false,
            lanes: None,
            name: None,
            no_verity: false,
            max_errors: 1,
            one_stream: false,
            limits: Limits::default(),
            mount_root: None,
            top: None,
        }
    }
}
