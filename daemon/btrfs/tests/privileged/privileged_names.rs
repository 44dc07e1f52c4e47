//! Names in directories.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};

use butterdock_btrfs::names::{entries, entries_where};
use butterdock_btrfs::names::{link, make_dir, make_node, make_symlink, remove_dir, rename, rename_noreplace, unlink};
use butterdock_btrfs::subvolume::{create, set_read_only};
use butterdock_btrfs::{Errno, file};

use crate::fixture::Volume;

#[test]
fn every_kind_of_inode_is_made() {
    let volume = Volume::new();
    let root = volume.root();
    make_dir(&root, c"dir", 0o700).unwrap();
    make_node(&root, c"fifo", 0o010_600, 0).unwrap();
    make_node(&root, c"socket", 0o140_600, 0).unwrap();
    make_node(&root, c"block", 0o060_600, (7 << 8) | 300).unwrap();
    make_node(&root, c"char", 0o020_600, (1 << 8) | 3).unwrap();
    make_node(&root, c"file", 0o104_600, 0).unwrap();
    make_symlink(&root, c"link", c"../any where/\xff").unwrap();
    let kind = |name: &str| fs::symlink_metadata(volume.path().join(name)).unwrap();
    assert!(kind("dir").is_dir() && kind("file").is_file() && kind("link").is_symlink());
    assert_eq!((kind("dir").mode() & 0o7777, kind("file").mode() & 0o7777), (0o700, 0o4600));
    assert!(kind("fifo").file_type().is_fifo() && kind("socket").file_type().is_socket());
    assert!(kind("block").file_type().is_block_device() && kind("char").file_type().is_char_device());
    assert_eq!((kind("block").rdev(), kind("char").rdev()), ((7 << 8) | 300, (1 << 8) | 3));
    assert_eq!(make_dir(&root, c"dir", 0o700).unwrap_err().errno, Errno::EEXIST);
    assert_eq!(make_node(&root, c"link", 0o010_600, 0).unwrap_err().errno, Errno::EEXIST);
    assert_eq!(make_symlink(&root, c"empty", c"").unwrap_err().errno, Errno::ENOENT);
    assert_eq!(make_dir(&root, c"dir/deep", 0o700).unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn a_link_does_not_follow_symlinks_or_leave_the_subvolume() {
    let volume = Volume::new();
    let root = volume.root();
    fs::write(volume.path().join("file"), "").unwrap();
    symlink("file", volume.path().join("link")).unwrap();
    create(&root, c"nested").unwrap();
    link(&root, c"link", &root, c"second").unwrap();
    assert!(fs::symlink_metadata(volume.path().join("second")).unwrap().is_symlink());
    let nested = File::open(volume.path().join("nested")).unwrap();
    assert_eq!(link(&root, c"file", &nested, c"file").unwrap_err().errno, Errno::EXDEV);
    assert_eq!(link(&root, c"nested", &root, c"third").unwrap_err().errno, Errno::EPERM);
    assert_eq!(link(&root, c"file", &root, c"link").unwrap_err().errno, Errno::EEXIST);
}

#[test]
fn names_are_moved_replaced_and_removed() {
    let volume = Volume::new();
    let root = volume.root();
    for name in ["a", "b"] {
        fs::write(volume.path().join(name), name).unwrap();
    }
    assert_eq!(rename_noreplace(&root, c"a", &root, c"b").unwrap_err().errno, Errno::EEXIST);
    rename(&root, c"a", &root, c"b").unwrap();
    assert_eq!(fs::read(volume.path().join("b")).unwrap(), b"a");
    make_dir(&root, c"dir", 0o755).unwrap();
    let dir = File::open(volume.path().join("dir")).unwrap();
    rename_noreplace(&root, c"b", &dir, c"c").unwrap();
    assert_eq!(remove_dir(&root, c"dir").unwrap_err().errno, Errno::ENOTEMPTY);
    assert_eq!(unlink(&root, c"dir").unwrap_err().errno, Errno::EISDIR);
    unlink(&dir, c"c").unwrap();
    assert_eq!(unlink(&dir, c"c").unwrap_err().errno, Errno::ENOENT);
    remove_dir(&root, c"dir").unwrap();
    assert_eq!(rename(&root, c"..", &root, c"up").unwrap_err().errno, Errno::EINVAL);
    assert_eq!(rename(&root, c"up", &root, c"../up").unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn a_read_only_subvolume_is_moved_inside_its_directory_only() {
    let volume = Volume::new();
    let root = volume.root();
    create(&root, c".hidden").unwrap();
    fs::write(volume.path().join("taken"), "").unwrap();
    make_dir(&root, c"dir", 0o755).unwrap();
    let subvolume = File::open(volume.path().join(".hidden")).unwrap();
    set_read_only(&subvolume, true).unwrap();
    let dir = File::open(volume.path().join("dir")).unwrap();
    assert_eq!(rename_noreplace(&root, c".hidden", &root, c"taken").unwrap_err().errno, Errno::EEXIST);
    assert_eq!(rename_noreplace(&root, c".hidden", &dir, c"moved").unwrap_err().errno, Errno::EROFS);
    rename_noreplace(&root, c".hidden", &root, c"named").unwrap();
    assert_eq!(file::stat_at(&root, c"named"), file::stat(&subvolume));
}

#[test]
fn a_directory_can_be_listed_repeatedly() {
    let volume = Volume::new();
    let root = volume.root();
    let mut wanted: Vec<_> = (0..500).map(|number| CString::new(format!("name-{number}")).unwrap()).collect();
    wanted.push(CString::new(b"not-\xff-text".to_vec()).unwrap());
    for name in &wanted {
        make_node(&root, name, 0o100_600, 0).unwrap();
    }
    wanted.sort_unstable();
    for _ in 0..2 {
        let mut found = entries(&root).unwrap();
        found.sort_unstable();
        assert_eq!(found, wanted);
    }
    let few = entries_where(&root, |name| name.to_bytes().starts_with(b"not-")).unwrap();
    assert_eq!(few.len(), 1);
    let file = File::open(volume.path().join("name-1")).unwrap();
    assert_eq!(entries(&file).unwrap_err().errno, Errno::ENOTDIR);
}
