//! The top-level subvolume behind a private mount.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

use butterdock_btrfs::file::{Mode, OFlag, clone_range, open_beneath, stat};
use butterdock_btrfs::names::make_dir;
use butterdock_btrfs::subvolume::{create, info, set_read_only, snapshot};
use butterdock_btrfs::top::open_top;
use butterdock_btrfs::{Errno, filesystem};

use crate::rig::{Volume, run};

#[test]
fn the_top_reaches_subvolumes_outside_the_visible_mount() {
    let volume = with_two_subvolumes("defaults");
    volume.mount_again("subvol=visible");
    let visible = volume.root();
    let top = open_top(&visible).unwrap();
    assert_eq!(info(&top).unwrap().id, 5);

    let hidden = beneath(&top, c"hidden");
    assert_eq!(stat(beneath(&top, c"visible")).unwrap().dev, stat(&visible).unwrap().dev);
    snapshot(&visible, c"snapshot", &hidden, true).unwrap();
    assert_eq!(fs::read(volume.path().join("snapshot/file")).unwrap(), [5; 8192]);
    let copy = File::create_new(volume.path().join("copy")).unwrap();
    clone_range(&copy, 0, beneath(&hidden, c"file"), 0, 0).unwrap();
    assert_eq!(fs::read(volume.path().join("copy")).unwrap(), [5; 8192]);
}

#[test]
fn the_options_of_the_existing_mount_do_not_change() {
    for options in [
        "subvol=visible",
        "subvol=visible,compress=zstd:7,noatime",
        "subvol=visible,compress-force=lzo,nodatacow",
        "subvol=visible,ro",
        "subvol=visible,ro,compress=zlib:9",
        "subvol=visible,autodefrag,commit=17,flushoncommit,max_inline=100,thread_pool=3",
    ] {
        let volume = with_two_subvolumes("defaults");
        volume.mount_again(options);
        let before = volume.options();
        let visible = volume.root();
        let top = open_top(&visible).unwrap();
        assert_eq!(volume.options(), before, "{options}");
        drop(beneath(&top, c"hidden"));
        drop(top);
        assert_eq!(volume.options(), before, "{options}");
    }
}

#[test]
fn the_top_leaves_a_read_only_bind_mount_unchanged() {
    let volume = with_two_subvolumes("defaults");
    run("mount", &["-o", "remount,bind,ro", volume.path().to_str().unwrap()]);
    let before = volume.options();
    assert!(before.starts_with("ro") && before.contains(" rw,"), "{before}");
    let top = open_top(volume.root()).unwrap();
    assert_eq!(volume.options(), before);
    drop(top);
    run("mount", &["-o", "remount,bind,rw", volume.path().to_str().unwrap()]);
    fs::write(volume.path().join("file"), "still writable").unwrap();
}

#[test]
fn a_filesystem_on_two_devices_has_one_top() {
    let volume = Volume::with(2, "compress=zstd");
    create(volume.root(), c"hidden").unwrap();
    let before = volume.options();
    let top = open_top(volume.root()).unwrap();
    assert_eq!(filesystem::info(&top), filesystem::info(volume.root()));
    assert_eq!(stat(&top).unwrap().dev, stat(volume.root()).unwrap().dev);
    assert_eq!(volume.options(), before);
}

#[test]
fn nothing_can_be_written_through_the_top() {
    let volume = with_two_subvolumes("defaults");
    let top = open_top(volume.root()).unwrap();
    assert_eq!(make_dir(&top, c"dir", 0o755).unwrap_err().errno, Errno::EROFS);
    let hidden = beneath(&top, c"hidden");
    assert_eq!(set_read_only(&hidden, true).unwrap_err().errno, Errno::EROFS);
    assert_eq!(create(&top, c"one").unwrap_err().errno, Errno::EROFS);
    fs::write(volume.path().join("file"), "the visible mount is writable").unwrap();
}

/// How many mounts there are of the filesystem that is mounted at `at`.
fn mounts_of(at: &Path) -> usize {
    let all = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let field = |line: &str, number: usize| line.split(' ').nth(number).map(str::to_owned);
    let at = at.to_str().map(str::to_owned);
    let device = all.lines().find(|line| field(line, 4) == at).and_then(|line| field(line, 2));
    assert!(device.is_some(), "it is mounted");
    all.lines().filter(|line| field(line, 2) == device).count()
}

#[test]
fn the_private_mount_is_invisible_and_ends_with_its_descriptor() {
    let volume = with_two_subvolumes("defaults");
    let fsid = filesystem::info(volume.root()).unwrap().fsid;
    // Of this volume alone: others come and go meanwhile.
    let mounts = || mounts_of(&volume.path());
    let before = mounts();
    let top = open_top(volume.root()).unwrap();
    let below = beneath(&top, c"hidden");
    assert_eq!(mounts(), before);
    volume.unmount();
    assert!(is_alive(fsid), "the descriptor keeps the filesystem");
    drop(top);
    drop(below);
    volume.mount("defaults");
    volume.unmount();
    assert!(!is_alive(fsid), "nothing keeps the filesystem");
}

#[test]
fn a_cloned_filesystem_has_its_own_top() {
    let original = Volume::new();
    let copy = Volume::copy_of(&original);
    original.mount("defaults");
    if fs::metadata("/sys/fs/btrfs/features/temp_fsid").is_err() {
        eprintln!("not tried: this kernel (before 6.7) mounts no copy beside its original");
        return;
    }
    copy.mount("defaults");
    fs::write(original.path().join("file"), "original").unwrap();
    fs::write(copy.path().join("file"), "copy").unwrap();
    for (volume, content) in [(&original, "original"), (&copy, "copy")] {
        let top = open_top(volume.root()).unwrap();
        assert_eq!(stat(&top).unwrap().dev, stat(volume.root()).unwrap().dev);
        let mut read = String::new();
        File::from(beneath(&top, c"file")).read_to_string(&mut read).unwrap();
        assert_eq!(read, content);
    }
}

#[test]
fn another_filesystem_has_no_top() {
    let volume = Volume::new();
    assert_eq!(open_top(File::open(volume.outside()).unwrap()).unwrap_err().errno, Errno::ENOTTY);
}

fn with_two_subvolumes(options: &str) -> Volume {
    let volume = Volume::with(1, options);
    create(volume.root(), c"visible").unwrap();
    create(volume.root(), c"hidden").unwrap();
    fs::write(volume.path().join("hidden/file"), [5; 8192]).unwrap();
    volume
}

fn beneath(dir: &OwnedFd, name: &std::ffi::CStr) -> OwnedFd {
    open_beneath(dir, name, OFlag::O_RDONLY, Mode::empty()).unwrap()
}

/// Whether the kernel has a filesystem with this id mounted.
fn is_alive(fsid: [u8; 16]) -> bool {
    let mut name: String = fsid.iter().map(|byte| format!("{byte:02x}")).collect();
    for at in [8, 13, 18, 23] {
        name.insert(at, '-');
    }
    fs::metadata(format!("/sys/fs/btrfs/{name}")).is_ok()
}
