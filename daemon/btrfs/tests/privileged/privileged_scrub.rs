//! Scrubs of whole and of damaged volumes.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use butterdock_btrfs::filesystem::sync;
use butterdock_btrfs::scrub::{Scrubbed, cancel, progress, scrub};
use butterdock_btrfs::{Errno, space::space};

use crate::rig::{Volume, run};

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
    scrub(volume.root(), 1).unwrap()
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
    assert_eq!(scrub(volume.root(), 2).unwrap_err().errno, Errno::ENODEV);
    volume.mount_again("ro");
    assert_eq!(scrub(volume.root(), 1).unwrap_err().errno, Errno::EROFS);
}
