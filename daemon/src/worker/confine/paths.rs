//! Landlock: which files can be opened, made and removed.
//!
//! Beneath the destination the worker may do what a stream can ask for. In the rest of the filesystem it may read, because
//! a parent and a clone source can lie anywhere there, also outside what is mounted. Everything else is out of reach. A rule
//! holds for a directory, not for a mount, so the one on the filesystem's root holds for whichever mount of it the engine
//! makes. A backup also names snapshots in a folder beside its source. What was open before, the stream and the socket, is not touched by it.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use butterdock_btrfs::top;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use super::{Trouble, doing};

/// The newest version whose rights are known here; an older kernel keeps to those that it knows.
const KNOWN: ABI = ABI::V6;

/// Shuts everything out but the destination and, for reading, its filesystem. Answers whether this kernel can.
pub(crate) fn restrict(destination: BorrowedFd<'_>, folder: Option<BorrowedFd<'_>>) -> Result<bool, Trouble> {
    // Where the root cannot be reached now, it cannot be later: a stream that needs it fails, and says so.
    let top = top::open_top(destination).ok();
    let status = rules(destination, folder, top)
        .map_err(|error| doing("restrict itself with Landlock")(io::Error::other(error)))?;
    Ok(status != RulesetStatus::NotEnforced)
}

fn rules(
    destination: BorrowedFd<'_>,
    folder: Option<BorrowedFd<'_>>,
    top: Option<OwnedFd>,
) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        // No port at all, and nobody to signal or to talk to by an abstract name, should the namespaces be missing.
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rule(PathBeneath::new(destination, beneath_the_destination()))?;
    if let Some(top) = top {
        rules = rules.add_rule(PathBeneath::new(top, AccessFs::ReadFile | AccessFs::ReadDir))?;
    }
    if let Some(folder) = folder {
        // A snapshot is a directory, and to rename one is to remove and to make it.
        rules =
            rules.add_rule(PathBeneath::new(folder, AccessFs::ReadDir | AccessFs::MakeDir | AccessFs::RemoveDir))?;
    }
    // The engine draws the name of its hidden subvolume from it.
    if let Ok(random) = File::open("/dev/urandom") {
        rules = rules.add_rule(PathBeneath::new(random, AccessFs::ReadFile))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// A stream makes every kind of file; it runs none, and talks to no device.
fn beneath_the_destination() -> BitFlags<AccessFs> {
    AccessFs::from_all(KNOWN) & !(AccessFs::Execute | AccessFs::IoctlDev)
}
