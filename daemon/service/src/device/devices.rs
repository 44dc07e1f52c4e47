//! What the service asks of udev and the kernel for its drives.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use butterdock_btrfs::filesystem::DeviceErrors;
use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::block_device::BlockDevice;
use super::error::Result;
use super::import_mount::ReadOnly;
use super::luks::{Cryptsetup, Secret};
use super::monitor::{Monitor, MountMonitor};
use super::mount::{Access, Filesystem, Log, Source};
use super::other_mounts::OtherMount;
use super::power::Power;
use super::probe::Probed;
use super::superblock::Superblock;
use super::{import_mount, luks, mount, node, other_mounts, power, probe};

/// A wait that a trait object answers.
pub(crate) type Waiting<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What happened to block devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// These are all that are attached: at the start, and after events were lost.
    All(Vec<BlockDevice>),
    /// It is attached, and this is known of it now.
    Present(Box<BlockDevice>),
    /// The device of this syspath is gone.
    Gone(PathBuf),
}

/// Reports what happens to block devices, and keeps nothing of it.
pub(crate) trait DeviceEvents: Debug + Send {
    /// The next event; the first is [`Event::All`]. Dropping the wait loses none.
    ///
    /// # Errors
    /// No more events are received: begin again.
    fn next(&mut self) -> Waiting<'_, io::Result<Event>>;
}

/// Reports that filesystems were mounted or unmounted.
pub(crate) trait MountEvents: Debug + Send {
    /// Waits for a mount or unmount. Several changes may cause one notification.
    ///
    /// # Errors
    /// Changes are not reported any more.
    fn changed(&mut self) -> Waiting<'_, io::Result<()>>;
}

/// What the filesystem of a mounted drive says of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Readings {
    /// Bytes that are free; 0 unknown.
    #[serde(default)]
    pub free: u64,
    /// The errors that the counters of its devices have counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_errors: Option<u64>,
}

/// The block devices of a machine, and what is done with them. All but [`Self::events`] and [`Self::mount_events`] block as long
/// as a device does.
pub(crate) trait Devices: Debug + Send + Sync {
    /// Begins to report what happens to block devices.
    ///
    /// # Errors
    /// udev's library cannot listen, or outside a runtime.
    fn events(&self) -> io::Result<Box<dyn DeviceEvents>>;

    /// Begins to report changes of mounts: every change from now on is reported.
    ///
    /// # Errors
    /// /proc is not mounted, or outside a runtime.
    fn mount_events(&self) -> io::Result<Box<dyn MountEvents>>;

    /// Reads the superblock of the device `node`, which must be the block device of this number.
    ///
    /// # Errors
    /// The node is another device, cannot be read, or has no good superblock.
    fn superblock(&self, node: &Path, devnum: u64) -> Result<Superblock>;

    /// Reads what is on a device where udev's prober does not see a btrfs filesystem.
    ///
    /// # Errors
    /// The device is another one by now, or cannot be read.
    fn probe(&self, device: &BlockDevice) -> Result<Probed>;

    /// Erases the device and makes a btrfs filesystem on it; answers with its superblock.
    ///
    /// # Errors
    /// It is another device by now, it is in use, or the tool failed.
    fn format(&self, device: &BlockDevice, label: &str) -> Result<Superblock>;

    /// Erases the device and makes a container of LUKS2 with this uuid on it, which the secret opens.
    ///
    /// # Errors
    /// It is another device by now, it is in use, or the tool failed.
    fn encrypt(&self, device: &BlockDevice, luks: Uuid, secret: &Secret) -> Result<()>;

    /// Has the content of a file open the container on `node`, which must have this number, beside the secret.
    ///
    /// # Errors
    /// The secret is wrong, or the tool failed.
    fn add_key(&self, node: &Path, devnum: u64, secret: &Secret, file: &Path) -> Result<()>;

    /// Mounts the filesystem from `sources`, which are all its devices that are attached, at the empty directory `at`. Its top is
    /// what is seen, whatever its default subvolume is. Answers what happened to the log of a crash.
    ///
    /// # Errors
    /// The filesystem is mounted already, or the kernel mounted another one than was meant: then that is unmounted again before
    /// another process can see it.
    fn mount(&self, filesystem: &Filesystem<'_>, sources: &[Source], access: Access, at: &Path) -> Result<Log>;

    /// Mounts the filesystem on the device that these facts are of, and answers its top. It is attached nowhere, and is unmounted
    /// when the last descriptor below it is closed. Not a byte of the drive is written.
    ///
    /// # Errors
    /// The device is another one, or the kernel does not mount it.
    fn mount_read_only(&self, kind: ReadOnly, device: &BlockDevice) -> Result<File>;

    /// The top of what is mounted at `at`, open.
    ///
    /// # Errors
    /// The drive does not answer.
    fn open(&self, at: &Path) -> Result<File>;

    /// The mount that a directory was reached through, as `mounts::unique_id` has it; 0 where the kernel does not tell.
    fn mount_id(&self, root: &File) -> u64;

    /// What the filesystem says of itself.
    fn readings(&self, root: &File) -> Readings;

    /// Writes everything to the drive. Answers false where the filesystem became read-only after an error.
    ///
    /// # Errors
    /// The drive did not take it.
    fn write_out(&self, root: &File) -> Result<bool>;

    /// The mounts of block devices that other programs made: all but those below `<run>/drives`.
    ///
    /// # Errors
    /// /proc is not mounted.
    fn other_mounts(&self, run: &Path) -> io::Result<Vec<OtherMount>>;

    /// Whether the kernel has the filesystem mounted, in whatever mount namespace.
    fn is_mounted(&self, filesystem: Uuid) -> bool;

    /// Unmounts what another program mounted.
    ///
    /// # Errors
    /// It is in use; the message names the program. It stays mounted.
    fn unmount_other(&self, mount: &OtherMount) -> Result<()>;

    /// The name of a user; none where the system does not know it.
    fn user_name(&self, uid: u32) -> Option<String>;

    /// Unmounts what is mounted at `at`, and removes that directory.
    ///
    /// # Errors
    /// It is in use; the message names the program. It stays mounted.
    fn unmount(&self, at: &Path) -> Result<()>;

    /// Detaches what is mounted at `at`, and removes that directory. The kernel ends the mount when its last user has closed it.
    ///
    /// # Errors
    /// It is not mounted.
    fn detach(&self, at: &Path) -> Result<()>;

    /// Detaches everything that an earlier service left mounted below `run`, and waits until the kernel has ended those mounts.
    /// Answers where they were.
    fn detach_leftovers(&self, run: &Path) -> Vec<PathBuf>;

    /// Unlocks the container `luks` on `node`, which must have this number.
    ///
    /// # Errors
    /// The secret is wrong, the drive is another one or gone, or it is unlocked already.
    fn unlock(&self, node: &Path, devnum: u64, luks: Uuid, secret: &Secret) -> Result<()>;

    /// Checks that the secret opens the container on `node`, which must have this number and may be unlocked.
    ///
    /// # Errors
    /// The secret is wrong, or the drive is another one or gone.
    fn check_secret(&self, node: &Path, devnum: u64, secret: &Secret) -> Result<()>;

    /// Whether the service unlocked a container of this uuid, and did not lock it again.
    fn is_unlocked(&self, luks: Uuid) -> bool;

    /// The containers that the service unlocked, this run or an earlier one.
    fn unlocked(&self) -> Vec<Uuid>;

    /// Locks the container.
    ///
    /// # Errors
    /// It is in use.
    fn lock(&self, luks: Uuid) -> Result<()>;

    /// Locks the container of a drive that was pulled: now, or when its last user ends.
    ///
    /// # Errors
    /// The tool failed.
    fn lock_when_unused(&self, luks: Uuid) -> Result<()>;

    /// Checks that no filesystem, mapping or swap uses the device or one of its partitions. A node that does not exist is unused.
    ///
    /// # Errors
    /// What uses it.
    fn check_unused(&self, node: &Path) -> Result<()>;

    /// Switches the whole disk off if no part of it is in use. Flushes it first.
    ///
    /// # Errors
    /// A part of it, or of another disk in the same enclosure, is in use; or the kernel refused.
    fn power_off(&self, disk: &BlockDevice) -> Result<Power>;
}

/// The devices of this machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemDevices;

impl Devices for SystemDevices {
    fn events(&self) -> io::Result<Box<dyn DeviceEvents>> {
        Ok(Box::new(Monitor::open()?))
    }

    fn mount_events(&self) -> io::Result<Box<dyn MountEvents>> {
        Ok(Box::new(MountMonitor::open()?))
    }

    fn superblock(&self, node: &Path, devnum: u64) -> Result<Superblock> {
        node::superblock(node, devnum)
    }

    fn probe(&self, device: &BlockDevice) -> Result<Probed> {
        probe::probe(device)
    }

    fn format(&self, device: &BlockDevice, label: &str) -> Result<Superblock> {
        node::format(device, label)
    }

    fn encrypt(&self, device: &BlockDevice, luks: Uuid, secret: &Secret) -> Result<()> {
        node::encrypt(device, luks, secret)
    }

    fn add_key(&self, node: &Path, devnum: u64, secret: &Secret, file: &Path) -> Result<()> {
        Cryptsetup::find()?.add_key(node, devnum, secret, file)
    }

    fn mount(&self, filesystem: &Filesystem<'_>, sources: &[Source], access: Access, at: &Path) -> Result<Log> {
        mount::mount(filesystem, sources, access, at)
    }

    fn mount_read_only(&self, kind: ReadOnly, device: &BlockDevice) -> Result<File> {
        import_mount::mount(kind, device)
    }

    fn open(&self, at: &Path) -> Result<File> {
        mount::open(at)
    }

    fn mount_id(&self, root: &File) -> u64 {
        butterdock_btrfs::mounts::unique_id(root)
    }

    fn readings(&self, root: &File) -> Readings {
        let free = rustix::fs::fstatvfs(root).map_or(0, |facts| facts.f_bavail.saturating_mul(facts.f_frsize));
        let errors = butterdock_btrfs::filesystem::all_device_errors(root).ok();
        let total = |devices: Vec<(u64, DeviceErrors)>| {
            devices.iter().map(|(_, errors)| errors.total()).fold(0, u64::saturating_add)
        };
        Readings { free, device_errors: errors.map(total) }
    }

    fn write_out(&self, root: &File) -> Result<bool> {
        mount::write_out(root)
    }

    fn other_mounts(&self, run: &Path) -> io::Result<Vec<OtherMount>> {
        other_mounts::other_mounts(run)
    }

    fn is_mounted(&self, filesystem: Uuid) -> bool {
        other_mounts::is_mounted(Path::new("/"), filesystem)
    }

    fn unmount_other(&self, mount: &OtherMount) -> Result<()> {
        other_mounts::unmount(mount)
    }

    fn user_name(&self, uid: u32) -> Option<String> {
        User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
    }

    fn unmount(&self, at: &Path) -> Result<()> {
        mount::unmount(at)
    }

    fn detach(&self, at: &Path) -> Result<()> {
        mount::detach(at)
    }

    fn detach_leftovers(&self, run: &Path) -> Vec<PathBuf> {
        mount::sweep(run)
    }

    fn unlock(&self, node: &Path, devnum: u64, luks: Uuid, secret: &Secret) -> Result<()> {
        Cryptsetup::find()?.open(node, devnum, luks, secret)
    }

    fn check_secret(&self, node: &Path, devnum: u64, secret: &Secret) -> Result<()> {
        Cryptsetup::find()?.test(node, devnum, secret)
    }

    fn is_unlocked(&self, luks: Uuid) -> bool {
        luks::is_open(luks)
    }

    fn unlocked(&self) -> Vec<Uuid> {
        luks::stale(Path::new("/sys"))
    }

    fn lock(&self, luks: Uuid) -> Result<()> {
        Cryptsetup::find()?.close(luks)
    }

    fn lock_when_unused(&self, luks: Uuid) -> Result<()> {
        Cryptsetup::find()?.close_deferred(luks)
    }

    fn check_unused(&self, node: &Path) -> Result<()> {
        if node.exists() { power::claim(node, None).map(drop) } else { Ok(()) }
    }

    fn power_off(&self, disk: &BlockDevice) -> Result<Power> {
        power::power_off(disk)
    }
}
