//! What a subvolume holds.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use butterdock_btrfs::contents::contents;
use butterdock_btrfs::subvolume::{create, info};
use butterdock_btrfs::{Errno, filesystem, xattr};

use crate::rig::Volume;

#[test]
fn names_paths_attributes_and_extents_are_counted() {
    let volume = Volume::new();
    create(volume.root(), c"one").unwrap();
    let at = volume.path().join("one");
    fs::create_dir_all(at.join("ab/cde")).unwrap();
    fs::write(at.join("ab/cde/file"), [7; 10_000]).unwrap();
    fs::write(at.join("small"), "seven..").unwrap();
    fs::hard_link(at.join("small"), at.join("ab/other")).unwrap();
    symlink("small", at.join("link")).unwrap();
    File::create(at.join("hole")).unwrap().set_len(1 << 30).unwrap();
    xattr::set(File::open(at.join("small")).unwrap(), c"user.note", b"12345").unwrap();
    let one = File::open(&at).unwrap();
    filesystem::sync(&one).unwrap();

    let id = info(&one).unwrap().id;
    let all = contents(volume.root(), id, || true).unwrap().unwrap();
    assert_eq!((all.inodes, all.names), (7, 7), "the root has no name, and one file has two");
    let paths = ["ab", "ab/cde", "ab/cde/file", "small", "ab/other", "link", "hole"];
    assert_eq!(all.path_bytes, paths.iter().map(|path| path.len() as u64).sum::<u64>());
    assert_eq!(all.xattrs, 1);
    assert!(all.xattr_bytes >= 14, "{all:?}");
    // The target of a link is stored as an extent.
    assert_eq!((all.extents, all.data), (3, 10_000 + 7 + 5));
    assert_eq!((all.stored, all.compressed), (all.data, 0), "nothing is compressed");

    assert_eq!(contents(volume.root(), id, || false), Ok(None));
    assert_eq!(contents(volume.root(), 4242, || true).unwrap_err().errno, Errno::ENOENT);
}
