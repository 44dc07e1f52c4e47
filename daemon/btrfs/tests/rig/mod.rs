//! Makes btrfs volumes on loop devices in a temporary folder and removes them.

pub(crate) mod old_kernel;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

/// A mounted volume. Dropped, it is unmounted and its devices and images are removed, also when the test failed.
#[derive(Debug)]
pub(crate) struct Volume {
    folder: TempDir,
    loops: Vec<String>,
    /// The devices, open: as long as they are no other program can have the kernel detach them, and then it does by itself.
    held: Vec<File>,
}

impl Volume {
    /// A volume on one device with the default options.
    pub(crate) fn new() -> Self {
        Self::with(1, "defaults")
    }

    /// A volume on this many devices, mounted with these options.
    pub(crate) fn with(devices: usize, options: &str) -> Self {
        let mut volume = Self::unmounted();
        for number in 0..devices {
            File::create_new(volume.image(number)).unwrap().set_len(300 << 20).unwrap();
            volume.attach(number);
        }
        let mut arguments = vec!["-q", "-f"];
        arguments.extend(volume.loops.iter().map(String::as_str));
        run("mkfs.btrfs", &arguments);
        volume.mount(options);
        volume
    }

    /// A copy of a volume on one device, block by block, and so with the same uuids; neither is mounted.
    pub(crate) fn copy_of(original: &Self) -> Self {
        original.unmount();
        let mut volume = Self::unmounted();
        fs::copy(original.image(0), volume.image(0)).unwrap();
        volume.attach(0);
        volume
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    /// A folder beside the mount, on the host's own filesystem.
    pub(crate) fn outside(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The file under a device.
    pub(crate) fn image(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("image-{number}"))
    }

    /// The root of the mount, opened.
    pub(crate) fn root(&self) -> File {
        File::open(self.path()).unwrap()
    }

    /// Unmounts and mounts with other options; nothing is cached afterwards.
    pub(crate) fn mount_again(&self, options: &str) {
        run("umount", &[self.path().to_str().unwrap()]);
        self.mount(options);
    }

    /// Unmounts; what keeps the filesystem busy fails the test.
    pub(crate) fn unmount(&self) {
        run("umount", &[self.path().to_str().unwrap()]);
    }

    /// Mounts the first device, with the others known to the kernel.
    pub(crate) fn mount(&self, options: &str) {
        for device in &self.loops {
            run("btrfs", &["device", "scan", device]);
        }
        run("mount", &["-t", "btrfs", "-o", options, &self.loops[0], self.path().to_str().unwrap()]);
    }

    /// The line of the mount in `/proc/self/mountinfo`, without its ids: options of the mount and of the filesystem.
    pub(crate) fn options(&self) -> String {
        let path = self.path();
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = table.lines().find(|line| line.split(' ').nth(4) == path.to_str()).unwrap();
        line.split(' ').skip(5).collect::<Vec<_>>().join(" ")
    }

    fn unmounted() -> Self {
        require_root();
        let builder = || tempfile::Builder::new().prefix("butterdock-btrfs-").to_owned();
        let memory = std::env::var_os("BUTTERDOCK_SHM").map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
        let folder = if memory.is_dir() { builder().tempdir_in(memory).unwrap() } else { builder().tempdir().unwrap() };
        fs::create_dir(folder.path().join("mount")).unwrap();
        Self { folder, loops: Vec::new(), held: Vec::new() }
    }

    fn attach(&mut self, number: usize) {
        let image = self.image(number);
        let inode = fs::metadata(&image).unwrap().ino().to_string();
        // Another program may detach it before it is held.
        for _ in 0..100 {
            let device = run("losetup", &["--find", "--show", image.to_str().unwrap()]).trim().to_owned();
            let held = File::open(&device).unwrap();
            let mut asked = Command::new("losetup");
            asked.args(["--list", "--noheadings", "--output", "BACK-INO,BACK-FILE", &device]);
            let told = String::from_utf8_lossy(&asked.output().unwrap().stdout).into_owned();
            if told.split_whitespace().eq([inode.as_str(), image.to_str().unwrap()]) {
                // Of one that is open this makes the kernel detach it when it is closed, and does no more.
                run("losetup", &["--detach", &device]);
                self.loops.push(device);
                self.held.push(held);
                return;
            }
        }
        panic!("other programs detach every loop device: end them (losetup -D?), then try again");
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let path = self.path();
        for attempt in 0..20 {
            if !is_mount(&path) {
                break;
            }
            let lazy: &[&str] = if attempt < 19 { &[] } else { &["--lazy"] };
            drop(Command::new("umount").args(lazy).arg(&path).output());
            if is_mount(&path) {
                sleep(Duration::from_millis(100));
            }
        }
    }
}

/// Runs a tool and gives what it printed; a failure fails the test with what it said.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Fails the test, with a sentence, where there is no root.
pub(crate) fn require_root() {
    let uid = fs::metadata("/proc/self").unwrap().uid();
    assert!(uid == 0, "this test needs root: it attaches loop devices and mounts btrfs volumes");
}

/// Bytes that compress well and are nowhere the same.
pub(crate) fn text(len: usize) -> Vec<u8> {
    (0_u64..).flat_map(|line| format!("line {line} of a text that compresses\n").into_bytes()).take(len).collect()
}

fn is_mount(path: &Path) -> bool {
    let parent = path.parent().and_then(|parent| fs::metadata(parent).ok());
    match (fs::metadata(path), parent) {
        (Ok(here), Some(parent)) => here.dev() != parent.dev(),
        _ => false,
    }
}
