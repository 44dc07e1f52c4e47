//! One name of a tree.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::Rules;

/// What a name is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A symlink and its target.
    Symlink(Vec<u8>),
    /// A device, fifo or socket: its type bits and its device number.
    Node(u32, u64),
}

/// Everything about one name that a send stream carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its type.
    pub kind: Kind,
    /// Permission bits with set-id and sticky.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Last access, seconds and nanoseconds.
    pub atime: (i64, i64),
    /// Last modification.
    pub mtime: (i64, i64),
    /// How many names it has.
    pub links: u64,
    /// The first of its names in the order of the bytes: two trees with the same firsts have the same hard links.
    pub first_name: Vec<u8>,
    /// All extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of a file: a digest of its bytes, or why they cannot be read.
    pub digest: Result<u64, String>,
    /// Of a file: where data lies, `(offset, end)`.
    pub data: Vec<(u64, u64)>,
    /// Inode flags of a file or directory.
    pub flags: u32,
}

impl Entry {
    /// Whether it is a regular file.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File(_))
    }

    /// How it differs from another of the same name, the content aside.
    #[must_use]
    pub fn differences(&self, other: &Self, rules: Rules) -> Vec<String> {
        let mut lines = Vec::new();
        if self.kind != other.kind {
            lines.push(format!("{:?} ≠ {:?}", self.kind, other.kind));
        }
        if self.mode != other.mode {
            lines.push(format!("mode {:04o} ≠ {:04o}", self.mode, other.mode));
        }
        note(&mut lines, "owner", &self.owner, &other.owner);
        if rules.root_times {
            note(&mut lines, "mtime", &self.mtime, &other.mtime);
        }
        if rules.root_times && rules.access_times {
            note(&mut lines, "atime", &self.atime, &other.atime);
        }
        note(&mut lines, "number of names", &self.links, &other.links);
        if self.first_name != other.first_name {
            lines.push(format!("linked to {} ≠ {}", self.first_name.escape_ascii(), other.first_name.escape_ascii()));
        }
        self.xattr_differences(other, &mut lines);
        if rules.holes {
            note(&mut lines, "data at", &self.data, &other.data);
        }
        if rules.flags && self.flags != other.flags {
            lines.push(format!("flags {:#x} ≠ {:#x}", self.flags, other.flags));
        }
        lines
    }

    fn xattr_differences(&self, other: &Self, lines: &mut Vec<String>) {
        for (name, value) in &self.xattrs {
            let shown = name.escape_ascii();
            match other.xattrs.get(name) {
                None => lines.push(format!("xattr {shown} is missing on the right")),
                Some(there) if there != value => {
                    lines.push(format!("xattr {shown}: {} ≠ {}", brief(value), brief(there)));
                }
                Some(_) => {}
            }
        }
        for name in other.xattrs.keys().filter(|name| !self.xattrs.contains_key(*name)) {
            lines.push(format!("xattr {} is missing on the left", name.escape_ascii()));
        }
    }
}

fn note<T: PartialEq + Debug>(lines: &mut Vec<String>, what: &str, left: &T, right: &T) {
    if left != right {
        lines.push(format!("{what} {left:?} ≠ {right:?}"));
    }
}

fn brief(value: &[u8]) -> String {
    let shown = value.get(..40).unwrap_or(value);
    format!("{} bytes {}", value.len(), shown.escape_ascii())
}
