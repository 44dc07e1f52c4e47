//! The stream files in a folder: which there are, what each holds, and in which order they are received. This runs in a
//! worker, because an attacker may have written the files.
//!
//! ```text
//! mod      opens the files before the worker is confined   head    reads the first command
//! order    sorts them, parents first (pure)                import  receives them, one after another
//! walk     finds the subvolumes in a file
//! ```
//!
//! The first subvolume of a file is known from its first bytes; for the others the whole file must be read. So a file whose
//! parent is not found is no error yet: it comes last, and the receiver reports the missing parent. Only a file whose first
//! subvolume is already in the volume is searched for others, when it is its turn: an interrupted import may have left them
//! out.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;

use butterdock_btrfs::{Error as Fault, names};
use butterdock_stream::Identity;
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, openat};
use serde::{Deserialize, Serialize};

use crate::bytes;

mod head;
mod import;
mod order;
mod walk;

pub(crate) use import::{Import, ImportError, list};

/// What the first command of a stream says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    /// The name of the subvolume.
    name: Vec<u8>,
    /// Which it is.
    identity: Identity,
    /// What it builds on; none for a stream of everything.
    parent: Option<Identity>,
}

/// A file, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// The file's.
    name: Vec<u8>,
    size: u64,
    /// Where it is no stream that can be received, a sentence that says why.
    head: Result<Head, String>,
}

/// One file, for readers who may see names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The name, as bytes.
    #[serde(with = "bytes")]
    pub name: Vec<u8>,
    /// In bytes.
    pub size: u64,
    /// The name that the stream gives its subvolume; empty where it cannot be read.
    #[serde(with = "bytes")]
    pub subvolume: Vec<u8>,
    /// The sender's uuid of it.
    pub uuid: Option<[u8; 16]>,
    /// The sender's uuid of what it builds on.
    pub parent: Option<[u8; 16]>,
    /// Why it cannot be received.
    pub problem: Option<String>,
}

/// Events of stream files, while they are received or listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFileEvent {
    /// A file that could be received, in the order of an import; only for a list.
    File(Row),
    /// This many bytes will be received.
    Total {
        /// In bytes.
        bytes: u64,
    },
    /// How many files there are, and how many of them are in the volume already.
    Planned {
        /// How many files.
        files: u64,
        /// How many of them are in the volume already.
        known: u64,
    },
}

impl From<Found> for Row {
    fn from(found: Found) -> Self {
        let Found { name, size, head } = found;
        let row = Self { name, size, ..Self::default() };
        match head {
            Ok(Head { name, identity, parent }) => {
                let uuid = |identity: Identity| identity.uuid.0;
                Self { subvolume: name, uuid: Some(uuid(identity)), parent: parent.map(uuid), ..row }
            }
            Err(problem) => Self { problem: Some(problem), ..row },
        }
    }
}

/// More than this are not looked at: each takes a descriptor.
const MOST: usize = 1000;
/// How their names end.
const ENDINGS: [&[u8]; 2] = [b".btrfs", b".send"];

/// The files, in the order of their names.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub all: Vec<Opened>,
    /// How many more there are than can be looked at.
    pub left_out: usize,
}

/// A file, open at its beginning.
#[derive(Debug)]
pub(crate) struct Opened {
    pub name: Vec<u8>,
    pub size: u64,
    pub file: File,
}

/// Opens what lies in `folder` itself and is a file; links lead nowhere.
///
/// # Errors
/// The folder cannot be read. A file that cannot be opened is left out.
pub(crate) fn open(folder: impl AsFd) -> Result<Files, Fault> {
    let mut names = names::entries_where(&folder, |name| is_one(name.to_bytes()))?;
    names.sort();
    let left_out = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    Ok(Files { all: names.iter().filter_map(|name| opened(folder.as_fd(), name)).collect(), left_out })
}

fn is_one(name: &[u8]) -> bool {
    !name.starts_with(b".") && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn opened(folder: impl AsFd, name: &CString) -> Option<Opened> {
    // A fifo of this name must not be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder, name.as_c_str(), flags, Mode::empty()).ok()?;
    let facts = fstat(&file).ok()?;
    if FileType::from_raw_mode(facts.st_mode) != FileType::RegularFile {
        return None;
    }
    fcntl_setfl(&file, OFlags::empty()).ok()?;
    let size = u64::try_from(facts.st_size).unwrap_or_default();
    Some(Opened { name: name.to_bytes().to_vec(), size, file: File::from(file) })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_matching_files_are_opened_and_no_links() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["b.send", "a.btrfs", ".hidden.send", "c.txt", "sendmail"] {
            fs::write(at(name), name).expect("written");
        }
        fs::create_dir(at("folder.send")).expect("made");
        symlink("/etc/passwd", at("link.send")).expect("linked");
        nix::unistd::mkfifo(&at("pipe.send"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        let files = open(File::open(folder.path()).expect("opened")).expect("listed");
        let names: Vec<_> = files.all.iter().map(|one| (one.name.as_slice(), one.size)).collect();
        assert_eq!(names, [(&b"a.btrfs"[..], 7), (b"b.send", 6)]);
        assert_eq!(files.left_out, 0);
    }
}
