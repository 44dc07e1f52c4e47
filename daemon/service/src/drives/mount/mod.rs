//! Mounts an enrolled drive, checks it before other processes can see it, and unmounts it. Every call blocks while the
//! drive blocks.

mod dying;
mod read_only;
mod sweep;

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use butterdock_btrfs::filesystem;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_create_exclusive,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use uuid::Uuid;

use crate::device::{Error, Result};
use crate::device::{Part, Sentence};
use crate::device::{in_use, node};
use crate::enrolment::Enrolment;

pub(crate) use read_only::{ReadOnly, read_only};
pub(super) use sweep::sweep;

/// A device of the filesystem: its node, and the number that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// `/dev/sdb1`
    pub node: PathBuf,
    /// As `st_rdev` has it.
    pub devnum: u64,
}

/// A drive that we mounted. Dropping it leaves it mounted.
#[derive(Debug)]
pub(crate) struct Mounted {
    /// Where: `<run>/drives/<id>`, which root alone may enter.
    pub at: PathBuf,
}

/// Mounts the enrolled filesystem from `sources`, which are all its devices, at `<run>/drives/<id>`. Its top is what is
/// seen, whatever its default subvolume is.
///
/// # Errors
/// A device is not what it should be; the filesystem is mounted already, or the kernel mounted another one than was meant:
/// then that is let go again, and nobody has seen it.
pub(crate) fn mount(enrolment: &Enrolment, sources: &[Source], run: &Path) -> Result<Mounted> {
    for source in sources {
        examine(enrolment, sources.len(), source)?;
    }
    all_members(enrolment, sources)?;
    let at = place(run, enrolment.id)?;
    let detached = dying::outlast(enrolment.filesystem, || create(sources))?.ok_or_else(|| {
        refused(enrolment, "is already mounted by another program; unmount it there, then plug it in again")
    })?;
    verify(enrolment, sources, &detached)?;
    attach(&detached, &at)?;
    Ok(Mounted { at })
}

impl Mounted {
    /// Its top, open. It must be closed again before [`Self::unmount`].
    ///
    /// # Errors
    /// The drive does not answer.
    pub(crate) fn root(&self) -> Result<File> {
        open_folder(&self.at).map_err(Error::system(format!("opening {}", self.at.display())))
    }

    /// Unmounts it; what was written is on the drive afterwards.
    ///
    /// # Errors
    /// It is in use; the message names the program. It stays mounted.
    pub(crate) fn unmount(&self) -> Result<()> {
        match umount2(&self.at, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => remove(&self.at),
            Err(Errno::EBUSY) => Err(Error::refused(in_use::mount_in_use(&self.at))),
            Err(error) => Err(Error::system(format!("unmounting {}", self.at.display()))(error)),
        }
    }

    /// Detaches the mount of an unplugged drive. The kernel ends it when the last user has closed it.
    ///
    /// # Errors
    /// It is not mounted.
    pub(crate) fn detach(&self) -> Result<()> {
        detach(&self.at)
    }
}

/// Reads the superblock ourselves: the kernel sees only what is the enrolled filesystem.
fn examine(enrolment: &Enrolment, count: usize, source: &Source) -> Result<()> {
    let found = node::superblock(&source.node, source.devnum)?;
    let label = Part::Name(&enrolment.label);
    let known = enrolment.members.iter().any(|member| member.device == found.dev_uuid);
    if found.fsid != enrolment.filesystem || !known {
        return Err(Error::refused(Sentence::of(&[
            Part::Node(&source.node),
            Part::Text(" is not a device of \""),
            label,
            Part::Text("\": its superblock has changed to that of another filesystem; plug it in again"),
        ])));
    }
    let wanted = enrolment.members.len();
    if found.num_devices != wanted as u64 || count != wanted {
        return Err(Error::refused(Sentence::of(&[
            Part::Text("\""),
            label,
            Part::Text("\" has "),
            Part::Number(found.num_devices),
            Part::Text(" devices according to "),
            Part::Node(&source.node),
            Part::Text(", and "),
            Part::Number(count as u64),
            Part::Text(" of "),
            Part::Number(wanted as u64),
            Part::Text(
                " are attached; plug in all of them; if a device was added or removed after the enrolment, forget the \
                 drive and enrol it again",
            ),
        ])));
    }
    Ok(())
}

/// Each of the devices is there, and so, with their number, each once.
fn all_members(enrolment: &Enrolment, sources: &[Source]) -> Result<()> {
    let mut there = BTreeSet::new();
    for source in sources {
        there.insert(node::superblock(&source.node, source.devnum)?.dev_uuid);
    }
    if there.len() == enrolment.members.len() {
        return Ok(());
    }
    let nodes: Vec<&Path> = sources.iter().map(|source| source.node.as_path()).collect();
    Err(Error::refused(Sentence::of(&[
        Part::Text("one of "),
        Part::Nodes(&nodes),
        Part::Text(" is a copy of another device of \""),
        Part::Name(&enrolment.label),
        Part::Text("\"; unplug the copy"),
    ])))
}

/// Where it is mounted: an empty directory of root's.
fn place(run: &Path, id: Uuid) -> Result<PathBuf> {
    let at = run.join("drives").join(id.to_string());
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&at);
    made.map_err(Error::system(format!("making {}", at.display())))?;
    let empty = fs::read_dir(&at).map_err(Error::system(format!("examining {}", at.display())))?.next().is_none();
    if !empty {
        return Err(Error::refused(Sentence::of(&[
            Part::Hidden(&at.display(), "its directory"),
            Part::Text(" is in use: a filesystem is mounted there, or it contains files"),
        ])));
    }
    Ok(at)
}

/// Makes the mount, at no place yet: it is gone again with the descriptor. None where the filesystem is mounted already.
fn create(sources: &[Source]) -> Result<Option<OwnedFd>> {
    let nodes: Vec<String> = sources.iter().map(|source| source.node.display().to_string()).collect();
    let doing = || format!("mounting {}", nodes.join(" and "));
    let making = fsopen("btrfs", FsOpenFlags::FSOPEN_CLOEXEC).map_err(Error::system(doing()))?;
    let configured = (|| {
        for (index, source) in sources.iter().enumerate() {
            if index == 0 {
                fsconfig_set_string(&making, "source", &source.node)?;
            }
            // Naming each member has the kernel look at these nodes last, over any copy that it saw before.
            fsconfig_set_string(&making, "device", &source.node)?;
        }
        fsconfig_set_string(&making, "subvolid", "5")?;
        match fsconfig_create_exclusive(&making) {
            // Before Linux 6.6; then only the check afterwards is left.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => fsconfig_create(&making),
            result => result,
        }
    })();
    match configured {
        Ok(()) => {}
        Err(rustix::io::Errno::BUSY) => return Ok(None),
        Err(error) => {
            let reason = complaint(making);
            return Err(Error::system(format!("{}{reason}", doing()))(error));
        }
    }
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOATIME
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    fsmount(&making, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map(Some).map_err(Error::system(doing()))
}

/// The kernel's data in addition to the number.
fn complaint(making: OwnedFd) -> String {
    let mut text = [0; 512];
    let length = File::from(making).read(&mut text).unwrap_or_default();
    let said = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
    if said.is_empty() { said } else { format!(" ({})", crate::device::text::shown(said.trim_start_matches("e "))) }
}

/// The kernel mounted what was meant: this filesystem, under its own uuid, from these devices and no others.
fn verify(enrolment: &Enrolment, sources: &[Source], detached: &OwnedFd) -> Result<()> {
    let looking = || format!("examining \"{}\"", enrolment.label);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(detached, ".", flags, Mode::empty()).map_err(Error::system(looking()))?;
    let facts = filesystem::info(&root).map_err(|fault| Error::system(looking())(fault.errno))?;
    let sysfs = PathBuf::from(format!("/sys/fs/btrfs/{}", Uuid::from_bytes(facts.fsid)));
    // Since Linux 6.7; before that a second filesystem of a uuid cannot be mounted.
    let temporary = fs::read_to_string(sysfs.join("temp_fsid")).unwrap_or_default();
    if facts.fsid != *enrolment.filesystem.as_bytes() || !matches!(temporary.trim(), "" | "0") {
        let what = "was unmounted again: another filesystem with its uuid is mounted: one of them is a copy; unplug it";
        return Err(refused(enrolment, what));
    }
    let names = fs::read_dir(sysfs.join("devices")).map_err(Error::system(looking()))?;
    let mounted: BTreeSet<_> = names.flatten().map(|entry| entry.file_name()).collect();
    let wanted: BTreeSet<_> = sources.iter().filter_map(|source| Some(source.node.file_name()?.to_owned())).collect();
    if mounted != wanted {
        let what = "was unmounted again: the kernel took a copy of one of its devices; unplug the copy";
        return Err(refused(enrolment, what));
    }
    Ok(())
}

/// The enrolled drive is not mounted.
fn refused(enrolment: &Enrolment, what: &'static str) -> Error {
    let label = Part::Name(&enrolment.label);
    Error::refused(Sentence::of(&[Part::Text("\""), label, Part::Text("\" "), Part::Text(what)]))
}

fn attach(detached: &OwnedFd, at: &Path) -> Result<()> {
    let doing = || format!("mounting at {}", at.display());
    let folder = open_folder(at).map_err(Error::system(doing()))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(detached.as_fd(), "", folder.as_fd(), "", flags).map_err(Error::system(doing()))
}

fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlag::O_CLOEXEC | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
    File::options().read(true).custom_flags(flags.bits()).open(path)
}

fn detach(at: &Path) -> Result<()> {
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    umount2(at, flags).map_err(Error::system(format!("detaching {}", at.display())))?;
    remove(at)
}

fn remove(at: &Path) -> Result<()> {
    fs::remove_dir(at).map_err(Error::system(format!("removing {}", at.display())))
}

#[cfg(test)]
mod tests;
