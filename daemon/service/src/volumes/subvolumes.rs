//! Lists the subvolumes of a volume.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::time::Instant;

use crate::types::SUBVOLUMES_MAX;
use butterdock_btrfs::file::{self, Mode, OFlag};
use butterdock_btrfs::{Error as Fault, names, roots, subvolume};

use super::OpenVolume;

/// A subvolume in a volume's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subvolume {
    /// Its name there.
    pub name: Vec<u8>,
    /// Its id on the filesystem.
    pub id: u64,
    /// Its own uuid.
    pub uuid: [u8; 16],
    /// The uuid of what was sent; zero when it was not received.
    pub received_uuid: [u8; 16],
    /// The uuid of what it is a snapshot of; zero for none.
    pub parent_uuid: [u8; 16],
    /// The transaction in which it last changed.
    pub ctransid: u64,
    /// When it was received, in microseconds since 1970.
    pub created: Option<u64>,
    /// Whether it is read-only.
    pub read_only: bool,
}

/// The subvolumes in the volume's directory, by name; hidden ones are left out. Blocks as long as the drive does. It stops
/// at `until`, when the caller has left and others may wait for the drive.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn list(volume: &OpenVolume, until: Instant) -> Result<Vec<Subvolume>, Fault> {
    let mut found = Vec::new();
    for name in names::entries_where(volume, |name| !name.to_bytes().starts_with(HIDDEN))? {
        // One that is deleted meanwhile is left out.
        if let Ok(Some(one)) = look(volume, &name) {
            found.push(one);
        }
        if found.len() >= SUBVOLUMES_MAX || Instant::now() >= until {
            break;
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The prefix of the names of incomplete subvolumes.
const HIDDEN: &[u8] = b".butterdock-";
/// `BTRFS_ROOT_SUBVOL_RDONLY` of the root's flags.
const READ_ONLY: u64 = 1;

fn look(volume: &OpenVolume, name: &CStr) -> Result<Option<Subvolume>, Fault> {
    let stat = file::stat_at(volume, name)?;
    if !stat.is_dir() || !subvolume::is_root(&stat) {
        return Ok(None);
    }
    let fd = file::openat_new(volume, name, OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    let info = subvolume::info(&fd)?;
    Ok(Some(Subvolume {
        name: name.to_bytes().to_vec(),
        id: info.id,
        uuid: info.uuid,
        received_uuid: info.received_uuid,
        parent_uuid: info.parent_uuid,
        ctransid: info.ctransid,
        created: received_at(&fd, info.id),
        read_only: info.flags & READ_ONLY != 0,
    }))
}

/// What the filesystem records of a received subvolume; of others it does not say when they were made.
fn received_at(fd: impl AsFd, id: u64) -> Option<u64> {
    let (seconds, nanoseconds) = roots::root_item(fd, id).ok()??.rtime;
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds != 0)?;
    seconds.checked_mul(1_000_000)?.checked_add(u64::from(nanoseconds / 1000))
}
