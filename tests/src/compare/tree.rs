//! Reading a tree.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::fs::{SeekFrom, ioctl_getflags, lgetxattr, llistxattr, seek};
use rustix::io::Errno;

use super::entry::{Entry, Kind};

/// Data and holes are told apart in these units.
const SECTOR: u64 = 4096;

/// All names below a directory, the directory itself under the empty name.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Where it was read.
    pub root: PathBuf,
    /// By path relative to the root.
    pub entries: BTreeMap<Vec<u8>, Entry>,
}

impl Tree {
    /// Reads a tree with all its content. Symlinks are not followed, devices not opened.
    ///
    /// # Errors
    /// When something cannot be looked at; content that cannot be read is kept as such.
    pub fn read(root: &Path) -> Result<Self> {
        let mut tree = Self { root: root.to_path_buf(), entries: BTreeMap::new() };
        let mut inodes: HashMap<(u64, u64), Vec<Vec<u8>>> = HashMap::new();
        let mut left = vec![Vec::new()];
        while let Some(path) = left.pop() {
            let place = tree.place(&path);
            let status = fs::symlink_metadata(&place).with_context(|| place.display().to_string())?;
            if status.is_dir() {
                for name in fs::read_dir(&place)? {
                    left.push(joined(&path, name?.file_name().as_bytes()));
                }
            }
            inodes.entry((status.dev(), status.ino())).or_default().push(path.clone());
            let entry = read_entry(&place, &status).with_context(|| place.display().to_string())?;
            tree.entries.insert(path, entry);
        }
        for names in inodes.into_values() {
            let first = names.iter().min().cloned().unwrap_or_default();
            for name in names {
                if let Some(entry) = tree.entries.get_mut(&name) {
                    entry.first_name.clone_from(&first);
                }
            }
        }
        Ok(tree)
    }

    /// The full path of a name.
    #[must_use]
    pub fn place(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(Path::new(std::ffi::OsStr::from_bytes(path))) }
    }

    /// The paths of its regular files.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.entries.iter().filter(|(_, entry)| matches!(entry.kind, Kind::File(_))).map(|(path, _)| self.place(path))
    }
}

/// Where two files begin to differ, in words.
#[must_use]
pub fn first_difference(left: &Path, right: &Path) -> String {
    match (fs::read(left), fs::read(right)) {
        (Ok(one), Ok(other)) => {
            let at = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
            let count = one.iter().zip(&other).filter(|(a, b)| a != b).count();
            format!("content differs from byte {at} on ({count} bytes; {} and {} long)", one.len(), other.len())
        }
        (one, other) => {
            let said =
                |read: std::io::Result<_>| read.map_or_else(|error| error.to_string(), |_| "readable".to_owned());
            format!("content: {} ≠ {}", said(one.map(drop)), said(other.map(drop)))
        }
    }
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

fn read_entry(place: &Path, status: &Metadata) -> Result<Entry> {
    let format = status.file_type();
    let kind = if format.is_file() {
        Kind::File(status.len())
    } else if format.is_dir() {
        Kind::Directory
    } else if format.is_symlink() {
        Kind::Symlink(fs::read_link(place)?.as_os_str().as_bytes().to_vec())
    } else {
        Kind::Node(status.mode() & 0o170_000, status.rdev())
    };
    let mut entry = Entry {
        mode: status.mode() & 0o7777,
        owner: (status.uid(), status.gid()),
        atime: (status.atime(), status.atime_nsec()),
        mtime: (status.mtime(), status.mtime_nsec()),
        // A directory has one name; btrfs always says 1.
        links: if format.is_dir() { 1 } else { status.nlink() },
        first_name: Vec::new(),
        xattrs: read_xattrs(place)?,
        digest: Ok(0),
        data: Vec::new(),
        flags: 0,
        kind,
    };
    if matches!(entry.kind, Kind::File(_) | Kind::Directory) {
        let open = File::open(place)?;
        entry.flags = ioctl_getflags(&open)?.bits();
        if let Kind::File(size) = entry.kind {
            entry.data = data_ranges(&open, size)?;
            entry.digest = digest(&open).map_err(|error| format!("{:?}", error.kind()));
        }
    }
    Ok(entry)
}

fn read_xattrs(place: &Path) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut names = vec![0; 65_536];
    let length = llistxattr(place, &mut names)?;
    let mut all = BTreeMap::new();
    for name in names.get(..length).unwrap_or_default().split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65_536];
        let length = lgetxattr(place, name, &mut value)?;
        value.truncate(length);
        all.insert(name.to_vec(), value);
    }
    Ok(all)
}

fn digest(mut open: &File) -> std::io::Result<u64> {
    let mut hash = DefaultHasher::new();
    let mut block = vec![0; 1 << 17];
    loop {
        match open.read(&mut block) {
            Ok(0) => return Ok(hash.finish()),
            Ok(n) => hash.write(block.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Where data lies, to whole sectors, neighbours joined.
fn data_ranges(open: &File, size: u64) -> Result<Vec<(u64, u64)>> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut at = 0;
    while at < size {
        let from = match seek(open, SeekFrom::Data(at)) {
            Ok(from) => from,
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(open, SeekFrom::Hole(from))?;
        let (from, to) = (from / SECTOR * SECTOR, end.div_ceil(SECTOR) * SECTOR);
        match ranges.last_mut() {
            Some(last) if last.1 >= from => last.1 = to,
            _ => ranges.push((from, to)),
        }
        at = end;
    }
    seek(open, SeekFrom::Start(0))?;
    Ok(ranges)
}
