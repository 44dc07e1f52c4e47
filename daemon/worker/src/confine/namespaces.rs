//! Mounts, network, and more, of the worker's own.

use butterdock_btrfs::mounts;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare as leave};

use super::{ConfineError, doing};

/// What is nice to have: a kernel may be built without.
const OPTIONAL: [(CloneFlags, &str); 3] = [
    (CloneFlags::CLONE_NEWNET, "this kernel has no network namespaces: the worker could reach the network"),
    (CloneFlags::CLONE_NEWIPC, "this kernel has no IPC namespaces: the worker could reach shared memory of others"),
    (CloneFlags::CLONE_NEWUTS, "this kernel has no UTS namespaces: the worker could change the host's name"),
];

/// Leaves the namespaces that the daemon lives in. Answers what could not be left.
///
/// The mounts are a slave of the daemon's: what is unmounted there vanishes here too, so that a worker keeps no drive that
/// a person wants to unplug; what would be mounted here is seen nowhere else. Through none of them a device can be opened.
pub(super) fn unshare() -> Result<Vec<&'static str>, ConfineError> {
    leave(CloneFlags::CLONE_NEWNS).map_err(doing("have mounts of its own"))?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
        .map_err(doing("keep its mounts to itself"))?;
    mounts::refuse_devices_everywhere()
        .map_err(|error| doing("keep devices from being opened through its mounts")(error.errno))?;
    let mut lacking = Vec::new();
    for (namespace, sentence) in OPTIONAL {
        match leave(namespace) {
            Ok(()) => {}
            // Not built in, or no namespace may be made any more (max_net_namespaces and its like).
            Err(Errno::EINVAL | Errno::ENOSPC) => lacking.push(sentence),
            Err(error) => return Err(doing("leave the daemon's namespaces")(error)),
        }
    }
    Ok(lacking)
}
