//! What the daemon remembers of each backup on each drive, so that the next one is an increment.
//!
//! A drive may be away for months. The snapshot of the source that it has too must not be thinned meanwhile, and neither may
//! its twin on the drive. Both carry one identity, so one mark pins both.

use serde::{Deserialize, Serialize};

use super::identity::Identity;

/// What tells a snapshot and its twin from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mark {
    /// What it is called in streams.
    pub(crate) sent_as: Identity,
    /// The state that it was in: snapshots of what was once received share their name.
    pub(crate) ctransid: u64,
}

/// What a drive needs for the next increment of one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pin {
    /// What the snapshot is called in streams: its own uuid, or that under which it was received itself.
    pub(crate) sent_as: Identity,
    /// Its transaction beside the source.
    pub(crate) ctransid: u64,
    /// The uuid of the snapshot beside the source.
    pub(crate) source: Identity,
    /// The uuid of its twin on the drive.
    pub(crate) drive: Identity,
    /// When the drive was last up to date: seconds since 1970.
    pub(crate) time: i64,
}

/// An order has room for so many pins: as many drives may take part in one backup.
pub(crate) const MOST: usize = 40;

impl Pin {
    /// What an order says of it.
    pub(crate) fn mark(&self) -> Mark {
        Mark { sent_as: self.sent_as, ctransid: self.ctransid }
    }
}
