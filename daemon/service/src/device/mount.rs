//! Mounts and unmounts the filesystems of drives. Every call blocks while the drive blocks.
//!
//! At its start the service detaches what a killed service had mounted ([`sweep`]). Such a filesystem ends when the last worker
//! that held it has ended and all data is written; until then it cannot be mounted again ([`outlast`]).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use butterdock_btrfs::{best_effort, scrub};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstatvfs, openat, syncfs};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_create_exclusive,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
};
use uuid::Uuid;

use super::error::{Error, Part, Result, Sentence, of_drive};
use super::{in_use, node};
use crate::types::DriveProblemCode;

/// Timeout for the end of a detached filesystem; a drive may have much data to write.
const ENDING: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(100);
/// Timeout for the workers of a killed service, which hold what it had mounted until the kernel has ended them.
const HELD: Duration = Duration::from_secs(4);

/// A filesystem that is to be mounted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filesystem<'a> {
    /// As users see it.
    pub uuid: Uuid,
    /// What a person called it.
    pub label: &'a str,
}

/// How a filesystem is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It is read and written.
    Writable,
    /// It is only read.
    ReadOnly,
    /// The same, with devices missing.
    Degraded,
}

/// A device of the filesystem: its node, and the number that it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// `/dev/sdb1`
    pub node: PathBuf,
    /// As `st_rdev` has it.
    pub devnum: u64,
    /// Bytes, as udev has it; 0 unknown.
    pub size: u64,
}

/// As [`super::Devices::mount`] has it.
pub(super) fn mount(filesystem: &Filesystem<'_>, sources: &[Source], access: Access, at: &Path) -> Result<Log> {
    let create = |log| outlast(filesystem.uuid, || create(sources, access, log));
    let (detached, log) = match create(Log::Replayed) {
        // Devices that take no writes do not take the log of a crash either, and a damaged one cannot be replayed. Not the first
        // choice: the kernel neither sends nor scrubs a filesystem that is mounted without its log (Linux 6.18).
        Err(_) if access != Access::Writable => (create(Log::Skipped)?, Log::Skipped),
        created => (created?, Log::Replayed),
    };
    let detached = detached.ok_or_else(|| {
        let sentence = if is_seen(Path::new("/"), filesystem.uuid) {
            about(
                filesystem,
                "is already mounted by another program; unmount it there (umount, or eject it on the desktop; butterdock \
                 drives shows where): what is due then begins by itself",
            )
        } else {
            about(
                filesystem,
                "is already mounted in a mount namespace that the service does not see, such as that of a container; \
                 unmount it there: what is due begins up to a minute later",
            )
        };
        Error::InUse(sentence.coded(DriveProblemCode::MountedElsewhere, of_drive(filesystem.label)))
    })?;
    verify(filesystem, sources, &detached)?;
    attach(&detached, at)?;
    Ok(log)
}

/// Its top, open.
pub(super) fn open(at: &Path) -> Result<File> {
    open_folder(at).map_err(Error::system(format!("opening {}", at.display())))
}

/// As [`super::Devices::write_out`] has it.
pub(super) fn write_out(root: &File) -> Result<bool> {
    let written = syncfs(root).map_err(Error::system("writing everything to the drive"));
    // btrfs becomes read-only where it cannot commit: then syncfs fails once, and has nothing to write out after that.
    let now = fstatvfs(root).map_err(Error::system("looking at the drive"))?;
    if now.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(false);
    }
    written.map(|()| true)
}

/// As [`super::Devices::unmount`] has it.
pub(super) fn unmount(at: &Path) -> Result<()> {
    match umount2(at, MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => remove(at),
        Err(Errno::EBUSY) => Err(Error::refused(in_use::mount_in_use(at))),
        Err(error) => Err(Error::system(format!("unmounting {}", at.display()))(error)),
    }
}

/// As [`super::Devices::detach`] has it.
pub(super) fn detach(at: &Path) -> Result<()> {
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    umount2(at, flags).map_err(Error::system(format!("detaching {}", at.display())))?;
    remove(at)
}

/// What happens to the log that a crash left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    /// The kernel writes it into the filesystem, if there is one.
    Replayed,
    /// The filesystem is as it was at its last commit. It is only read.
    Skipped,
}

/// Makes the mount, at no place yet: it is gone again with the descriptor. None where the filesystem is mounted already.
fn create(sources: &[Source], access: Access, log: Log) -> Result<Option<OwnedFd>> {
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
        if access != Access::Writable {
            fsconfig_set_flag(&making, "ro")?;
        }
        if log == Log::Skipped {
            fsconfig_set_string(&making, "rescue", "nologreplay")?;
        }
        if access == Access::Degraded {
            fsconfig_set_flag(&making, "degraded")?;
        }
        match fsconfig_create_exclusive(&making) {
            // Before Linux 6.6; then only the check afterwards is left.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::INVAL) => fsconfig_create(&making),
            result => result,
        }
    })();
    match configured {
        Ok(()) => {}
        Err(rustix::io::Errno::BUSY) => return Ok(None),
        Err(rustix::io::Errno::ACCESS | rustix::io::Errno::ROFS)
            if sources.iter().any(|source| node::is_write_protected(&source.node)) =>
        {
            return Err(Error::WriteProtected { doing: doing() });
        }
        Err(error) => {
            let reason = complaint(making);
            return Err(Error::system(format!("{}{reason}", doing()))(error));
        }
    }
    let mut attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC
        | MountAttrFlags::MOUNT_ATTR_NOATIME
        | MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW;
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, access != Access::Writable);
    fsmount(&making, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map(Some).map_err(Error::system(doing()))
}

/// The kernel mounted what was meant: this filesystem, under its own uuid, from these devices and no others.
fn verify(filesystem: &Filesystem<'_>, sources: &[Source], detached: &OwnedFd) -> Result<()> {
    let looking = || format!("examining \"{}\"", filesystem.label);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(detached, ".", flags, Mode::empty()).map_err(Error::system(looking()))?;
    let facts = butterdock_btrfs::filesystem::info(&root).map_err(|fault| Error::system(looking())(fault.errno))?;
    let sysfs = PathBuf::from(format!("/sys/fs/btrfs/{}", Uuid::from_bytes(facts.fsid)));
    // Since Linux 6.7; before that a second filesystem of a uuid cannot be mounted.
    let temporary = fs::read_to_string(sysfs.join("temp_fsid")).unwrap_or_default();
    if facts.fsid != *filesystem.uuid.as_bytes() || !matches!(temporary.trim(), "" | "0") {
        let what = "was unmounted again: a filesystem with the same UUID is mounted already, so one is a copy; unplug the copy, then plug the drive in again";
        return Err(refused(filesystem, what));
    }
    let names = fs::read_dir(sysfs.join("devices")).map_err(Error::system(looking()))?;
    let mounted: BTreeSet<_> = names.flatten().map(|entry| entry.file_name()).collect();
    let wanted: BTreeSet<_> = sources.iter().filter_map(|source| Some(source.node.file_name()?.to_owned())).collect();
    if mounted != wanted {
        let what = "was unmounted again: the kernel took a copy of one of its devices; unplug the copy";
        return Err(refused(filesystem, what));
    }
    Ok(())
}

/// The enrolled drive is not mounted.
fn refused(filesystem: &Filesystem<'_>, what: &'static str) -> Error {
    Error::refused(about(filesystem, what).coded(DriveProblemCode::Cloned, of_drive(filesystem.label)))
}

fn about(filesystem: &Filesystem<'_>, what: &'static str) -> Sentence {
    Sentence::of(&[Part::Text("\""), Part::Name(filesystem.label), Part::Text("\" "), Part::Text(what)])
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

fn remove(at: &Path) -> Result<()> {
    fs::remove_dir(at).map_err(Error::system(format!("removing {}", at.display())))
}

/// The kernel's data in addition to the number.
pub(super) fn complaint(making: OwnedFd) -> String {
    let mut text = [0; 512];
    let length = File::from(making).read(&mut text).unwrap_or_default();
    let said = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
    if said.is_empty() { said } else { format!(" ({})", crate::device::text::shown(said.trim_start_matches("e "))) }
}

/// Tries again while `attempt` finds the filesystem busy and no mount of it can be seen. Answers none where it
/// stays so.
fn outlast<T, E>(
    filesystem: Uuid,
    mut attempt: impl FnMut() -> std::result::Result<Option<T>, E>,
) -> std::result::Result<Option<T>, E> {
    let begun = Instant::now();
    loop {
        let done = attempt()?;
        if done.is_some() || begun.elapsed() >= ENDING || is_seen(Path::new("/"), filesystem) {
            return Ok(done);
        }
        sleep(LOOK);
    }
}

/// Whether it is in the table of mounts, by any of its devices.
fn is_seen(root: &Path, filesystem: Uuid) -> bool {
    let devices = fs::read_dir(root.join(format!("sys/fs/btrfs/{filesystem}/devices")));
    let devices: Vec<OsString> = devices.into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    let mounts = fs::read_to_string(root.join("proc/thread-self/mountinfo")).unwrap_or_default();
    let mut sources = mounts.lines().filter_map(|line| line.split_once(" - ")?.1.split(' ').nth(1));
    sources.any(|source| {
        // A mapping goes by a link of its name.
        let node = fs::canonicalize(source).unwrap_or_else(|_| source.into());
        node.file_name().is_some_and(|name| devices.iter().any(|device| device == name))
    })
}

/// Detaches leftover mounts, and waits until the kernel has freed the filesystems: before that they cannot be mounted again.
/// Returns where they were.
pub(super) fn sweep(run: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(run.join("drives")) else { return Vec::new() };
    let ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| Uuid::try_parse(name).is_ok())
    };
    let left: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(ours).collect();
    let filesystems: Vec<PathBuf> = left.iter().filter_map(|path| filesystem_at(path)).collect();
    let gone = left.into_iter().filter(|path| detach(path).is_ok() || fs::remove_dir(path).is_err()).collect();
    let begun = Instant::now();
    while filesystems.iter().any(|known| known.exists()) && begun.elapsed() < HELD {
        sleep(Duration::from_millis(20));
    }
    gone
}

/// What the kernel tells of the filesystem there as long as it is mounted; none where nothing is mounted. Nothing is
/// scrubbed there afterwards: on older kernels a scrub outlives the worker that began it.
fn filesystem_at(path: &Path) -> Option<PathBuf> {
    let above = fs::metadata(path.parent()?).ok()?;
    let root = open_folder(path).ok()?;
    let here = root.metadata().ok()?.dev();
    if here == above.dev() {
        return None;
    }
    // It fails where none runs.
    best_effort(scrub::cancel(&root));
    let fsid = butterdock_btrfs::filesystem::info(&root).ok()?.fsid;
    Some(PathBuf::from(format!("/sys/fs/btrfs/{}", Uuid::from_bytes(fsid))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILESYSTEM: Uuid = Uuid::from_bytes([7; 16]);

    #[test]
    fn a_visible_mount_differs_from_a_dying_one() {
        let root = tempfile::tempdir().expect("a folder");
        let (devices, proc) =
            (root.path().join(format!("sys/fs/btrfs/{FILESYSTEM}/devices")), root.path().join("proc/thread-self"));
        fs::create_dir_all(devices.join("nosuch1")).expect("made");
        fs::create_dir_all(&proc).expect("made");
        let mounted = |source: &str| {
            let line = format!("30 1 0:27 / /mnt rw,relatime shared:1 - btrfs {source} rw,space_cache=v2\n");
            fs::write(proc.join("mountinfo"), line).expect("written");
            is_seen(root.path(), FILESYSTEM)
        };
        assert!(mounted("/dev/nosuch1"));
        assert!(!mounted("/dev/nosuch2"));
        assert!(!is_seen(root.path(), Uuid::nil()));
    }

    #[test]
    fn retries_end_when_the_filesystem_is_gone() {
        let mut left = 3;
        let done = outlast(FILESYSTEM, || {
            left -= 1;
            Ok::<_, ()>((left == 0).then_some(5))
        });
        assert_eq!((done, left), (Ok(Some(5)), 0));
        assert_eq!(outlast(FILESYSTEM, || Err::<Option<()>, _>(7)), Err(7));
    }
}
