//! Real filesystems on loop devices, and copies of them.

use std::process::Command;

use butterdock_fixtures::wait_until;
use butterdock_fixtures::{Loop, LoopNumber, Sandbox, TIMEOUT, run};
use std::os::unix::fs::MetadataExt as _;

use super::*;
use crate::device::SystemDevices;
use crate::enrolment::Member;
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

fn devices() -> Arc<dyn Devices> {
    Arc::new(SystemDevices)
}

fn mount(devices: &Arc<dyn Devices>, enrolment: &Enrolment, sources: &[Source], run: &Path) -> Result<Mounted> {
    super::mount(devices, enrolment, sources, Access::Writable, run)
}

/// Loop devices over images in a folder; detached when dropped.
struct Disks<'a> {
    sandbox: &'a Sandbox,
    loops: Vec<Loop>,
}

impl<'a> Disks<'a> {
    fn new(sandbox: &'a Sandbox) -> Self {
        Self { sandbox, loops: Vec::new() }
    }

    fn attach(&mut self, image: &str) -> Source {
        let device = Loop::attach(&self.sandbox.join(image)).expect("a loop device");
        let source = source(device.path());
        self.loops.push(device);
        source
    }

    /// New images with one filesystem over all of them.
    fn make(&mut self, images: &[&str]) -> (Enrolment, Vec<Source>) {
        for image in images {
            File::create(self.sandbox.join(image)).expect("made").set_len(300 << 20).expect("sized");
        }
        let sources: Vec<Source> = images.iter().map(|image| self.attach(image)).collect();
        let nodes = sources.iter().map(|source| &source.node);
        let mut mkfs = Command::new("mkfs.btrfs");
        run(mkfs.args(["-q", "-f", "-d", "single", "-m", "single"]).args(nodes), TIMEOUT)
            .expect("ran")
            .success()
            .expect("made");
        let found: Vec<_> =
            sources.iter().map(|one| SystemDevices.superblock(&one.node, one.devnum).expect("read")).collect();
        let member = |device| Member { device, luks: None, serial: String::new(), size: 300 << 20 };
        let members = found.iter().map(|found| member(found.dev_uuid)).collect();
        let filesystem = found.first().expect("one").fsid;
        (Enrolment::new(filesystem, "Blue".to_owned(), members, 1), sources)
    }

    fn copy(&self, from: &str, to: &str) {
        run(Command::new("cp").arg("--sparse=always").arg(self.sandbox.join(from)).arg(self.sandbox.join(to)), TIMEOUT)
            .expect("ran")
            .success()
            .expect("copied");
    }
}

impl Drop for Disks<'_> {
    fn drop(&mut self) {
        for device in &self.loops {
            run(Command::new("btrfs").args(["device", "scan", "--forget"]).arg(device.path()), TIMEOUT).ok();
        }
    }
}

fn source(node: &Path) -> Source {
    Source { node: node.to_path_buf(), devnum: fs::metadata(node).expect("there").rdev(), size: 0 }
}

fn options(at: &Path) -> String {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("read");
    let at = at.to_str().expect("text");
    mounts.lines().find(|line| line.split(' ').nth(4) == Some(at)).unwrap_or_default().to_owned()
}

#[test]
fn privileged_a_missing_or_small_medium_is_reported() {
    let sandbox = Sandbox::new().expect("root");
    let mut disks = Disks::new(&sandbox);
    for image in ["a", "small"] {
        File::create(sandbox.join(image)).expect("made").set_len(66 << 10).expect("sized");
    }
    let small = disks.attach("small");
    let text = SystemDevices.superblock(&small.node, small.devnum).expect_err("too small");
    assert!(text.to_string().contains("too small for a btrfs"), "{text}");
    // No other test attaches anything to this number meanwhile.
    let number = LoopNumber::reserve(99).expect("a number");
    let device = number.attach(&sandbox.join("a")).expect("attached");
    let source = source(number.path());
    device.detach(&sandbox.join("a")).expect("detached");
    let gone = SystemDevices.superblock(&source.node, source.devnum).expect_err("gone");
    let Error::System { source, .. } = &gone else { panic!("{gone}") };
    assert_eq!(source.raw_os_error(), Some(Errno::ENXIO as i32), "{gone}");
}

#[test]
fn privileged_an_enrolled_drive_is_mounted_and_released() {
    let sandbox = Sandbox::new().expect("root");
    let mut disks = Disks::new(&sandbox);
    let (enrolment, sources) = disks.make(&["a"]);
    let mounted = mount(&devices(), &enrolment, &sources, sandbox.path()).expect("mounted");
    let line = options(&mounted.at);
    for option in ["nosuid", "nodev", "noexec", "noatime", "nosymfollow", "subvolid=5"] {
        assert!(line.contains(option), "{option}: {line}");
    }
    assert!(mount(&devices(), &enrolment, &sources, sandbox.path()).is_err());
    let open = File::create(mounted.at.join("file")).expect("written");
    let text = mounted.unmount().expect_err("in use").to_string();
    assert!(text.contains(&format!("({})", std::process::id())), "{text}");
    drop(open);
    drop(mounted.root().expect("opened"));
    // A program that another test starts has this process's files until it is executed.
    wait_until("it is unmounted", || Ok(mounted.unmount().is_ok())).expect("unmounted");
    assert!(!mounted.at.exists());
}

#[test]
fn privileged_a_drive_that_is_mounted_elsewhere_is_refused() {
    let sandbox = Sandbox::new().expect("root");
    let mut disks = Disks::new(&sandbox);
    let (enrolment, sources) = disks.make(&["a"]);
    let other = sandbox.join("elsewhere");
    fs::create_dir(&other).expect("made");
    run(Command::new("mount").arg(&sources[0].node).arg(&other), TIMEOUT).expect("ran").success().expect("mounted");
    let text = mount(&devices(), &enrolment, &sources, sandbox.path()).expect_err("refused").to_string();
    assert!(text.contains("already mounted"), "{text}");
    umount2(&other, MntFlags::empty()).expect("unmounted");
}

#[test]
fn privileged_a_copy_beside_the_mounted_original_is_released() {
    let sandbox = Sandbox::new().expect("root");
    let mut disks = Disks::new(&sandbox);
    let (enrolment, original) = disks.make(&["a"]);
    disks.copy("a", "b");
    let copy = vec![disks.attach("b")];
    let elsewhere = mount(&devices(), &enrolment, &original, &sandbox.join("one")).expect("the original");
    let text = mount(&devices(), &enrolment, &copy, &sandbox.join("two")).expect_err("the copy").to_string();
    assert!(text.contains("one is a copy"), "{text}");
    let left = fs::read_dir(sandbox.join("two/drives"))
        .expect("made")
        .flatten()
        .filter(|one| !options(&one.path()).is_empty());
    assert_eq!(left.count(), 0);
    elsewhere.unmount().expect("unmounted");
}

#[test]
fn privileged_missing_or_duplicate_members_are_refused() {
    let sandbox = Sandbox::new().expect("root");
    let mut disks = Disks::new(&sandbox);
    let (enrolment, sources) = disks.make(&["a", "b"]);
    disks.copy("b", "c");
    let copy = disks.attach("c");
    let refusal =
        |sources: &[Source]| mount(&devices(), &enrolment, sources, sandbox.path()).expect_err("refused").to_string();
    assert!(refusal(&sources[..1]).contains("and 1 are attached"));
    assert!(refusal(&[sources[1].clone(), copy.clone()]).contains("copy of another"));
    // The copy was seen last by the kernel, as a hand-made scan would have it.
    let scan = run(Command::new("btrfs").args(["device", "scan"]).arg(&copy.node), TIMEOUT);
    scan.expect("ran").success().expect("scanned");
    let mounted = mount(&devices(), &enrolment, &sources, sandbox.path()).expect("the devices that were named");
    mounted.unmount().expect("unmounted");
}

#[test]
fn privileged_a_node_that_is_another_device_now_is_refused() {
    let sandbox = Sandbox::new().expect("root");
    let mut disks = Disks::new(&sandbox);
    let (enrolment, mut sources) = disks.make(&["a"]);
    sources[0].devnum += 1;
    let text = mount(&devices(), &enrolment, &sources, sandbox.path()).expect_err("refused").to_string();
    assert!(text.contains("another device"), "{text}");
    let (_, other) = disks.make(&["b"]);
    let text = mount(&devices(), &enrolment, &other, sandbox.path()).expect_err("refused").to_string();
    assert!(text.contains("not a device of \"Blue\""), "{text}");
}

#[test]
fn privileged_a_used_drive_is_detached_and_leftovers_swept() {
    let sandbox = Sandbox::new().expect("root");
    let mut disks = Disks::new(&sandbox);
    let (enrolment, sources) = disks.make(&["a"]);
    let mounted = mount(&devices(), &enrolment, &sources, sandbox.path()).expect("mounted");
    let open = File::create(mounted.at.join("file")).expect("written");
    mounted.detach().expect("detached");
    assert!(options(&mounted.at).is_empty() && !mounted.at.exists());
    drop(open);
    let mounted = mount(&devices(), &enrolment, &sources, sandbox.path()).expect("again");
    assert_eq!(SystemDevices.detach_leftovers(sandbox.path()), std::slice::from_ref(&mounted.at));
    assert!(!mounted.at.exists());
}
