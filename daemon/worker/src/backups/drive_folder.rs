//! Which folder on a drive a backup uses, so that two machines do not meet in one.
//!
//! Where the configuration says nothing it is `butterdock/NAME`. A machine that finds another's snapshots there, or some of
//! which nobody can tell whose they are, uses `butterdock/NAME@ID`, with the first digits of its own id, from then on.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use butterdock_btrfs::Error as Fault;

use super::beneath::beneath;
use super::identity::Identity;
use super::name;
use super::owner::look_up;
use super::snapshot::{Snapshot, list};

/// The folder where the configuration does not name one.
pub fn default_folder(backup: &str) -> PathBuf {
    ["butterdock", backup].iter().collect()
}

/// The folder to use on the drive whose top is `root`: a configured one as it is. A backup of which something is `remembered`
/// there stays where it is. It blocks as long as the drive does.
///
/// # Errors
/// The list of what is in the folder cannot be read.
pub fn choose(
    root: BorrowedFd<'_>,
    configured: &Path,
    backup: &str,
    machine: Identity,
    remembered: bool,
) -> Result<PathBuf, Fault> {
    if configured != default_folder(backup) {
        return Ok(configured.to_owned());
    }
    let own = default_folder(&format!("{backup}@{}", digits(machine)));
    if beneath(root, &own).is_ok() {
        return Ok(own);
    }
    if remembered {
        return Ok(configured.to_owned());
    }
    // Where there is none, or it cannot be opened, it is made, or that is told.
    let Ok(folder) = beneath(root, configured) else { return Ok(configured.to_owned()) };
    let mut there = list(&folder, &[])?;
    there.retain(|snapshot| snapshot.name.is_some());
    look_up(folder.as_fd(), &mut there);
    let is_ours = |snapshot: &Snapshot| {
        let origin = snapshot.origin.as_ref();
        origin.is_some_and(|origin| Identity(origin.machine) == machine)
    };
    let is_anothers = |snapshot: &Snapshot| {
        let named = snapshot.name.as_deref().is_some_and(|name| name::parse(backup.as_bytes(), name).is_some());
        snapshot.origin.is_some() || named
    };
    let meets = !there.iter().any(is_ours) && there.iter().any(is_anothers);
    Ok(if meets { own } else { configured.to_owned() })
}

/// Enough of a machine's id to tell those of one drive apart.
fn digits(machine: Identity) -> String {
    machine.0.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
