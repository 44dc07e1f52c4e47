//! The drives that are there, and what is done with each: one actor.

use std::fmt;

/// What a drive is called: short, and fit for a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DriveId(pub(crate) String);

impl fmt::Display for DriveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
