//! This room makes real trees, with everything in them that a send stream can carry, and changes them for increments.

mod change;
mod change_again;
mod content;
mod extents;
mod flags;
mod names;
mod nodes;
mod xattrs;

use std::path::Path;

use anyhow::Result;

pub use change::change;
pub use change_again::change_again;
pub use content::{Content, Random};
pub use flags::{FLAGGED, clear_and_change, prepare as prepare_flags, set as set_flags};

/// Builds the whole tree below a directory.
///
/// # Errors
/// When the filesystem refuses something; root is needed.
pub fn build(root: &Path) -> Result<()> {
    xattrs::properties(&root.join("properties"))?;
    build_portable(root)
}

/// Builds what every mount takes: without compression as a property, which a mount without checksums refuses.
///
/// # Errors
/// When the filesystem refuses something; root is needed.
pub fn build_portable(root: &Path) -> Result<()> {
    content::build(root)?;
    extents::build(root)?;
    names::build(root)?;
    nodes::build(root)?;
    xattrs::build(root)?;
    nodes::times(root)
}
