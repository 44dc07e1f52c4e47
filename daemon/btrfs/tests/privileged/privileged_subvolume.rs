//! Subvolumes.

use std::fs::{self, File};

use butterdock_btrfs::subvolume::{
    Received, create, destroy, info, is_read_only, is_root, set_read_only, set_received, snapshot,
};
use butterdock_btrfs::{Errno, file};

use crate::fixture::Volume;

const MARK: Received = Received { uuid: [7; 16], stransid: 1234 };

#[test]
fn a_new_subvolume_reports_its_info() {
    let volume = Volume::new();
    let root = volume.root();
    create(&root, c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    let found = info(&one).unwrap();
    assert_eq!((found.name.as_slice(), found.parent_id, found.dir_id), (b"one".as_slice(), 5, 256));
    assert!(found.id >= 256 && found.uuid != [0; 16]);
    assert_eq!((found.parent_uuid, found.received_uuid, found.flags), ([0; 16], [0; 16], 0));
    assert!(is_root(&file::stat(&one).unwrap()));
    let top = info(&root).unwrap();
    assert_eq!((top.id, top.parent_id, top.dir_id, top.name.len()), (5, 0, 0, 0));
}

#[test]
fn taken_too_long_and_invalid_names_are_refused() {
    let volume = Volume::new();
    let root = volume.root();
    create(&root, c"one").unwrap();
    let refused = |name: &std::ffi::CStr| create(&root, name).unwrap_err().errno;
    assert_eq!(refused(c"one"), Errno::EEXIST);
    assert_eq!(refused(c"a/b"), Errno::EINVAL);
    assert_eq!(refused(c".."), Errno::EINVAL);
    assert_eq!(refused(c""), Errno::EINVAL);
    assert_eq!(refused(&std::ffi::CString::new(vec![b'a'; 256]).unwrap()), Errno::ENAMETOOLONG);
    assert_eq!(refused(&std::ffi::CString::new(vec![b'a'; 5000]).unwrap()), Errno::ENAMETOOLONG);
    assert_eq!(create(File::open(volume.outside()).unwrap(), c"one").unwrap_err().errno, Errno::ENOTTY);
}

#[test]
fn a_read_only_snapshot_inherits_the_received_mark() {
    let volume = Volume::new();
    let root = volume.root();
    create(&root, c"one").unwrap();
    fs::write(volume.path().join("one/file"), "content").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    set_received(&one, &MARK).unwrap();
    snapshot(&root, c"two", &one, true).unwrap();
    snapshot(&root, c"three", &one, false).unwrap();
    let two = File::open(volume.path().join("two")).unwrap();
    let three = File::open(volume.path().join("three")).unwrap();
    assert_eq!(fs::read(volume.path().join("two/file")).unwrap(), b"content");
    assert_eq!((is_read_only(&two), is_read_only(&three)), (Ok(true), Ok(false)));
    assert_eq!(info(&two).unwrap().parent_uuid, info(&one).unwrap().uuid);
    assert_eq!((info(&two).unwrap().received_uuid, info(&two).unwrap().flags), (MARK.uuid, 1));
    assert_eq!(info(&three).unwrap().received_uuid, [0; 16]);
}

#[test]
fn a_snapshot_needs_a_root_of_the_same_filesystem() {
    let (volume, other) = (Volume::new(), Volume::new());
    let root = volume.root();
    fs::create_dir(volume.path().join("dir")).unwrap();
    let dir = File::open(volume.path().join("dir")).unwrap();
    assert_eq!(snapshot(&root, c"two", &dir, true).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(snapshot(&root, c"two", other.root(), true).unwrap_err().errno, Errno::EXDEV);
}

#[test]
fn a_read_only_subvolume_refuses_a_second_mark() {
    let volume = Volume::new();
    create(volume.root(), c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    let rtransid = set_received(&one, &MARK).unwrap();
    let found = info(&one).unwrap();
    assert_eq!((found.received_uuid, found.stransid, found.rtransid), (MARK.uuid, MARK.stransid, rtransid));
    assert!(rtransid > 0);
    set_read_only(&one, true).unwrap();
    assert_eq!(is_read_only(&one), Ok(true));
    let error = set_received(&one, &MARK).unwrap_err();
    assert_eq!((error.call, error.errno), ("BTRFS_IOC_SET_RECEIVED_SUBVOL", Errno::EROFS));
    let written = fs::write(volume.path().join("one/file"), "content").unwrap_err();
    assert_eq!(written.raw_os_error(), Some(Errno::EROFS as i32));
    set_read_only(&one, false).unwrap();
    assert_eq!(info(&one).unwrap().received_uuid, MARK.uuid);
}

#[test]
fn flags_and_mark_need_the_root_of_a_subvolume() {
    let volume = Volume::new();
    fs::create_dir(volume.path().join("dir")).unwrap();
    let dir = File::open(volume.path().join("dir")).unwrap();
    assert!(!is_root(&file::stat(&dir).unwrap()));
    assert_eq!(is_read_only(&dir).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(set_read_only(&dir, true).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(set_received(&dir, &MARK).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(info(File::open(volume.outside()).unwrap()).unwrap_err().errno, Errno::ENOTTY);
}

#[test]
fn a_subvolume_with_a_nested_one_is_not_removed() {
    let volume = Volume::new();
    let root = volume.root();
    create(&root, c"outer").unwrap();
    let outer = File::open(volume.path().join("outer")).unwrap();
    create(&outer, c"inner").unwrap();
    assert_eq!(destroy(&root, c"outer").unwrap_err().errno, Errno::ENOTEMPTY);
    set_read_only(File::open(volume.path().join("outer/inner")).unwrap(), true).unwrap();
    destroy(&outer, c"inner").unwrap();
    destroy(&root, c"outer").unwrap();
    assert!(!volume.path().join("outer").exists());
    assert_eq!(info(&outer).unwrap_err().errno, Errno::ENOENT);
    assert_eq!(destroy(&root, c"outer").unwrap_err().errno, Errno::ENOENT);
    fs::create_dir(volume.path().join("dir")).unwrap();
    assert_eq!(destroy(&root, c"dir").unwrap_err().errno, Errno::EINVAL);
}
