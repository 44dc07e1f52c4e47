//! Attributes with side effects: owners, where `chown(2)` clears bits and capabilities; inode flags; and the root's own
//! owner, mode and ACL, which are set last, when the subvolume's owner must not be able to write any more.

use std::sync::atomic::{AtomicU64, Ordering};

use butterdock_btrfs::{Errno, Error as Fault};

use super::applier::Finished;
use crate::error::Error;
use crate::plan::Change;
use crate::volume::{Inode, InodeKind, InodeState};

/// Pairs of `BTRFS_INODE_*` (as the stream has them) and `FS_*_FL` (as the ioctl takes them).
const TRANSLATION: [(u64, u32); 9] = [
    (0x2, NOCOW),     // NODATACOW
    (0x8, NOCOMP),    // NOCOMPRESS
    (0x20, 0x8),      // SYNC
    (0x40, 0x10),     // IMMUTABLE
    (0x80, 0x20),     // APPEND
    (0x100, 0x40),    // NODUMP
    (0x200, 0x80),    // NOATIME
    (0x400, 0x10000), // DIRSYNC
    (0x800, COMPR),   // COMPRESS
];
/// `BTRFS_INODE_NODATASUM`: a part of `NODATACOW`, without a flag of its own.
const NODATASUM: u64 = 0x1;
const NODATACOW: u64 = 0x2;
const COMPR: u32 = 0x4;
const NOCOMP: u32 = 0x400;
const NOCOW: u32 = 0x80_0000;
/// `FS_IMMUTABLE_FL | FS_APPEND_FL`: these refuse every later change.
pub(crate) const REFUSING: u32 = 0x30;
const SET_ID: u32 = 0o6000;
const CAPABILITY: &[u8] = b"security.capability";
const COMPRESSION: &[u8] = b"btrfs.compression";

/// `FILEATTR` bits that could not be given, for one report at the end.
#[derive(Debug, Default)]
pub(crate) struct Ineffective {
    bits: AtomicU64,
    times: AtomicU64,
}

impl Ineffective {
    fn add(&self, bits: u64) {
        if bits != 0 {
            self.bits.fetch_or(bits, Ordering::Relaxed);
            self.times.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// These flags (`FS_*_FL`) were not given to the root.
    pub(crate) fn refused(&self, flags: u32) {
        self.add(TRANSLATION.iter().filter(|(_, flag)| flags & flag != 0).fold(0, |bits, (bit, _)| bits | bit));
    }

    /// A sentence for a person, if there is something to say.
    pub(crate) fn report(&self) -> Option<String> {
        let (bits, times) = (self.bits.load(Ordering::Relaxed), self.times.load(Ordering::Relaxed));
        (times != 0).then(|| {
            format!(
                "{times} inodes have flags that cannot be set here (BTRFS_INODE bits {bits:#x}): \
                 they have no equivalent, come too late for a file with data, or would keep a subvolume from its name"
            )
        })
    }
}

/// The part of a `FILEATTR` that must wait for the end.
pub(crate) fn refusing(attr: u64) -> u32 {
    translate(attr) & REFUSING
}

/// Gives an inode the flags of a `FILEATTR`, without those that [`refusing`] names.
pub(crate) fn set_flags(inode: &impl Inode, attr: u64, ineffective: &Ineffective) -> Result<(), Fault> {
    let all = TRANSLATION.iter().fold(0, |all, (_, flag)| all | flag);
    let known = TRANSLATION.iter().fold(0, |known, (bit, _)| known | bit);
    let wanted = translate(attr) & !REFUSING;
    let mut lost = attr & !known;
    if attr & NODATACOW != 0 {
        lost &= !NODATASUM;
    }
    if inode.kind() == InodeKind::Special {
        ineffective.add(attr);
        return Ok(());
    }
    let now = inode.flags()?;
    if now & all & !REFUSING != wanted {
        // The ioctl rewrites the compression property from the flags, and the property knows more.
        let property = inode.xattr(COMPRESSION)?;
        inode.set_flags((now & !all) | wanted)?;
        if let Some(property) = property.filter(|property| !property.is_empty()) {
            inode.set_xattr(COMPRESSION, &property)?;
        }
        let after = inode.flags()?;
        for (bit, flag) in TRANSLATION {
            if wanted & flag != 0 && after & flag == 0 {
                lost |= bit;
            }
        }
    }
    ineffective.add(lost);
    Ok(())
}

/// Sets the owner and nothing else: `chown(2)` would clear set-id bits and capabilities, but the stream says what
/// changed at the source, and there they are as they were. `known` is the state, if it did not change since.
pub(crate) fn set_owner(inode: &impl Inode, uid: u32, gid: u32, known: Option<InodeState>) -> Result<(), Fault> {
    let before = match known {
        Some(state) => state,
        None => inode.state()?,
    };
    if (before.uid, before.gid) == (uid, gid) {
        return Ok(());
    }
    let capability = match known {
        None if inode.kind() == InodeKind::File => inode.xattr(CAPABILITY)?,
        _ => None,
    };
    inode.set_owner(uid, gid)?;
    if before.mode & SET_ID != 0 && inode.kind() != InodeKind::Directory {
        inode.set_mode(before.mode)?;
    }
    match capability {
        Some(value) => inode.set_xattr(CAPABILITY, &value),
        None => Ok(()),
    }
}

/// Removes an attribute; one that is not there is no error, as for the standard receiver's sender.
pub(crate) fn remove_xattr(inode: &impl Inode, name: &[u8]) -> Result<(), Fault> {
    match inode.remove_xattr(name) {
        Err(fault) if fault.errno == Errno::ENODATA => Ok(()),
        other => other,
    }
}

fn translate(attr: u64) -> u32 {
    TRANSLATION.iter().filter(|(bit, _)| attr & bit != 0).fold(0, |flags, (_, flag)| flags | flag)
}

/// Opens the root up. `state` is what it has unless the stream gave another. Answers the flags that it should have and does
/// not get.
#[expect(clippy::wildcard_enum_match_arm, reason = "the applier keeps only these back")]
pub(crate) fn set_root_access(root: &impl Inode, finished: Finished, state: InodeState) -> Result<u32, Error> {
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
