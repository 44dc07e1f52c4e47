//! Btrfs volumes on loop devices in a temporary folder, and a thread on which the kernel is older.

#![expect(unsafe_code, reason = "a seccomp filter is passed to the kernel by pointer")]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, sleep};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use tempfile::TempDir;

/// A mounted volume. Dropping it unmounts it and removes its devices and images, also when the test failed.
#[derive(Debug)]
pub(crate) struct Volume {
    folder: TempDir,
    loops: Vec<String>,
    /// The devices, open. The kernel detaches each when it is closed, and no other program can detach it before.
    devices: Vec<File>,
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

    /// A copy of a volume on one device, block by block and with the same uuids; neither is mounted.
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

    /// Unmounts and mounts with other options; the kernel has no cached data afterwards.
    pub(crate) fn mount_again(&self, options: &str) {
        self.unmount();
        self.mount(options);
    }

    /// Unmounts; a filesystem that stays busy fails the test.
    pub(crate) fn unmount(&self) {
        // A child that another test has forked has copies of all descriptors until its exec.
        for _ in 0..100 {
            let output = Command::new("umount").arg(self.path()).output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            if output.status.success() {
                return;
            }
            assert!(errors.contains("busy"), "umount: {errors}");
            sleep(Duration::from_millis(50));
        }
        panic!("umount: the filesystem stays busy");
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
        Self { folder, loops: Vec::new(), devices: Vec::new() }
    }

    fn attach(&mut self, number: usize) {
        let image = self.image(number);
        let inode = fs::metadata(&image).unwrap().ino().to_string();
        // Another program may detach a device before it is opened here.
        for _ in 0..100 {
            let device = run("losetup", &["--find", "--show", image.to_str().unwrap()]).trim().to_owned();
            let opened = File::open(&device).unwrap();
            let mut list = Command::new("losetup");
            list.args(["--list", "--noheadings", "--output", "BACK-INO,BACK-FILE", &device]);
            let listed = String::from_utf8_lossy(&list.output().unwrap().stdout).into_owned();
            if listed.split_whitespace().eq([inode.as_str(), image.to_str().unwrap()]) {
                // The kernel detaches an open device when it is closed, not now.
                run("losetup", &["--detach", &device]);
                self.loops.push(device);
                self.devices.push(opened);
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

/// Runs a tool and returns its output. If the tool fails, the test fails with the error output.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Fails the test with a clear message if it does not run as root.
pub(crate) fn require_root() {
    let uid = fs::metadata("/proc/self").unwrap().uid();
    assert!(uid == 0, "this test needs root: it attaches loop devices and mounts btrfs volumes");
}

/// Text that compresses well and does not repeat.
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

/// Runs `work` on a thread of its own in which `fchmodat2` (Linux 6.6), `setxattrat`, `getxattrat` and `removexattrat` (6.13)
/// fail with `ENOSYS`.
pub(crate) fn on_linux_6_1(work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        scope.spawn(|| {
            refuse_new_calls();
            work();
        });
    });
}

/// Installs the filter for the calling thread.
fn refuse_new_calls() {
    let load_number = statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0);
    let equal = |number, yes, no| statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number, yes, no);
    let at_least = |number, yes, no| statement(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K, number, yes, no);
    let answer = |value| statement(libc::BPF_RET | libc::BPF_K, value, 0, 0);
    let fchmodat2 = u32::try_from(libc::SYS_openat2 + 15).unwrap();
    let mut filter = [
        load_number,
        equal(fchmodat2, 3, 0),
        at_least(fchmodat2 + 11, 0, 1),
        at_least(fchmodat2 + 15, 0, 1),
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_ERRNO | Errno::ENOSYS as u32),
    ];
    let program = libc::sock_fprog { len: 6, filter: filter.as_mut_ptr() };
    // SAFETY: prctl reads numbers only.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(unprivileged, 0, "{}", Errno::last());
    // SAFETY: the kernel copies the program and its six statements and keeps no pointer.
    let installed = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    assert_eq!(installed, 0, "{}", Errno::last());
}

fn statement(code: u32, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code: u16::try_from(code).unwrap(), jt, jf, k }
}
