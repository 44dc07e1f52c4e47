//! The filesystem and its devices.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;

use butterdock_btrfs::Errno;
use butterdock_btrfs::filesystem::{DeviceErrors, device_errors, device_info, info, is_btrfs, sync};

use crate::rig::Volume;

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
    let told = info(&root).unwrap();
    assert_eq!((told.num_devices, told.max_id, told.sectorsize), (2, 2, 4096));
    assert!(told.nodesize >= told.sectorsize && told.fsid != [0; 16]);
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
}

#[test]
fn sync_fails_on_a_filesystem_that_became_read_only() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), "x").unwrap();
    let root = volume.root();
    sync(&root).unwrap();
    crate::rig::run("mount", &["-o", "remount,ro", volume.path().to_str().unwrap()]);
    // The kernel's own answer is 0.
    rustix::fs::syncfs(&root).unwrap();
    assert_eq!(sync(&root).unwrap_err().errno, Errno::EROFS);
}
