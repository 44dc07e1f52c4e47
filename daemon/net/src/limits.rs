//! What the process may use.

use nix::errno::Errno;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

/// Memory for data and stacks: an answer without an end cannot take more. The allocation that exceeds it aborts the process, which
/// the service takes as a failure.
const MEMORY: u64 = 64 << 20;

/// Limits the memory, and keeps secrets out of cores. The unit sets the same; without it this works, too.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn set() -> Result<(), Errno> {
    setrlimit(Resource::RLIMIT_DATA, MEMORY, MEMORY)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    set_dumpable(false)
}
