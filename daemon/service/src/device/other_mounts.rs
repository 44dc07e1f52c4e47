//! The mounts of block devices that other programs made, such as a desktop.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use butterdock_btrfs::mounts::{self, Mount};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use uuid::Uuid;

use super::error::{Error, Part, Result, Sentence};
use super::in_use;

/// A mount of a block device that this service did not make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OtherMount {
    /// Its id in the table of mounts.
    pub id: u64,
    /// Where it is.
    pub at: PathBuf,
    /// The devices of its filesystem.
    pub nodes: Vec<PathBuf>,
}

/// Where udisks mounts the drives of a user, each below a folder of the user's name that only root can write.
const MEDIA: [&str; 2] = ["/run/media", "/media"];

impl OtherMount {
    /// Whether udisks mounted it for this user.
    pub(crate) fn is_of(&self, user: &str) -> bool {
        let is_name = !user.is_empty() && user != "." && user != ".." && !user.contains('/');
        is_name && MEDIA.iter().any(|media| self.at.parent() == Some(&Path::new(media).join(user)))
    }
}

/// As [`super::Devices::other_mounts`] has it.
pub(super) fn other_mounts(run: &Path) -> io::Result<Vec<OtherMount>> {
    let ours = run.join("drives");
    Ok(mounts_below(Path::new("/"))?.into_iter().filter(|mount| !mount.at.starts_with(&ours)).collect())
}

/// All mounts of block devices, with the files of the kernel below `root`.
pub(super) fn mounts_below(root: &Path) -> io::Result<Vec<OtherMount>> {
    let table = mounts::parse(&fs::read(root.join("proc/thread-self/mountinfo"))?);
    let mount = |mount: Mount| {
        let nodes = nodes(root, &mount)?;
        Some(OtherMount { id: mount.id, at: OsString::from_vec(mount.mount_point).into(), nodes })
    };
    Ok(table.into_iter().filter_map(mount).collect())
}

/// As [`super::Devices::is_mounted`] has it, with the files of the kernel below `root`.
pub(super) fn is_mounted(root: &Path, filesystem: Uuid) -> bool {
    root.join("sys/fs/btrfs").join(filesystem.to_string()).exists()
}

/// The devices of a mounted filesystem; none where it is on no block device.
fn nodes(root: &Path, mount: &Mount) -> Option<Vec<PathBuf>> {
    if mount.kind != b"btrfs" {
        let number = std::str::from_utf8(&mount.filesystem).ok()?;
        let device = fs::read_link(root.join("sys/dev/block").join(number)).ok()?;
        return Some(vec![node(device.file_name()?.to_str()?)]);
    }
    // Its number is not that of a device, and the table names one of its devices.
    let source = PathBuf::from(OsString::from_vec(mount.source.clone()));
    // A mapping goes by a link of its name.
    let source = fs::canonicalize(&source).unwrap_or(source);
    let name = source.file_name()?;
    for filesystem in fs::read_dir(root.join("sys/fs/btrfs")).into_iter().flatten().flatten() {
        let devices = filesystem.path().join("devices");
        if devices.join(name).exists() {
            let names = fs::read_dir(devices).into_iter().flatten().flatten();
            let mut nodes: Vec<PathBuf> = names.filter_map(|entry| Some(node(entry.file_name().to_str()?))).collect();
            nodes.sort();
            return Some(nodes);
        }
    }
    Some(vec![source])
}

/// The node of a device that sysfs calls so.
fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name.replace('!', "/"))
}

/// As [`super::Devices::unmount_other`] has it. The kernel unmounts by path: what covers the mount would be unmounted instead.
pub(super) fn unmount(mount: &OtherMount) -> Result<()> {
    if id_at(&mount.at) != Some(mount.id) {
        let name = mount.nodes.first().map_or(Part::Text("the drive"), |node| Part::Node(node));
        return Err(Error::InUse(Sentence::of(&[
            name,
            Part::Text(" is mounted at "),
            Part::Hidden(&mount.at.display(), "a place"),
            Part::Text(", which another mount covers now; unmount that one, then try again"),
        ])));
    }
    match umount2(&mount.at, MntFlags::UMOUNT_NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::EBUSY) => Err(Error::InUse(in_use::mount_in_use(&mount.at))),
        Err(error) => Err(Error::system(format!("unmounting {}", mount.at.display()))(error)),
    }
}

/// The id of the mount at this path; none where the path leads elsewhere. Nothing is open afterwards: that would be a use of the mount.
fn id_at(path: &Path) -> Option<u64> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let top = fs::File::options().read(true).custom_flags(flags.bits()).open(path).ok()?;
    mounts::id_of(top).ok().flatten()
}

#[cfg(test)]
mod tests {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    use super::*;

    fn at(path: &str) -> OtherMount {
        OtherMount { id: 36, at: path.into(), nodes: Vec::new() }
    }

    #[test]
    fn privileged_a_mount_that_covers_another_is_not_unmounted_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        // Its mounts are its own, and end with it.
        let in_a_namespace = || {
            unshare(CloneFlags::CLONE_NEWNS).expect("root");
            let none = None::<&str>;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
            let mount_here = || {
                mount(Some("x"), &path, Some("tmpfs"), MsFlags::empty(), none).expect("mounted");
                OtherMount { id: id_at(&path).expect("known"), at: path.clone(), nodes: vec!["/dev/sdb1".into()] }
            };
            let (below, above) = (mount_here(), mount_here());
            let table = fs::read("/proc/thread-self/mountinfo").expect("read");
            let ids: Vec<u64> = mounts::parse(&table).into_iter().map(|mount| mount.id).collect();
            assert!([&below, &above].iter().all(|mount| ids.contains(&mount.id)), "{below:?} {above:?} {ids:?}");
            let refused = unmount(&below).expect_err("another mount covers it");
            assert_eq!(id_at(&path), Some(above.id), "the wrong mount is gone");
            assert!(
                refused.public().starts_with("sdb1 is mounted at a place, which another mount covers"),
                "{refused}"
            );
            unmount(&above).expect("unmounted");
            unmount(&below).expect("unmounted");
        };
        std::thread::scope(|scope| scope.spawn(in_a_namespace).join()).expect("passed");
    }

    #[test]
    fn a_mount_of_udisks_is_that_of_its_user() {
        for path in ["/run/media/anna/Blue", "/media/anna/Blue"] {
            assert!(at(path).is_of("anna") && !at(path).is_of("ann") && !at(path).is_of("bert"), "{path}");
        }
        for (path, user) in [
            ("/media/Blue", ""),
            ("/media/Blue", "."),
            ("/media/anna/a/Blue", "anna"),
            ("/mnt/anna/Blue", "anna"),
            ("/media/anna", "anna"),
            ("/media/anna/x/Blue", "anna/x"),
        ] {
            assert!(!at(path).is_of(user), "{path} {user}");
        }
    }

    #[test]
    fn every_device_of_a_mounted_filesystem_is_known() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |file: &str, text: &str| {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        };
        write(
            "proc/thread-self/mountinfo",
            "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n26 25 0:5 / /dev rw - devtmpfs udev rw\n\
             36 25 0:40 / /media/anna/My\\040disk rw shared:7 - btrfs /dev/nosuchb2 rw\n\
             37 25 0:41 / /run/butterdock/drives/x rw - btrfs /dev/nosuchd rw\n\
             38 25 8:17 / /mnt rw - fuseblk /dev/other rw\n39 25 0:50 / /fuse rw - fuse.x /dev/nosuchb2 rw\n",
        );
        write("sys/fs/btrfs/0f1e/devices/nosuchb2", "");
        write("sys/fs/btrfs/0f1e/devices/nosuch!c", "");
        fs::create_dir_all(root.path().join("sys/dev/block")).expect("made");
        for (number, name) in [("8:1", "sda1"), ("8:17", "sdb1")] {
            let link = root.path().join("sys/dev/block").join(number);
            std::os::unix::fs::symlink(format!("../../devices/x/{name}"), link).expect("linked");
        }
        let found = mounts_below(root.path()).expect("read");
        let is = |id: u64, path: &str, nodes: &[&str]| OtherMount {
            id,
            at: path.into(),
            nodes: nodes.iter().map(PathBuf::from).collect(),
        };
        assert_eq!(
            found,
            [
                is(25, "/", &["/dev/sda1"]),
                is(36, "/media/anna/My disk", &["/dev/nosuch/c", "/dev/nosuchb2"]),
                is(37, "/run/butterdock/drives/x", &["/dev/nosuchd"]),
                is(38, "/mnt", &["/dev/sdb1"])
            ]
        );
    }
}
