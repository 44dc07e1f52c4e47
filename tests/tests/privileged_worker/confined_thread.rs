//! The confinement from within: a thread confines itself as a worker does and tries what must fail.

use std::fs::{self, File};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use butterdock_tests::{Sandbox, Volume, snapshot};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{FileType, Mode, OFlags, makedev, mknodat, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsmount, fsopen, open_tree,
};
use rustix::process::{Pid, Signal, kill_process};

use crate::confine::{Confined, Directories, Needs, confine};

/// A volume with a destination in it, and something beside the destination.
struct Directory {
    // Fields are dropped in this order, and the sandbox must outlast what is in it.
    volume: Volume,
    sandbox: Sandbox,
}

impl Directory {
    fn new() -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let volume = sandbox.plain_volume("ours")?;
        snapshot::create(&volume.join("destination"))?;
        fs::create_dir(volume.join("beside"))?;
        fs::write(volume.join("beside/file"), "x")?;
        Ok(Self { volume, sandbox })
    }

    fn destination(&self) -> PathBuf {
        self.volume.join("destination")
    }

    /// Runs something as a worker would.
    fn inside<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.inside_with(|_walls| act())
    }

    /// The same, with the descriptors that a worker works through.
    fn inside_with<T: Send>(&self, act: impl FnOnce(Confined) -> Result<T> + Send) -> Result<T> {
        let directory = File::open(self.destination())?;
        std::thread::scope(|threads| {
            let locked_in = threads.spawn(move || {
                let needs = Needs { destination: Some(directory.as_fd()), filesystem: true, ..Needs::default() };
                let walls = confine(&needs).map_err(|trouble| anyhow!("{trouble}"))?;
                ensure!(walls.landlock && walls.lacking.is_empty(), "this kernel lacks: {:?}", walls.lacking);
                // A worker closes it.
                drop(directory);
                act(walls)
            });
            locked_in.join().map_err(|_panic| anyhow!("it panicked"))?
        })
    }
}

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

#[test]
fn files_outside_the_volume_cannot_be_opened_or_made() -> Result<()> {
    let place = Directory::new()?;
    let outside = place.sandbox.join("outside");
    place.inside(|| {
        for path in ["/etc/passwd", "/proc/self/status", "/", "/dev/null"] {
            let refused = errno(File::open(path));
            ensure!(refused == Some(Errno::EACCES as i32), "{path}: {refused:?}");
        }
        ensure!(errno(File::create(&outside)) == Some(Errno::EACCES as i32), "a file was made outside");
        ensure!(errno(fs::create_dir(&outside)) == Some(Errno::EACCES as i32), "a directory was made outside");
        Ok(())
    })
}

#[test]
fn a_worker_reads_the_filesystem_and_writes_the_destination() -> Result<()> {
    let place = Directory::new()?;
    let (beside, destination) = (place.volume.join("beside"), place.destination());
    place.inside(|| {
        ensure!(fs::read(beside.join("file"))? == b"x", "not what is there");
        ensure!(errno(File::create(beside.join("new"))) == Some(Errno::EACCES as i32), "it was written beside");
        ensure!(errno(fs::remove_file(beside.join("file"))) == Some(Errno::EACCES as i32), "it was removed beside");
        let out = fs::rename(beside.join("file"), destination.join("file"));
        ensure!(out.is_err(), "it was moved in from beside");
        fs::create_dir(destination.join("d"))?;
        fs::write(destination.join("d/f"), "y")?;
        fs::rename(destination.join("d/f"), destination.join("g"))?;
        fs::hard_link(destination.join("g"), destination.join("d/h"))?;
        fs::remove_file(destination.join("g"))?;
        Ok(())
    })
}

#[test]
fn no_program_runs_and_no_mount_changes() -> Result<()> {
    let place = Directory::new()?;
    let (folder, volume) = (place.sandbox.path().to_owned(), place.volume.path().to_owned());
    place.inside(|| {
        ensure!(errno(Command::new("/bin/true").status()) == Some(Errno::EACCES as i32), "a program ran");
        let mounted = mount(Some("x"), &folder, Some("tmpfs"), MsFlags::empty(), None::<&str>);
        ensure!(mounted == Err(Errno::EPERM), "{mounted:?}");
        let unmounted = umount2(&volume, MntFlags::MNT_DETACH);
        ensure!(unmounted == Err(Errno::EPERM), "{unmounted:?}");
        Ok(())
    })
}

/// A stream holds device nodes, so a worker may make them: a disk of the machine, for instance.
#[test]
fn a_worker_cannot_open_devices_that_it_created() -> Result<()> {
    let place = Directory::new()?;
    let (destination, disk) = (place.destination(), fs::metadata(place.volume.device()?)?.rdev());
    let make = |directory: &OwnedFd, name: &str, kind: FileType, device: u64| {
        mknodat(directory, name, kind, Mode::from_raw_mode(0o600), device)
    };
    let opened = |directory: &OwnedFd, name: &str| openat(directory, name, OFlags::RDWR, Mode::empty()).map(drop);
    let directory = OwnedFd::from(File::open(&destination)?);
    make(&directory, "before", FileType::BlockDevice, disk)?;
    opened(&directory, "before").context("not to be opened without walls either: this shows nothing")?;
    drop(directory);
    place.inside_with(|walls| {
        let Directories { destination: directory, top } = walls.directories.context("no place")?;
        make(&directory, "disk", FileType::BlockDevice, disk)?;
        make(&directory, "null", FileType::CharacterDevice, makedev(1, 3))?;
        for name in ["before", "disk", "null"] {
            let refused = opened(&directory, name);
            ensure!(refused == Err(rustix::io::Errno::ACCESS), "{name}: {refused:?}");
            let by_path = errno(File::open(destination.join(name)));
            ensure!(by_path == Some(Errno::EACCES as i32), "{name} by its path: {by_path:?}");
        }
        let above = openat(&top.context("no top")?, "destination/disk", OFlags::RDONLY, Mode::empty()).map(drop);
        ensure!(above == Err(rustix::io::Errno::ACCESS), "through the top: {above:?}");
        // The kernel opens no device for it either: what adds one to a filesystem asks the same.
        let mounted = butterdock_btrfs::filesystem::open_top(&directory).map(drop).map_err(|error| error.errno);
        ensure!(mounted == Err(Errno::EACCES), "a device was mounted by its path: {mounted:?}");
        // No other mount, and none of these changed.
        let clone = open_tree(&directory, "", OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_EMPTY_PATH);
        ensure!(clone.is_err_and(|error| error == rustix::io::Errno::PERM), "a mount was cloned");
        let changed = butterdock_btrfs::mounts::refuse_devices_everywhere().map_err(|error| error.errno);
        ensure!(changed == Err(Errno::EPERM), "a mount was changed: {changed:?}");
        let tmpfs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&tmpfs)?;
        let made = |attributes| fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map(drop);
        let lax = made(MountAttrFlags::MOUNT_ATTR_NOSUID);
        ensure!(lax == Err(rustix::io::Errno::PERM), "a mount with devices: {lax:?}");
        made(MountAttrFlags::MOUNT_ATTR_NODEV).context("a mount without")?;
        Ok(())
    })
}

/// Who lists the stream files on a drive reads what is open, and that is all.
#[test]
fn a_worker_without_destination_only_reads_its_descriptors() -> Result<()> {
    let place = Directory::new()?;
    let (file, destination) = (place.volume.join("beside/file"), place.destination());
    let open = File::open(&file)?;
    std::thread::scope(|threads| {
        let locked_in = threads.spawn(move || {
            let walls = confine(&Needs::default()).map_err(|trouble| anyhow!("{trouble}"))?;
            ensure!(walls.landlock && walls.directories.is_none(), "{walls:?}");
            ensure!(std::io::read_to_string(&open)? == "x", "what is open");
            for refused in [errno(File::open(&file)), errno(File::create(destination.join("new")))] {
                ensure!(refused == Some(Errno::EACCES as i32), "{refused:?}");
            }
            ensure!(errno(fs::read_dir(&destination)) == Some(Errno::EACCES as i32), "it listed the volume");
            Ok(())
        });
        locked_in.join().map_err(|_panic| anyhow!("it panicked"))?
    })
}

#[test]
fn the_network_is_out_of_reach() -> Result<()> {
    let place = Directory::new()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    ensure!(TcpStream::connect(address).is_ok(), "not reachable from outside either: this shows nothing");
    place.inside(|| {
        ensure!(TcpStream::connect(address).is_err(), "it reached a port");
        ensure!(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", address)).is_err(), "it sent");
        Ok(())
    })
}

#[test]
fn other_processes_cannot_be_signalled() -> Result<()> {
    let place = Directory::new()?;
    let mut other = Command::new("/bin/sleep").arg("1000").spawn()?;
    let id = Pid::from_child(&other);
    let signalled = place.inside(|| Ok(kill_process(id, Signal::KILL)));
    other.kill()?;
    other.wait()?;
    ensure!(signalled?.is_err(), "it killed a process");
    Ok(())
}
