//! What a process that receives asks of the kernel for itself.

use butterdock_btrfs::best_effort;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Clone sources and directories are kept open. Programs that use select(2) need the soft limit low; this one does not.
pub fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    // Where it is refused the old limit stays, which is enough for most streams.
    best_effort(raised);
}
