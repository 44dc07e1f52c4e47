//! Opens a block device's node and checks that it is the right device.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::block_device::BlockDevice;
use super::error::{Error, Result};
use super::sentence::{Part, Sentence};
use super::superblock::{self, LENGTH, OFFSET, Superblock};

/// The message if a node has become another device.
const OTHER: &str = " has changed to another device; plug the drive in again";

/// Reads the superblock of the device `node`, which must be the block device of this number. Blocks as long as the drive
/// does.
///
/// # Errors
/// The node is another device, cannot be read, or has no good superblock.
pub(crate) fn superblock(node: &Path, devnum: u64) -> Result<Superblock> {
    let file = open(node, devnum)?;
    let mut bytes = [0; LENGTH];
    file.read_exact_at(&mut bytes, OFFSET).map_err(|error| unread(&file, node, error))?;
    superblock::parse(&bytes)
        .map_err(|what| Error::refused(Sentence::of(&[Part::Node(node), Part::Text(": "), Part::Sentence(&what)])))
}

/// A node that stayed behind when its medium went has no bytes any more, and an enclosure that fails gives too few.
fn unread(mut file: &File, node: &Path, error: io::Error) -> Error {
    let small = file.seek(SeekFrom::End(0)).is_ok_and(|size| (1..OFFSET + LENGTH as u64).contains(&size));
    let short = error.kind() == ErrorKind::UnexpectedEof;
    if short && small {
        let text = Part::Text(": it is too small for a btrfs filesystem");
        return Error::refused(Sentence::of(&[Part::Node(node), text]));
    }
    let error = if short { Errno::ENXIO.into() } else { error };
    Error::system(format!("reading {}", node.display()))(error)
}

/// Opens a node that must be the block device of this number: names below /dev are used again.
pub(crate) fn open(node: &Path, devnum: u64) -> Result<File> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let open = File::options().read(true).custom_flags(flags.bits()).open(node);
    let file = open.map_err(Error::system(format!("opening {}", node.display())))?;
    let facts = file.metadata().map_err(Error::system(format!("examining {}", node.display())))?;
    if !facts.file_type().is_block_device() || facts.rdev() != devnum {
        return Err(Error::refused(Sentence::of(&[Part::Node(node), Part::Text(OTHER)])));
    }
    Ok(file)
}

/// Opens the device that these facts are of. A disk that came in its place since has its name and its number, and udev may not
/// have reported it yet; the kernel counts disks. While this is open no other disk gets that name.
pub(crate) fn open_same(facts: &BlockDevice) -> Result<File> {
    let file = open(&facts.node, facts.devnum)?;
    // A partition has its disk's.
    let places = [facts.syspath.join("diskseq"), facts.syspath.join("../diskseq")];
    let now = places.iter().find_map(|place| fs::read_to_string(place).ok()?.trim().parse::<u64>().ok());
    if facts.diskseq != 0 && now != Some(facts.diskseq) {
        return Err(Error::refused(Sentence::of(&[Part::Node(&facts.node), Part::Text(OTHER)])));
    }
    Ok(file)
}

/// A small file, or nothing where it is larger than `most` bytes.
pub(crate) fn small(file: &File, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}
