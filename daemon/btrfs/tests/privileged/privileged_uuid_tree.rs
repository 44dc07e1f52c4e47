//! The UUID tree.

use std::fs::File;

use butterdock_btrfs::Errno;
use butterdock_btrfs::subvolume::{Received, create, info, set_received, snapshot};
use butterdock_btrfs::uuid_tree::{subvolumes_by_received_uuid, subvolumes_by_uuid};

use crate::rig::Volume;

#[test]
fn all_subvolumes_under_one_received_uuid_are_found() {
    let volume = Volume::new();
    let root = volume.root();
    create(&root, c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    let uuid = *b"\x01\x02\x03\x04\x05\x06\x07\x08\xf9\xfa\xfb\xfc\xfd\xfe\xff\x00";
    set_received(&one, &Received { uuid, stransid: 9 }).unwrap();
    for name in [c"two", c"three", c"four"] {
        snapshot(&root, name, &one, true).unwrap();
    }
    let mut wanted = vec![info(&one).unwrap().id];
    for name in ["two", "three", "four"] {
        wanted.push(info(File::open(volume.path().join(name)).unwrap()).unwrap().id);
    }
    let mut found = subvolumes_by_received_uuid(&root, uuid).unwrap();
    found.sort_unstable();
    assert_eq!(found, wanted);
    assert_eq!(subvolumes_by_uuid(&root, uuid), Ok(vec![]));
}

#[test]
fn a_subvolume_is_found_by_its_own_uuid_from_any_inode_of_the_filesystem() {
    let volume = Volume::new();
    create(volume.root(), c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    let told = info(&one).unwrap();
    std::fs::write(volume.path().join("file"), "content").unwrap();
    let file = File::open(volume.path().join("file")).unwrap();
    assert_eq!(subvolumes_by_uuid(&file, told.uuid), Ok(vec![told.id]));
    assert_eq!(subvolumes_by_received_uuid(&file, told.uuid), Ok(vec![]));
    let outside = subvolumes_by_uuid(File::open(volume.outside()).unwrap(), told.uuid).unwrap_err();
    assert_eq!((outside.call, outside.errno), ("BTRFS_IOC_TREE_SEARCH_V2", Errno::ENOTTY));
}

#[test]
fn more_candidates_than_a_page_holds_are_all_found() {
    let volume = Volume::new();
    let root = volume.root();
    let uuid = [0xee; 16];
    let mut wanted = Vec::new();
    for number in 0..600 {
        let name = std::ffi::CString::new(format!("subvolume-{number}")).unwrap();
        create(&root, &name).unwrap();
        let made = File::open(volume.path().join(name.to_str().unwrap())).unwrap();
        set_received(&made, &Received { uuid, stransid: number }).unwrap();
        wanted.push(info(&made).unwrap().id);
    }
    let mut found = subvolumes_by_received_uuid(&root, uuid).unwrap();
    found.sort_unstable();
    assert_eq!(found, wanted);
}
