//! This room tells whether two trees are the same, and where they are not.

mod entry;
mod extents;
mod tree;

pub use entry::{Entry, Kind};
pub use extents::{Stored, stored_differences, stored_extents};
pub use tree::{Tree, first_difference};

use anyhow::{Result, bail};

/// What two trees are compared in, beside names, types, modes, owners, links, content and xattrs.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Where data lies and where holes are.
    pub holes: bool,
    /// Inode flags.
    pub flags: bool,
    /// The times of the root directory: the standard receiver leaves them at the moment of the receive.
    pub root_times: bool,
    /// The times of the last access: not where reading moves them.
    pub access_times: bool,
}

impl Rules {
    /// Two copies of one stream by the two receivers.
    pub const COPIES: Self = Self { holes: true, flags: false, root_times: false, access_times: true };
    /// Our copy and the source of a full stream.
    pub const SOURCE: Self = Self { holes: true, flags: false, root_times: true, access_times: true };
    /// Our copy and the source of an incremental one: what was reserved since its parent is sent as zeros.
    pub const SOURCE_OF_INCREMENT: Self = Self { holes: false, flags: false, root_times: true, access_times: true };
    /// A tree and itself, at another time.
    pub const SAME: Self = Self { holes: true, flags: true, root_times: true, access_times: false };
}

/// The differences, one a line, at most a few dozen.
#[must_use]
pub fn differences(left: &Tree, right: &Tree, rules: Rules) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, entry) in &left.entries {
        let shown = if path.is_empty() { "(the root)".into() } else { path.escape_ascii().to_string() };
        match right.entries.get(path) {
            None => lines.push(format!("{shown}: missing on the right")),
            Some(other) => {
                let rules = Rules { root_times: rules.root_times || !path.is_empty(), ..rules };
                for difference in entry.differences(other, rules) {
                    lines.push(format!("{shown}: {difference}"));
                }
                // Only files are read: a fifo would wait for a writer.
                if entry.is_file() && other.is_file() && entry.digest != other.digest {
                    lines.push(format!("{shown}: {}", first_difference(&left.place(path), &right.place(path))));
                }
            }
        }
    }
    for path in right.entries.keys().filter(|path| !left.entries.contains_key(*path)) {
        lines.push(format!("{}: missing on the left", path.escape_ascii()));
    }
    let more = lines.len().saturating_sub(40);
    lines.truncate(40);
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    lines
}

/// That two trees are the same.
///
/// # Errors
/// With the differences.
pub fn same(what: &str, left: &Tree, right: &Tree, rules: Rules) -> Result<()> {
    let found = differences(left, right, rules);
    if !found.is_empty() {
        bail!("{what}: {} and {} differ:\n  {}", left.root.display(), right.root.display(), found.join("\n  "));
    }
    Ok(())
}
