//! Real loop devices, told by a real udevd.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use butterdock_tests::rig::{PATIENCE, Rig, run};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;

/// A udevd that this thread alone hears; ended when dropped.
struct Udevd(Child);

impl Udevd {
    /// In a network namespace (udevd tells by netlink) and with a `/run` of the thread's own; one rule, for loop devices.
    fn start() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("a /run of its own");
        fs::create_dir_all("/run/udev/rules.d").expect("made");
        let rule = "SUBSYSTEM==\"block\", KERNEL==\"loop*\", ACTION!=\"remove\", IMPORT{builtin}=\"blkid\"\n";
        fs::write("/run/udev/rules.d/50-test.rules", rule).expect("written");
        let tool = std::env::var_os("BUTTERDOCK_UDEVD").unwrap_or_else(|| "/lib/systemd/systemd-udevd".into());
        let started = Command::new(&tool).stderr(Stdio::null()).spawn();
        let child =
            started.unwrap_or_else(|error| panic!("this test needs udev: install it ({}: {error})", tool.display()));
        let begun = Instant::now();
        while !Path::new("/run/udev/control").exists() && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        // It listens to the kernel before it makes its own socket, but tells nobody when it is ready.
        std::thread::sleep(Duration::from_millis(300));
        Self(child)
    }
}

impl Drop for Udevd {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A loop device; detached when dropped.
struct Disk(PathBuf);

impl Disk {
    fn attach(image: &Path) -> Self {
        let found = run(Command::new("losetup").args(["--find", "--show"]).arg(image), PATIENCE);
        Self(PathBuf::from(found.expect("ran").success().expect("a loop device").out().trim()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(Command::new("losetup").arg("--detach").arg(&self.0), PATIENCE).ok();
    }
}

/// The next event about `node` that `wanted` takes.
async fn until(monitor: &mut Monitor, wanted: impl Fn(&Event) -> bool) -> Event {
    let waiting = async {
        loop {
            let event = monitor.next().await.expect("an event");
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time")
}

fn holds_btrfs(event: &Event, image: &Path) -> bool {
    match event {
        Event::Appeared(facts) | Event::Changed(facts) => {
            facts.loop_file.as_deref() == image.to_str()
                && facts.btrfs().is_some()
                && facts.bus == super::super::Bus::Loop
        }
        Event::Gone(_) => false,
    }
}

#[tokio::test]
async fn privileged_a_loop_device_comes_and_goes_and_comes_again() {
    let rig = Rig::new().expect("root");
    let _udevd = Udevd::start();
    let image = rig.join("a.img");
    File::create(&image).expect("made").set_len(256 << 20).expect("sized");
    run(Command::new("mkfs.btrfs").arg("-q").arg(&image), PATIENCE).expect("ran").success().expect("made");
    let mut monitor = Monitor::open().expect("listening");
    let disk = Disk::attach(&image);
    let event = until(&mut monitor, |event| holds_btrfs(event, &image)).await;
    let (Event::Appeared(facts) | Event::Changed(facts)) = event else { panic!("it came") };
    assert_eq!((facts.size, &facts.node), (256 << 20, &disk.0));
    // Who opens now is told of what is there.
    let mut later = Monitor::open().expect("listening");
    until(&mut later, |event| holds_btrfs(event, &image)).await;
    drop(disk);
    // A loop device stays, and is empty.
    let empty = |event: &Event| match event {
        Event::Changed(now) => now.syspath == facts.syspath && now.loop_file.is_none(),
        Event::Gone(path) => *path == facts.syspath,
        Event::Appeared(_) => false,
    };
    until(&mut monitor, empty).await;
    let _again = Disk::attach(&image);
    until(&mut monitor, |event| holds_btrfs(event, &image)).await;
}
