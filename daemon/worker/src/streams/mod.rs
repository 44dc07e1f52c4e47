//! This room knows the stream files on a drive: which there are, what each brings, and in which order they go into a
//! volume. It works in a worker, which reads what somebody may have put there to do harm.
//!
//! ```text
//! files    opens them, before the worker is locked in      head    what the first command says
//! order    each behind what it builds on (pure)            import  receives them, one after another
//! walk     where in a file its subvolumes begin          feed    gives a file to the receiver, from one of them on
//! ```
//!
//! Of a file its first subvolume is known, because that is in its first bytes; to know of more, all of it has to be read.
//! So a file whose parent is not found is no mistake yet: it comes last, and the receiver says what is missing. And only a
//! file whose first subvolume is in the volume already is read for others, when it is its turn: it may bring more, where
//! its import was interrupted.

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

/// One file, for whoever may know names.
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

/// What is told of files while they are received, or instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFileEvent {
    /// A file that could be received; told where only a list is wanted, in the order in which they would be.
    File(Row),
    /// So many bytes will be received.
    Total {
        /// In bytes.
        bytes: u64,
    },
    /// Of so many files, so many bring what is there already.
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
    fn only_files_of_these_names_are_opened_and_links_lead_nowhere() {
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
