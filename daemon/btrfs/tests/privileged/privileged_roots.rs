//! The tree of roots and searches in general.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::time::UNIX_EPOCH;

use butterdock_btrfs::roots::{
    RootRef, nested_in, path_of, root_backref, root_item, subvolumes_by_received_uuid, subvolumes_by_uuid,
};
use butterdock_btrfs::search::{Key, SearchKey, TreeSearch};
use butterdock_btrfs::subvolume::{Received, create, destroy, info, set_read_only, set_received, snapshot};
use butterdock_btrfs::{Errno, filesystem, names};

use crate::fixture::Volume;

#[test]
fn a_root_item_agrees_with_the_subvolume_info() {
    let volume = Volume::new();
    let root = volume.root();
    create(&root, c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    set_received(&one, &Received { uuid: [3; 16], stransid: 77 }).unwrap();
    set_read_only(&one, true).unwrap();
    snapshot(&root, c"two", &one, true).unwrap();
    for name in ["one", "two"] {
        let found = info(File::open(volume.path().join(name)).unwrap()).unwrap();
        let item = root_item(&root, found.id).unwrap().unwrap();
        assert_eq!((item.uuid, item.parent_uuid, item.received_uuid), (found.uuid, found.parent_uuid, [3; 16]));
        assert_eq!((item.ctransid, item.otransid), (found.ctransid, found.otransid));
        assert_eq!((item.stransid, item.rtransid), (77, found.rtransid));
        assert_eq!((item.generation, item.refs, item.read_only), (found.generation, 1, true));
        let age = UNIX_EPOCH.elapsed().unwrap().as_secs().checked_sub(item.rtime.0.try_into().unwrap());
        assert!(age.is_some_and(|age| age < 600) && item.rtime.1 < 1_000_000_000, "{:?}", item.rtime);
    }
    assert_eq!(root_item(&root, 9999), Ok(None));
    assert!(!root_item(&root, 5).unwrap().unwrap().read_only);
}

#[test]
fn a_path_contains_directories_and_nested_subvolumes() {
    let volume = Volume::new();
    let root = volume.root();
    create(&root, c"outer").unwrap();
    fs::create_dir_all(volume.path().join("outer/a/b")).unwrap();
    let deep = File::open(volume.path().join("outer/a/b")).unwrap();
    create(&deep, c"inner").unwrap();
    let inner = File::open(volume.path().join("outer/a/b/inner")).unwrap();
    create(&inner, c"innermost").unwrap();
    let id = |path: &str| info(File::open(volume.path().join(path)).unwrap()).unwrap().id;
    let path = |id| path_of(&root, id).unwrap().map(|path| String::from_utf8(path).unwrap());
    assert_eq!(path(5).as_deref(), Some(""));
    assert_eq!(path(id("outer")).as_deref(), Some("outer"));
    assert_eq!(path(id("outer/a/b/inner")).as_deref(), Some("outer/a/b/inner"));
    let innermost = id("outer/a/b/inner/innermost");
    assert_eq!(path(innermost).as_deref(), Some("outer/a/b/inner/innermost"));
    let backref = root_backref(&root, innermost).unwrap().unwrap();
    assert_eq!((backref.parent_id, backref.dir_id), (id("outer/a/b/inner"), 256));
    let (outer, inner_id) = (id("outer"), id("outer/a/b/inner"));
    let directory = fs::metadata(volume.path().join("outer/a/b")).unwrap().ino();
    let place = RootRef { parent_id: outer, dir_id: directory, name: b"inner".to_vec() };
    assert_eq!(nested_in(&root, outer).unwrap(), [(inner_id, place)]);
    assert_eq!(nested_in(&root, inner_id).unwrap(), [(innermost, backref)]);
    assert_eq!(nested_in(&root, innermost).unwrap(), []);
    names::rename(&root, c"outer", &root, c"moved").unwrap();
    assert_eq!(path(innermost).as_deref(), Some("moved/a/b/inner/innermost"));
    destroy(&inner, c"innermost").unwrap();
    assert_eq!(path(innermost), None);
    assert_eq!(root_backref(&root, innermost), Ok(None));
    assert_eq!(path(123_456), None);
}

#[test]
fn a_search_finds_the_same_with_any_buffer_size() {
    let volume = Volume::new();
    for number in 0..300 {
        fs::write(volume.path().join(format!("file-{number}")), vec![b'x'; 1500]).unwrap();
    }
    let root = volume.root();
    filesystem::sync(&root).unwrap();
    let all = |buffer, max_items| {
        let key = SearchKey {
            tree: 0,
            min: Key { objectid: 0, kind: 0, offset: 0 },
            max: Key { objectid: u64::MAX, kind: u8::MAX, offset: u64::MAX },
            max_items,
            min_transid: 0,
        };
        let mut found = Vec::new();
        TreeSearch::new(buffer)
            .each(&root, &key, |key, _, data| {
                found.push((key, data.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    };
    let found = all(1 << 20, 0);
    assert!(found.len() > 1200, "{}", found.len());
    assert!(found.is_sorted_by(|one, two| one.0 < two.0));
    assert_eq!(found, all(4096, 0));
    assert_eq!(found, all(4096, 1));
    assert_eq!(found, all(65536, 7));
}

#[test]
fn an_item_larger_than_the_buffer_makes_it_grow() {
    let volume = Volume::with(1, "max_inline=4096");
    let root = volume.root();
    let value = vec![b'v'; 15_000];
    butterdock_btrfs::xattr::set(&root, c"user.large", &value).unwrap();
    filesystem::sync(&root).unwrap();
    let key = SearchKey {
        tree: 0,
        min: Key { objectid: 256, kind: 24, offset: 0 },
        max: Key { objectid: 256, kind: 24, offset: u64::MAX },
        max_items: 0,
        min_transid: 0,
    };
    let mut longest = 0;
    let note = |_: Key, _: u64, data: &[u8]| {
        longest = longest.max(data.len());
        ControlFlow::Continue(())
    };
    TreeSearch::new(4096).each(&root, &key, note).unwrap();
    assert!(longest > 15_000);
}

#[test]
fn a_search_stops_on_break_and_names_a_missing_tree() {
    let volume = Volume::new();
    let root = volume.root();
    let all = |tree| SearchKey {
        tree,
        min: Key { objectid: 0, kind: 0, offset: 0 },
        max: Key { objectid: u64::MAX, kind: u8::MAX, offset: u64::MAX },
        max_items: 0,
        min_transid: 0,
    };
    let mut seen = 0;
    let stop = |_: Key, _: u64, _: &[u8]| {
        seen += 1;
        ControlFlow::Break(())
    };
    TreeSearch::new(65536).each(&root, &all(1), stop).unwrap();
    assert_eq!(seen, 1);
    let error = TreeSearch::new(65536).each(&root, &all(4242), |_, _, _| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.errno, Errno::ENOENT);
}

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
fn a_subvolume_is_found_by_uuid_from_any_inode() {
    let volume = Volume::new();
    create(volume.root(), c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    let found = info(&one).unwrap();
    fs::write(volume.path().join("file"), "content").unwrap();
    let file = File::open(volume.path().join("file")).unwrap();
    assert_eq!(subvolumes_by_uuid(&file, found.uuid), Ok(vec![found.id]));
    assert_eq!(subvolumes_by_received_uuid(&file, found.uuid), Ok(vec![]));
    let outside = subvolumes_by_uuid(File::open(volume.outside()).unwrap(), found.uuid).unwrap_err();
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
