//! Real subvolumes on a loop device, and their content.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata, read_dir, symlink_metadata};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::plan::NewInode;
use crate::real::{CloneSources, RealInode, RealVolume};
use crate::tests::memory::{Entry, View};
use crate::{Cause, Error, StreamPath};
use butterdock_btrfs::flags::flags;
use butterdock_btrfs::subvolume;
use butterdock_stream::{Identity, Time};
use nix::unistd::{Whence, lseek};
use tempfile::TempDir;

use crate::tests::order::command::OURS;

/// A btrfs filesystem on a loop device; dropping it unmounts it.
pub(crate) struct Loop {
    folder: TempDir,
    made: std::cell::Cell<u32>,
}

/// No clone sources outside of the subvolume.
pub(crate) struct NoSources;

impl Loop {
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "this test mounts a loop device and must run as root");
        let shm = std::env::var_os("BUTTERDOCK_SHM").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
        let folder = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() }.unwrap();
        let new = Self { folder, made: std::cell::Cell::new(0) };
        let image = new.folder.path().join("image");
        File::create(&image).unwrap().set_len(1 << 30).unwrap();
        std::fs::create_dir(new.mount()).unwrap();
        call(Command::new("mkfs.btrfs").arg("-q").arg(&image));
        call(Command::new("mount").args(["-o", "loop,noatime"]).arg(&image).arg(new.mount()));
        new
    }

    /// The path of a new subvolume.
    pub(crate) fn subvolume(&self) -> PathBuf {
        self.made.set(self.made.get() + 1);
        let name = std::ffi::CString::new(format!("s{}", self.made.get())).unwrap();
        let top = File::open(self.mount()).unwrap();
        subvolume::create(&top, &name).unwrap();
        self.mount().join(name.to_str().unwrap())
    }

    /// The path of a copy of the subvolume, made as a checkpoint and its resumption do.
    pub(crate) fn copy(&self, of: &Path) -> PathBuf {
        let copy = self.mount().join(format!("s{}c", self.made.get()));
        let (checkpoint, top) = (self.mount().join("checkpoint"), File::open(self.mount()).unwrap());
        subvolume::snapshot(&top, c"checkpoint", File::open(of).unwrap(), true).unwrap();
        if *of == copy {
            call(Command::new("btrfs").args(["-q", "subvolume", "delete"]).arg(of));
        }
        let name = std::ffi::CString::new(copy.file_name().unwrap().as_encoded_bytes()).unwrap();
        subvolume::snapshot(&top, &name, File::open(&checkpoint).unwrap(), false).unwrap();
        call(Command::new("btrfs").args(["-q", "subvolume", "delete"]).arg(&checkpoint));
        copy
    }

    fn mount(&self) -> PathBuf {
        self.folder.path().join("mount")
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.mount()).status();
        assert!(std::thread::panicking() || status.unwrap().success());
    }
}

impl CloneSources for NoSources {
    fn open(&mut self, source: &Identity, _: &StreamPath) -> Result<RealInode, Error> {
        let there = "no other subvolume".to_owned();
        let cause = Cause::SubvolumeMissing { role: "clone source", wanted: *source, there };
        Err(Error { place: None, name: None, cause })
    }
}

/// The subvolume at `path`, as a volume to receive into.
pub(crate) fn open(path: &Path) -> RealVolume<NoSources> {
    RealVolume::new(OwnedFd::from(File::open(path).unwrap()), OURS, NoSources).unwrap()
}

/// The content of the subvolume at `root`, as a reader sees it.
pub(crate) fn view(root: &Path) -> View {
    let (mut view, mut first) = (View::default(), HashMap::new());
    let mut left = vec![Vec::new()];
    while let Some(path) = left.pop() {
        let at = root.join(std::ffi::OsStr::from_bytes(&path));
        let metadata = symlink_metadata(&at).unwrap();
        if metadata.is_dir() {
            for name in read_dir(&at).unwrap() {
                let name = name.unwrap().file_name();
                left.push(if path.is_empty() { name.as_bytes().into() } else { [&path, name.as_bytes()].join(&b'/') });
            }
        }
        first.entry(metadata.ino()).or_insert_with(Vec::new).push(path.clone());
        view.names.insert(path, entry(&at, &metadata));
    }
    for class in first.into_values() {
        let first = class.iter().min().unwrap().clone();
        for path in class {
            view.names.get_mut(&path).unwrap().first.clone_from(&first);
        }
    }
    view
}

fn entry(at: &Path, metadata: &Metadata) -> Entry {
    let kind = metadata.file_type();
    let opened = (kind.is_file() || kind.is_dir())
        .then(|| std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(at).unwrap());
    let time = |seconds, nanoseconds| Some(Time { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap() });
    Entry {
        first: Vec::new(),
        what: match () {
            () if kind.is_file() => NewInode::File,
            () if kind.is_dir() => NewInode::Directory,
            () if kind.is_fifo() => NewInode::Fifo,
            () if kind.is_socket() => NewInode::Socket,
            () if kind.is_symlink() => {
                NewInode::Symlink { target: std::fs::read_link(at).unwrap().as_os_str().as_bytes().into() }
            }
            () if kind.is_char_device() => NewInode::CharDevice { rdev: metadata.rdev() },
            () => NewInode::BlockDevice { rdev: metadata.rdev() },
        },
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        flags: opened.as_ref().map_or(0, |file| flags(file).unwrap().bits()),
        xattrs: xattrs(at),
        atime: time(metadata.atime(), metadata.atime_nsec()),
        mtime: time(metadata.mtime(), metadata.mtime_nsec()),
        size: if kind.is_file() { metadata.len() } else { 0 },
        sectors: if kind.is_file() { sectors(&opened.unwrap(), metadata.len()) } else { BTreeMap::new() },
    }
}

fn sectors(file: &File, size: u64) -> BTreeMap<u64, Box<[u8]>> {
    let (mut sectors, mut at) = (BTreeMap::new(), 0);
    while let Ok(data) = lseek(file.as_fd(), at, Whence::SeekData) {
        let hole = lseek(file.as_fd(), data, Whence::SeekHole).unwrap();
        for number in u64::try_from(data).unwrap() / 4096..u64::try_from(hole).unwrap().div_ceil(4096) {
            let mut sector = vec![0; 4096].into_boxed_slice();
            let end = usize::try_from((size - number * 4096).min(4096)).unwrap();
            file.read_exact_at(&mut sector[..end], number * 4096).unwrap();
            sectors.insert(number, sector);
        }
        at = hole;
    }
    sectors
}

fn xattrs(at: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut list = vec![0; 1 << 16];
    let len = rustix::fs::llistxattr(at, &mut list[..]).unwrap();
    let names = list[..len].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let mut value = vec![0; 1 << 16];
            let len = rustix::fs::lgetxattr(at, name, &mut value[..]).unwrap();
            (name.to_vec(), value[..len].to_vec())
        })
        .collect()
}

fn call(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
