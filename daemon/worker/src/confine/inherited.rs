//! Descriptors that a worker was not meant to have.
//!
//! The daemon opens everything close-on-exec, and so does this program's runtime. What is left comes from whoever started
//! the daemon, or from a library of it that forgot; either would outlive it here.

use butterdock_btrfs::best_effort;
use std::io;
use std::os::fd::RawFd;

/// Closes every descriptor but the standard three. To be called before this program opens one that it wants to keep.
pub(super) fn close() -> io::Result<()> {
    let mut inherited: Vec<RawFd> = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        inherited.extend(number.filter(|&number| number > 2));
    }
    for descriptor in inherited {
        // The one that listed them is among them, and closed already.
        best_effort(nix::unistd::close(descriptor));
    }
    Ok(())
}
