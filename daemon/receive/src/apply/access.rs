//! The root's own owner, mode and ACL: they come last, when nobody may write to the subvolume any more.

use super::applier::Finished;
use super::attributes::{REFUSING, remove_xattr};
use crate::error::Error;
use crate::plan::Change;
use crate::volume::{Inode, InodeState};

/// Opens the root up. `state` is what it has unless the stream gave another. Answers the flags that it should have and does
/// not get.
#[expect(clippy::wildcard_enum_match_arm, reason = "the applier keeps only these back")]
pub(crate) fn open_up(root: &impl Inode, finished: Finished, state: InodeState) -> Result<u32, Error> {
    let doing = |fault| Error::call("set the root's access", fault).on(b"");
    // Handed down by the parent's snapshot: they would refuse everything that follows.
    let flags = root.flags().map_err(doing)?;
    if flags & REFUSING != 0 {
        root.set_flags(flags & !REFUSING).map_err(doing)?;
    }
    root.set_owner(state.uid, state.gid).map_err(doing)?;
    root.set_mode(state.mode).map_err(doing)?;
    for (place, change) in finished.access {
        let result = match change {
            Change::Chmod { mode } => root.set_mode(mode),
            Change::Chown { uid, gid } => root.set_owner(uid, gid),
            Change::SetXattr { name, data } => root.set_xattr(&name, &data),
            Change::RemoveXattr { name } => remove_xattr(root, &name),
            // The applier keeps nothing else back.
            _ => Ok(()),
        };
        result.map_err(|fault| doing(fault).at(place))?;
    }
    // rename(2) refuses an immutable or append-only directory, and once the subvolume has its name it is read-only.
    Ok(finished.root_flags.unwrap_or(flags & REFUSING))
}
