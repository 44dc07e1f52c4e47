//! Attributes with side effects: the owner, because `chown(2)` clears bits and capabilities; inode flags; and the root's
//! owner, mode and ACL, which are set last, because they give other users access.

use std::sync::atomic::{AtomicU64, Ordering};

use butterdock_btrfs::{Errno, Error as Fault};

use super::applier::Finished;
use crate::error::Error;
use crate::observer::Unapplied;
use crate::plan::Change;
use crate::volume::{Inode, InodeKind, InodeState};

/// Pairs of `BTRFS_INODE_*` (in the stream) and `FS_*_FL` (of the ioctl).
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
/// `BTRFS_INODE_NODATASUM`: implied by `NODATACOW`; it has no flag of its own.
const NODATASUM: u64 = 0x1;
const NODATACOW: u64 = 0x2;
const COMPR: u32 = 0x4;
const NOCOMP: u32 = 0x400;
const NOCOW: u32 = 0x80_0000;
/// `FS_IMMUTABLE_FL | FS_APPEND_FL`: with these the kernel refuses later changes.
pub(crate) const REFUSING: u32 = 0x30;
const SET_ID: u32 = 0o6000;
const CAPABILITY: &[u8] = b"security.capability";
const COMPRESSION: &[u8] = b"btrfs.compression";

/// The `FILEATTR` bits that could not be set, for one warning at the end.
#[derive(Debug, Default)]
pub(crate) struct Ineffective {
    bits: AtomicU64,
    times: AtomicU64,
    compressions: AtomicU64,
}

impl Ineffective {
    fn add(&self, bits: u64) {
        if bits != 0 {
            self.bits.fetch_or(bits, Ordering::Relaxed);
            self.times.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The root could not get these flags (`FS_*_FL`).
    pub(crate) fn refused(&self, flags: u32) {
        self.add(TRANSLATION.iter().filter(|(_, flag)| flags & flag != 0).fold(0, |bits, (bit, _)| bits | bit));
    }

    /// Adds what an earlier run of the same transfer could not set.
    pub(crate) fn restore(&self, Unapplied { inodes, flags, compressions }: Unapplied) {
        self.bits.fetch_or(flags, Ordering::Relaxed);
        self.times.fetch_add(inodes, Ordering::Relaxed);
        self.compressions.fetch_add(compressions, Ordering::Relaxed);
    }

    /// What could not be set; none if everything was.
    pub(crate) fn report(&self) -> Option<Unapplied> {
        let [flags, inodes, compressions] =
            [&self.bits, &self.times, &self.compressions].map(|number| number.load(Ordering::Relaxed));
        Some(Unapplied { inodes, flags, compressions }).filter(|unapplied| *unapplied != Unapplied::default())
    }
}

/// The part of a `FILEATTR` that is set at the end.
pub(crate) fn refusing(attr: u64) -> u32 {
    translate(attr) & REFUSING
}

/// Sets the flags of a `FILEATTR`, without those of [`refusing`].
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
        // The ioctl rewrites the compression property from the flags and loses its algorithm.
        let property = inode.xattr(COMPRESSION)?;
        inode.set_flags((now & !all) | wanted)?;
        if let Some(property) = property.filter(|property| !property.is_empty()) {
            set_compression(inode, &property, ineffective)?;
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

/// Sets the owner alone. `chown(2)` clears set-id bits and capabilities, so they are set again: the stream has its own commands
/// for what changed at the source. `known` is the current owner and mode, if known.
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

/// Sets an attribute.
pub(crate) fn set_xattr(inode: &impl Inode, name: &[u8], data: &[u8], ineffective: &Ineffective) -> Result<(), Error> {
    let done =
        if name == COMPRESSION { set_compression(inode, data, ineffective) } else { inode.set_xattr(name, data) };
    done.map_err(|fault| Error::attribute(name, data, fault))
}

/// Sets the compression. On a file that is written in place it has no effect, and newer kernels refuse it: then it is counted.
fn set_compression(inode: &impl Inode, data: &[u8], ineffective: &Ineffective) -> Result<(), Fault> {
    match inode.set_xattr(COMPRESSION, data) {
        Err(fault) if fault.errno == Errno::EINVAL && inode.flags()? & NOCOW != 0 => {
            ineffective.compressions.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
        done => done,
    }
}

/// Removes an attribute. A missing one is no error: the sender may remove an attribute that the parent does not have.
pub(crate) fn remove_xattr(inode: &impl Inode, name: &[u8]) -> Result<(), Fault> {
    match inode.remove_xattr(name) {
        Err(fault) if fault.errno == Errno::ENODATA => Ok(()),
        other => other,
    }
}

fn translate(attr: u64) -> u32 {
    TRANSLATION.iter().filter(|(bit, _)| attr & bit != 0).fold(0, |flags, (_, flag)| flags | flag)
}

/// Sets the root's access. `state` is its owner and mode unless the stream sets others. Returns the flags that it cannot get.
#[expect(clippy::wildcard_enum_match_arm, reason = "the applier defers only these")]
pub(crate) fn set_root_access(root: &impl Inode, finished: Finished, state: InodeState) -> Result<u32, Error> {
    let doing = |fault| Error::call("set the root's access", fault).on(b"");
    // The snapshot of the parent may have them: they would refuse the changes below.
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
            Change::SetXattr { name, data } => {
                root.set_xattr(&name, &data)
                    .map_err(|fault| Error::attribute(&name, &data, fault).on(b"").at(place))?;
                continue;
            }
            Change::RemoveXattr { name } => remove_xattr(root, &name),
            // The applier defers no other change.
            _ => Ok(()),
        };
        result.map_err(|fault| doing(fault).at(place))?;
    }
    // rename(2) refuses an immutable or append-only directory, and after the rename the subvolume is read-only.
    Ok(finished.root_flags.unwrap_or(flags & REFUSING))
}
