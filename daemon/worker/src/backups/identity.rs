//! The sixteen bytes that tell subvolumes apart.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bytes;

/// A uuid of a subvolume; hexadecimal digits where it is written down.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identity(#[serde(with = "bytes::uuid")] pub [u8; 16]);

impl Identity {
    /// The uuid that the kernel has where there is none.
    pub const NONE: Self = Self([0; 16]);

    /// Itself, unless it is none.
    pub fn known(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0), f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
