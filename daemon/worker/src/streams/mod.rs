//! The stream files in a folder: lists them, and receives them in dependency order. This runs in a worker, because an attacker
//! may have written the files.
//!
//! ```text
//! mod         opens the files before the worker is confined
//! subvolumes  finds the subvolumes in a file, and reads the first command of each
//! content     reads a file, and decompresses it
//! order       sorts the files, parents first (pure)
//! import      receives them, one after another; import_error says why some were not received
//! ```
//!
//! The first subvolume of a file is known from its first bytes; for the others the whole file must be read. So a file whose
//! parent is not found is not refused: it is received last, and the receiver reports the missing parent. A file is searched for
//! further subvolumes only if the volume already has its first one, because an interrupted import may have missed them.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use butterdock_btrfs::{Error as Fault, names};
use butterdock_stream::Identity;
use rustix::fs::{FileType, Mode, OFlags, fcntl_setfl, fstat, openat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::hex;

mod content;
mod import;
mod import_error;
mod order;
mod subvolumes;

use content::{Compression, Content};
pub(crate) use import::{Import, list};
pub use import_error::FailedFiles;
pub(crate) use import_error::ImportError;

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
    /// Its size in bytes, compressed if it is.
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
    /// This many bytes will be received. Not reported if a file is compressed: its decompressed size is unknown.
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
/// The extensions of stream files, in any case,
const EXTENSIONS: [&str; 2] = [".btrfs", ".send"];
/// and those that may follow, if the file is compressed.
const COMPRESSED: [&str; 3] = [".zst", ".zstd", ".gz"];

/// The open stream files of a folder, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub all: Vec<Opened>,
    /// The files that cannot be read, each with a clause that says why.
    unreadable: Vec<(Vec<u8>, String)>,
    /// The number of files beyond [`MOST`].
    pub left_out: usize,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct Opened {
    pub name: Vec<u8>,
    pub size: u64,
    compression: Compression,
    pub file: File,
}

impl Opened {
    /// A reader of its bytes, from the beginning.
    fn content(&self) -> io::Result<Content<'_>> {
        Content::new(&self.file, self.size, self.compression)
    }
}

/// Opens the stream files in `folder`. Does not follow symbolic links.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn open(folder: impl AsFd) -> Result<Files, Fault> {
    let mut names = names::entries_where(&folder, |name| is_stream_file(name.to_bytes()))?;
    names.sort();
    let mut files = Files { left_out: names.len().saturating_sub(MOST), ..Files::default() };
    names.truncate(MOST);
    for name in names {
        match opened(folder.as_fd(), &name) {
            Ok(Some(file)) => files.all.push(file),
            Ok(None) => {}
            Err(error) => files.unreadable.push((name.into_bytes(), format!("it cannot be read: {error}"))),
        }
    }
    Ok(files)
}

fn is_stream_file(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let compressed = COMPRESSED.iter().find_map(|extension| name.strip_suffix(extension.as_bytes()));
    let stream = compressed.unwrap_or(&name);
    !name.starts_with(b".") && EXTENSIONS.iter().any(|extension| stream.ends_with(extension.as_bytes()))
}

/// `None` if it is no regular file.
fn opened(folder: impl AsFd, name: &CString) -> io::Result<Option<Opened>> {
    // Non-blocking, because opening a fifo would block.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(folder, name.as_c_str(), flags, Mode::empty()) {
        // A symbolic link, or a socket.
        Err(Errno::LOOP | Errno::NXIO) => return Ok(None),
        file => File::from(file?),
    };
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    fcntl_setfl(&file, OFlags::empty())?;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let compression = Compression::of(&file)?;
    Ok(Some(Opened { name: name.to_bytes().to_vec(), size, compression, file }))
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
        let streams = ["B.SEND", "a.btrfs", "b.send", "c.btrfs.zst", "d.Send.GZ", "e.send.zstd"];
        for name in [".hidden.send", "c.txt", "sendmail", "f.zst", "g.send.xz"].iter().chain(&streams) {
            fs::write(at(name), name).expect("written");
        }
        fs::create_dir(at("folder.send")).expect("made");
        symlink("/etc/passwd", at("link.send")).expect("linked");
        nix::unistd::mkfifo(&at("pipe.send"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        let files = open(File::open(folder.path()).expect("opened")).expect("listed");
        let names: Vec<_> = files.all.iter().map(|one| String::from_utf8_lossy(&one.name)).collect();
        assert_eq!(names, streams);
        assert_eq!((files.all[1].size, files.left_out, files.unreadable.len()), (7, 0, 0));
    }
}
