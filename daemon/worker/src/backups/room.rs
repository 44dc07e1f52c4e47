//! Whether a drive has room: a pure function of its space and of what comes.
//!
//! A btrfs that is full of metadata cannot even delete, so data alone does not decide. Both grow out of what was given to
//! neither yet, and something is left over for the filesystem to work with.

use butterdock_btrfs::space::Space;

use super::estimate::Estimate;

/// What a backup needs of a drive, in bytes as files see them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Need {
    pub data: u64,
    pub metadata: u64,
}

/// The figures of a drive that is too small, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    /// What would be needed, with what must be left over.
    pub needed: u64,
    /// What is there for it.
    pub free: u64,
}

impl Need {
    /// What an estimated stream takes. Names and attributes take about twice as much in the trees as in the stream, and each
    /// extent has its place, its references and its checksums.
    pub(super) fn of(estimate: &Estimate) -> Self {
        let data = estimate.data.min(estimate.stored);
        Self { data, metadata: estimate.commands.saturating_mul(2).saturating_add(data / 256) }
    }
}

/// Whether `need` fits.
pub(super) fn fits(space: &Space, need: Need) -> Result<(), Short> {
    let Space { data, metadata, reserve: _, unallocated } = *space;
    let (headroom, metadata_free) = (space.metadata_kept(), space.metadata_free());
    let metadata_need = need.metadata.saturating_add(headroom);
    let mixed = data == metadata;
    let beyond = if mixed {
        let need = need.data.saturating_add(metadata_need).saturating_sub(metadata_free);
        need.saturating_mul(data.copies.max(1))
    } else {
        let data_short = need.data.saturating_sub(data.free()).saturating_mul(data.copies.max(1));
        let metadata_short = metadata_need.saturating_sub(metadata_free).saturating_mul(metadata.copies.max(1));
        data_short.saturating_add(metadata_short)
    };
    if beyond <= unallocated {
        return Ok(());
    }
    let mirrors = data.copies.max(1);
    let free = if mixed { metadata_free } else { data.free() };
    Err(Short {
        needed: need.data.saturating_add(need.metadata).saturating_add(headroom),
        free: free.saturating_add(unallocated / mirrors),
    })
}

#[cfg(test)]
mod tests {
    use butterdock_btrfs::space::Kind;

    use super::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    fn drive(data_free: u64, metadata_free: u64, unallocated: u64) -> Space {
        Space {
            data: Kind { total: 10 * GIB + data_free, used: 10 * GIB, copies: 1 },
            metadata: Kind { total: GIB + metadata_free, used: GIB, copies: 2 },
            reserve: 0,
            unallocated,
        }
    }

    fn need(data: u64) -> Need {
        Need { data, metadata: data / 256 }
    }

    #[test]
    fn data_grows_into_what_is_not_given_out() {
        assert_eq!(fits(&drive(GIB, GIB, 0), need(GIB)), Ok(()));
        assert_eq!(fits(&drive(0, GIB, GIB), need(GIB)), Ok(()));
        assert!(fits(&drive(0, GIB, GIB / 2), need(GIB)).is_err());
    }

    #[test]
    fn room_for_data_does_not_help_when_metadata_is_full() {
        assert!(fits(&drive(100 * GIB, 0, 0), need(MIB)).is_err());
        assert!(fits(&drive(100 * GIB, 0, 200 * MIB), need(MIB)).is_err(), "both copies need room");
        assert_eq!(fits(&drive(100 * GIB, 0, 2 * GIB), need(MIB)), Ok(()));
    }

    #[test]
    fn what_the_kernel_holds_back_is_not_free() {
        let full = Space { reserve: 500 * MIB, ..drive(GIB, 520 * MIB, 0) };
        assert!(fits(&full, need(MIB)).is_err());
        assert_eq!(fits(&Space { reserve: 0, ..full }, need(MIB)), Ok(()));
    }

    #[test]
    fn the_figures_are_those_of_the_drive() {
        let short = fits(&drive(GIB, GIB, GIB), need(5 * GIB)).expect_err("too small");
        assert_eq!(short.free, 2 * GIB);
        assert!(short.needed > 5 * GIB);
    }
}
