//! The filesystem: its devices, its scrubs, and its top-level subvolume behind a private mount.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use butterdock_btrfs::Errno;
use butterdock_btrfs::file::{Mode, OFlag, clone_range, open_beneath, stat};
use butterdock_btrfs::filesystem::{
    DeviceErrors, all_device_errors, device_errors, device_info, info, is_btrfs, open_top, sync,
};
use butterdock_btrfs::names::make_dir;
use butterdock_btrfs::scrub::{Repair, Scrubbed, cancel, progress, scrub};
use butterdock_btrfs::space::space;
use butterdock_btrfs::subvolume::{self, create, set_read_only, snapshot};

use crate::fixture::{Volume, run};

#[test]
fn only_btrfs_is_btrfs() {
    let volume = Volume::new();
    assert_eq!(is_btrfs(volume.root()), Ok(true));
    assert_eq!(is_btrfs(File::open(volume.outside()).unwrap()), Ok(false));
    assert_eq!(info(File::open(volume.outside()).unwrap()).unwrap_err().errno, Errno::ENOTTY);
}

#[test]
fn a_filesystem_on_two_devices_lists_both() {
    let volume = Volume::with(2, "defaults");
    let root = volume.root();
    let found = info(&root).unwrap();
    assert_eq!((found.num_devices, found.max_id, found.sectorsize), (2, 2, 4096));
    assert!(found.nodesize >= found.sectorsize && found.fsid != [0; 16]);
    let one = device_info(&root, 1).unwrap().unwrap();
    let two = device_info(&root, 2).unwrap().unwrap();
    assert_eq!((one.devid, two.devid), (1, 2));
    assert_ne!(one.uuid, two.uuid);
    assert!(one.path.starts_with(b"/dev/loop") && two.path.starts_with(b"/dev/loop") && one.path != two.path);
    assert_eq!((one.total_bytes, two.total_bytes), (300 << 20, 300 << 20));
    assert!(one.bytes_used > 0 && one.bytes_used <= one.total_bytes);
    assert_eq!(device_info(&root, 3), Ok(None));
    assert_eq!(device_errors(&root, 3).unwrap_err().errno, Errno::ENODEV);
}

#[test]
fn a_damaged_block_moves_the_counter_of_its_device() {
    let volume = Volume::new();
    let pattern = b"a pattern that stands nowhere else on the volume";
    let content: Vec<u8> = pattern.iter().copied().cycle().take(1 << 16).collect();
    fs::write(volume.path().join("file"), &content).unwrap();
    sync(volume.root()).unwrap();
    assert_eq!(device_errors(volume.root(), 1), Ok(DeviceErrors::default()));

    volume.unmount();
    let image = fs::read(volume.image(0)).unwrap();
    let at = image.windows(pattern.len()).position(|window| window == pattern).unwrap();
    let file = OpenOptions::new().write(true).open(volume.image(0)).unwrap();
    file.write_all_at(b"another", u64::try_from(at).unwrap()).unwrap();
    volume.mount("defaults");

    assert!(fs::read(volume.path().join("file")).is_err());
    let errors = device_errors(volume.root(), 1).unwrap();
    assert!(errors.corruption > 0);
    assert_eq!((errors.write, errors.read, errors.flush, errors.generation), (0, 0, 0, 0));
    assert_eq!(errors.total(), errors.corruption);
    assert_eq!(all_device_errors(volume.root()), Ok(vec![(1, errors)]));
}

#[test]
fn sync_fails_on_a_filesystem_that_became_read_only() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), "x").unwrap();
    let root = volume.root();
    sync(&root).unwrap();
    run("mount", &["-o", "remount,ro", volume.path().to_str().unwrap()]);
    // The kernel's own answer is 0.
    rustix::fs::syncfs(&root).unwrap();
    assert_eq!(sync(&root).unwrap_err().errno, Errno::EROFS);
}

const PATTERN: &[u8] = b"a pattern that stands nowhere else on the volume";

/// Writes a file and damages the first copy of it on the device.
fn damage(volume: &Volume) {
    let content: Vec<u8> = PATTERN.iter().copied().cycle().take(1 << 20).collect();
    fs::write(volume.path().join("file"), content).unwrap();
    sync(volume.root()).unwrap();
    volume.unmount();
    let image = fs::read(volume.image(0)).unwrap();
    let block = image.chunks(4096).position(|block| block.starts_with(PATTERN)).unwrap();
    let file = OpenOptions::new().write(true).open(volume.image(0)).unwrap();
    file.write_all_at(b"another", u64::try_from(block * 4096).unwrap()).unwrap();
    volume.mount("defaults");
}

/// All of the one device.
fn whole(volume: &Volume) -> Scrubbed {
    scrub(volume.root(), 1, 0..u64::MAX, Repair::Writes).unwrap()
}

#[test]
fn a_whole_volume_is_read_and_has_no_errors() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), vec![7; 3 << 20]).unwrap();
    sync(volume.root()).unwrap();
    let found = whole(&volume);
    assert!(found.bytes > 3 << 20, "{found:?}");
    assert_eq!(found, Scrubbed { bytes: found.bytes, ..Scrubbed::default() });
    let space = space(volume.root()).unwrap();
    let used = space.data.used * space.data.copies + space.metadata.used * space.metadata.copies;
    assert!(used.abs_diff(found.bytes) < 1 << 20, "{used} {found:?}");
}

#[test]
fn a_block_without_a_good_copy_is_uncorrectable() {
    let volume = Volume::new();
    damage(&volume);
    let found = whole(&volume);
    assert_eq!((found.csum_errors, found.uncorrectable, found.corrected), (1, 1, 0));
}

#[test]
fn a_block_with_a_good_copy_is_written_anew() {
    let volume = Volume::new();
    run("btrfs", &["balance", "start", "-f", "-dconvert=dup", volume.path().to_str().unwrap()]);
    damage(&volume);
    let found = whole(&volume);
    assert_eq!((found.csum_errors, found.uncorrectable, found.corrected), (1, 0, 1));
    assert_eq!(whole(&volume).csum_errors, 0);
}

#[test]
fn without_a_scrub_progress_and_cancel_fail() {
    let volume = Volume::new();
    assert_eq!(progress(volume.root(), 1), Ok(None));
    assert_eq!(cancel(volume.root()), Ok(false));
    assert_eq!(scrub(volume.root(), 2, 0..u64::MAX, Repair::Writes).unwrap_err().errno, Errno::ENODEV);
    volume.mount_again("ro");
    assert_eq!(scrub(volume.root(), 1, 0..u64::MAX, Repair::Writes).unwrap_err().errno, Errno::EROFS);
    assert!(scrub(volume.root(), 1, 0..u64::MAX, Repair::Counts).unwrap().bytes > 0, "it is read all the same");
}

#[test]
fn the_top_reaches_subvolumes_outside_the_visible_mount() {
    let volume = with_two_subvolumes("defaults");
    volume.mount_again("subvol=visible");
    let visible = volume.root();
    let top = open_top(&visible).unwrap();
    assert_eq!(subvolume::info(&top).unwrap().id, 5);

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
    assert_eq!(info(&top), info(volume.root()));
    assert_eq!(stat(&top).unwrap().dev, stat(volume.root()).unwrap().dev);
    assert_eq!(volume.options(), before);
}

#[test]
fn the_top_is_read_only() {
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
    let fsid = info(volume.root()).unwrap().fsid;
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
