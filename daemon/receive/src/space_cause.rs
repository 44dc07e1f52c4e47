//! Why a filesystem refuses to write with `ENOSPC` or `EDQUOT`. The kernel has one error for several causes, and only some of
//! them end when something is deleted.

use std::fmt;
use std::os::fd::AsFd;

use butterdock_btrfs::space::{self, Space};
use butterdock_btrfs::{Errno, Error as Fault, filesystem};
use serde::{Deserialize, Serialize};

/// The cause of `ENOSPC` or `EDQUOT`. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpaceCause {
    /// There is no space for data.
    Data,
    /// There is no space for metadata.
    Metadata,
    /// An extended attribute is larger than a metadata block can hold.
    Attribute {
        /// The size of its name and value.
        size: u64,
        /// The largest size here.
        most: u64,
    },
    /// A quota is used up.
    Quota,
    /// The filesystem has free space: a device below it is full.
    Device,
}

/// Above this, neither data nor metadata is used up. The numbers of the kernel do not include what it has reserved for writes
/// that are not on disk yet.
const AMPLE: u64 = 1 << 30;
/// Below this, metadata is used up.
const SCARCE: u64 = 16 << 20;
/// `BTRFS_MAX_XATTR_SIZE`: a metadata block less its header, an item's header, and the head of an attribute (fs/btrfs).
const ATTRIBUTE_HEADERS: u64 = 101 + 25 + 30;

impl SpaceCause {
    /// The cause of an error on the filesystem under `fd`; `attribute` is the size of the extended attribute that was set. None
    /// for other errors.
    pub(crate) fn of(fd: impl AsFd, fault: Fault, attribute: Option<u64>) -> Option<Self> {
        if fault.errno == Errno::EDQUOT {
            return Some(Self::Quota);
        }
        if fault.errno != Errno::ENOSPC {
            return None;
        }
        let most = u64::from(filesystem::info(&fd).ok()?.nodesize).saturating_sub(ATTRIBUTE_HEADERS);
        if let Some(size) = attribute.filter(|&size| size > most) {
            return Some(Self::Attribute { size, most });
        }
        Some(Self::of_space(&space::space(&fd).ok()?))
    }

    fn of_space(space: &Space) -> Self {
        let unallocated = |copies: u64| space.unallocated.checked_div(copies.max(1)).unwrap_or_default();
        let data = space.data.free().saturating_add(unallocated(space.data.copies));
        let metadata = space.metadata_free().saturating_add(unallocated(space.metadata.copies));
        if data > AMPLE && metadata > AMPLE {
            Self::Device
        } else if metadata < SCARCE && metadata < data {
            Self::Metadata
        } else {
            Self::Data
        }
    }

    /// Whether something was used up, and not only too large.
    #[must_use]
    pub fn is_full(self) -> bool {
        match self {
            Self::Data | Self::Metadata | Self::Quota | Self::Device => true,
            Self::Attribute { .. } => false,
        }
    }

    /// Whether the error may end if snapshots on the filesystem are deleted.
    #[must_use]
    pub fn ends_by_deleting(self) -> bool {
        match self {
            // A quota may be that of a group that the snapshots are in.
            Self::Data | Self::Metadata | Self::Quota => true,
            Self::Attribute { .. } | Self::Device => false,
        }
    }

    /// What a user can do about it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Data => "free some space on it, or use a larger drive",
            Self::Metadata => {
                "delete old snapshots or add a device (btrfs filesystem usage shows the room), or use a larger drive"
            }
            Self::Attribute { .. } => {
                "remove the attribute at the source (getfattr -d -m - shows the attributes of a file), or receive on a filesystem \
                 with larger metadata blocks (mkfs.btrfs --nodesize 65536)"
            }
            Self::Quota => "raise the quota (btrfs qgroup show -re shows all of them)",
            Self::Device => "make room on that device, or use a larger drive",
        }
    }
}

impl fmt::Display for SpaceCause {
    /// What is used up or too large, without names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data => f.write_str("the destination filesystem is full"),
            Self::Metadata => {
                f.write_str("the destination filesystem has no space left for metadata: names, attributes, small files")
            }
            Self::Attribute { size, most } => write!(
                f,
                "an extended attribute of a file has {size} bytes, and a metadata block of the destination filesystem holds \
                 {most}"
            ),
            Self::Quota => f.write_str("a quota of the destination filesystem is used up"),
            Self::Device => f.write_str(
                "the destination filesystem has free space, but a device below it is full (thin provisioning, a sparse image)",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use butterdock_btrfs::space::Kind;

    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    fn space(data_free: u64, metadata_free: u64, unallocated: u64) -> Space {
        Space {
            data: Kind { total: 100 * GIB + data_free, used: 100 * GIB, copies: 1 },
            metadata: Kind { total: GIB + metadata_free, used: GIB, copies: 2 },
            reserve: 0,
            unallocated,
        }
    }

    #[test]
    fn what_is_used_up_is_the_cause() {
        for (space, cause) in [
            (space(0, 31 * MIB, 0), SpaceCause::Data),
            // Writes that are not on disk yet are not in the numbers.
            (space(300 * MIB, 500 * MIB, 0), SpaceCause::Data),
            (space(0, 0, 0), SpaceCause::Data),
            (space(5 * GIB, MIB, 0), SpaceCause::Metadata),
            (space(5 * GIB, 0, 8 * MIB), SpaceCause::Metadata),
            (space(5 * GIB, 2 * GIB, 0), SpaceCause::Device),
            (space(0, 0, 5 * GIB), SpaceCause::Device),
        ] {
            assert_eq!(SpaceCause::of_space(&space), cause, "{space:?}");
        }
    }

    #[test]
    fn deleting_helps_only_where_something_is_used_up() {
        let attribute = SpaceCause::Attribute { size: 30_000, most: 16_228 };
        assert!(!attribute.ends_by_deleting() && !attribute.is_full());
        assert!(!SpaceCause::Device.ends_by_deleting());
        assert!(
            [SpaceCause::Data, SpaceCause::Metadata, SpaceCause::Quota].into_iter().all(SpaceCause::ends_by_deleting)
        );
    }
}
