//! The stream files in a folder: lists them, and receives them in dependency order. This runs in a worker, because an attacker
//! may have written the files.
//!
//! ```text
//! mod         opens the files before the worker is confined
//! subvolumes  finds the subvolumes in a file, and reads the first command of each
//! order       sorts the files, parents first (pure)
//! import      receives them, one after another
//! ```
//!
//! The first subvolume of a file is known from its first bytes; for the others the whole file must be read. So a file whose
//! parent is not found is not refused: it is received last, and the receiver reports the missing parent. A file is searched for
//! further subvolumes only if the volume already has its first one, because an interrupted import may have missed them.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::AsFd;

use butterdock_btrfs::{Error as Fault, names};
use butterdock_stream::Identity;
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, openat};
use serde::{Deserialize, Serialize};

use crate::hex;

mod import;
mod order;
mod subvolumes;

pub(crate) use import::{Import, ImportError, list};

/// The first command of a subvolume in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    /// The name of the subvolume.
    name: Vec<u8>,
    /// Its identity.
    identity: Identity,
    /// Its parent; `None` for a full stream.
    parent: Option<Identity>,
}

/// A file and its first subvolume.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// The name of the file.
    name: Vec<u8>,
    size: u64,
    /// The first command, or a sentence that says why the file cannot be received.
    head: Result<Head, String>,
}

/// One file in a list. It contains names, so not all users may see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFile {
    /// The name of the file, as bytes.
    #[serde(with = "hex")]
    pub name: Vec<u8>,
    /// Its size in bytes.
    pub size: u64,
    /// The name of the first subvolume in the stream; empty if it cannot be read.
    #[serde(with = "hex")]
    pub subvolume: Vec<u8>,
    /// The sender's uuid of that subvolume.
    pub uuid: Option<[u8; 16]>,
    /// The sender's uuid of the parent.
    pub parent: Option<[u8; 16]>,
    /// Why it cannot be received.
    pub problem: Option<String>,
}

/// An event of an import or of a list of stream files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamFileEvent {
    /// A file of the list, in the order of an import.
    File(StreamFile),
    /// This many bytes will be received.
    Total {
        /// In bytes.
        bytes: u64,
    },
    /// The number of files.
    Planned {
        /// All files.
        files: u64,
        /// The files whose first subvolume the volume already has.
        known: u64,
    },
}

impl From<Found> for StreamFile {
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

/// The largest number of files, because each needs a descriptor.
const MOST: usize = 1000;
/// The extensions of stream files.
const EXTENSIONS: [&[u8]; 2] = [b".btrfs", b".send"];

/// The open stream files of a folder, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub all: Vec<Opened>,
    /// The number of files beyond [`MOST`].
    pub left_out: usize,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Opened {
    pub name: Vec<u8>,
    pub size: u64,
    pub file: File,
}

/// Opens the stream files in `folder`. Does not follow symbolic links.
///
/// # Errors
/// The folder cannot be read. A file that cannot be opened is omitted.
pub(crate) fn open(folder: impl AsFd) -> Result<Files, Fault> {
    let mut names = names::entries_where(&folder, |name| is_stream_file(name.to_bytes()))?;
    names.sort();
    let left_out = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    Ok(Files { all: names.iter().filter_map(|name| opened(folder.as_fd(), name)).collect(), left_out })
}

fn is_stream_file(name: &[u8]) -> bool {
    !name.starts_with(b".") && EXTENSIONS.iter().any(|extension| name.ends_with(extension))
}

fn opened(folder: impl AsFd, name: &CString) -> Option<Opened> {
    // Non-blocking, because opening a fifo would block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = openat(folder, name.as_c_str(), flags, Mode::empty()).ok()?;
    let stat = fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    fcntl_setfl(&file, OFlags::empty()).ok()?;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
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
