//! What a subvolume's tree says: extents of files, sums over a subvolume, changes since a transaction.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::thread::sleep;
use std::time::{Duration, UNIX_EPOCH};

use butterdock_btrfs::contents::{contents, newest_ctime, stored_since};
use butterdock_btrfs::extents::{ExtentKind, FileExtent, MappedExtent, fiemap, file_extents};
use butterdock_btrfs::search::TreeSearch;
use butterdock_btrfs::subvolume::{create, info};
use butterdock_btrfs::{Errno, file, filesystem, xattr};

use crate::fixture::{Volume, run, text};

#[test]
fn extents_are_inline_regular_preallocated_or_holes() {
    let volume = Volume::new();
    let make = |name: &str| File::create_new(volume.path().join(name)).unwrap();
    let inline = make("inline");
    inline.write_all_at(b"few", 0).unwrap();
    let regular = make("regular");
    regular.write_all_at(&[1; 8192], 0).unwrap();
    let prealloc = make("prealloc");
    file::fallocate(&prealloc, 0, 0, 16_384).unwrap();
    let sparse = make("sparse");
    sparse.write_all_at(&[1; 4096], 1 << 20).unwrap();
    filesystem::sync(&sparse).unwrap();

    assert_eq!(shapes(&inline), [(0, 3, ExtentKind::Inline)]);
    assert_eq!(shapes(&regular), [(0, 8192, ExtentKind::Regular)]);
    assert_eq!(shapes(&prealloc), [(0, 16_384, ExtentKind::Prealloc)]);
    assert_eq!(shapes(&sparse), [(1 << 20, 4096, ExtentKind::Regular)]);
}

#[test]
fn a_hole_has_an_extent_where_the_filesystem_writes_them() {
    let volume = Volume::new();
    let device = volume.options();
    let device = device.split(' ').find(|word| word.starts_with("/dev/")).unwrap().to_owned();
    volume.unmount();
    run("mkfs.btrfs", &["-q", "-f", "-O", "^no-holes", &device]);
    volume.mount("defaults");
    let sparse = File::create_new(volume.path().join("sparse")).unwrap();
    sparse.write_all_at(&[1; 4096], 65536).unwrap();
    filesystem::sync(&sparse).unwrap();
    assert_eq!(shapes(&sparse), [(0, 65536, ExtentKind::Hole), (65536, 4096, ExtentKind::Regular)]);
    assert_eq!(extents(&sparse)[0].disk_len, 0);
}

#[test]
fn extents_of_several_files_come_in_order_with_their_compression() {
    let volume = Volume::new();
    let mut inos = Vec::new();
    for (name, method) in [("zlib", "zlib"), ("lzo", "lzo"), ("zstd", "zstd")] {
        let mut made = File::create_new(volume.path().join(name)).unwrap();
        xattr::set(&made, c"btrfs.compression", method.as_bytes()).unwrap();
        made.write_all(&text(256 << 10)).unwrap();
        inos.push(made.metadata().unwrap().ino());
    }
    let root = volume.root();
    filesystem::sync(&root).unwrap();
    let mut found = Vec::new();
    let mut search = TreeSearch::new(65536);
    file_extents(&mut search, &root, inos[0], inos[2], |extent| found.push(extent)).unwrap();
    let facts: Vec<_> =
        found.iter().map(|extent| (extent.ino, extent.offset, extent.len, extent.compression)).collect();
    let wanted: Vec<_> = (inos.iter().zip(1..))
        .flat_map(|(&ino, method)| [(ino, 0, 131_072, method), (ino, 131_072, 131_072, method)])
        .collect();
    assert_eq!(facts, wanted);
    assert!(found.iter().all(|extent| extent.disk_len < extent.len));
}

#[test]
fn a_fiemap_longer_than_one_call_is_complete() {
    let volume = Volume::new();
    let made = File::create_new(volume.path().join("file")).unwrap();
    for number in 0..200 {
        made.write_all_at(&[1; 4096], number * 8192).unwrap();
    }
    let mut offsets = Vec::new();
    fiemap(&made, true, |extent| offsets.push(extent.offset)).unwrap();
    assert_eq!(offsets, (0..200).map(|number| number * 8192).collect::<Vec<_>>());
}

#[test]
fn fiemap_flags_shared_preallocated_inline_and_compressed_extents() {
    let volume = Volume::new();
    let make =
        |name: &str| File::options().read(true).write(true).create_new(true).open(volume.path().join(name)).unwrap();
    let one = make("one");
    one.write_all_at(&[1; 8192], 0).unwrap();
    let two = make("two");
    file::clone_range(&two, 0, &one, 0, 0).unwrap();
    file::fallocate(&two, 0, 8192, 4096).unwrap();
    let inline = make("inline");
    inline.write_all_at(b"few", 0).unwrap();
    let compressed = make("compressed");
    xattr::set(&compressed, c"btrfs.compression", b"zstd").unwrap();
    compressed.write_all_at(&text(128 << 10), 0).unwrap();
    let flags = |file: &File| {
        let mut flags = Vec::new();
        fiemap(file, true, |extent| flags.push(extent.flags)).unwrap();
        flags
    };
    assert!(flags(&one)[0] & MappedExtent::SHARED != 0);
    assert!(flags(&two)[1] & MappedExtent::UNWRITTEN != 0);
    assert!(flags(&inline)[0] & MappedExtent::INLINE != 0);
    assert!(flags(&compressed)[0] & MappedExtent::ENCODED != 0);
    let proc = File::open("/proc/self/status").unwrap();
    assert_eq!(fiemap(&proc, false, |_| {}).unwrap_err().errno, Errno::EOPNOTSUPP);
}

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

#[test]
fn an_extent_in_several_files_counts_once() {
    let volume = Volume::new();
    create(volume.root(), c"one").unwrap();
    let at = volume.path().join("one");
    let one = File::open(&at).unwrap();
    filesystem::sync(&one).unwrap();
    let (id, before) = (info(&one).unwrap().id, info(&one).unwrap().generation);
    let sums = |files: u64| {
        filesystem::sync(&one).unwrap();
        let all = contents(&one, id, || true).unwrap().unwrap();
        let new = stored_since(&one, id, before).unwrap();
        assert_eq!((all.extents, new.bytes), (files, all.stored));
        assert!(!all.is_upper_bound && !new.is_upper_bound);
        (all.data, all.stored)
    };
    let make = |name: &str| File::options().read(true).write(true).create_new(true).open(at.join(name)).unwrap();
    let plain = make("plain");
    plain.write_all_at(&[1; 1 << 20], 0).unwrap();
    assert_eq!(sums(1), (1 << 20, 1 << 20));
    for number in 0..9 {
        file::clone_range(make(&format!("clone {number}")), 0, &plain, 0, 0).unwrap();
    }
    assert_eq!(sums(10), (1 << 20, 1 << 20));
    // Half of it is known; the clone is of the first half only.
    file::clone_range(make("half"), 0, &plain, 0, 1 << 19).unwrap();
    assert_eq!(sums(11), (1 << 20, 1 << 20));
    let compressed = make("compressed");
    xattr::set(&compressed, c"btrfs.compression", b"zstd").unwrap();
    compressed.write_all_at(&text(128 << 10), 0).unwrap();
    let (data, stored) = sums(12);
    assert_eq!(data, (1 << 20) + (128 << 10));
    assert!(stored < data);
    file::clone_range(make("its clone"), 0, &compressed, 0, 0).unwrap();
    assert_eq!(sums(13), (data, stored));
}

#[test]
fn only_changes_after_the_transaction_count() {
    let volume = Volume::new();
    create(volume.root(), c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    fs::write(volume.path().join("one/old"), "old").unwrap();
    filesystem::sync(&one).unwrap();
    let id = info(&one).unwrap().id;
    let before = info(&one).unwrap().generation;
    assert_eq!(newest_ctime(&one, id, before), Ok(None));
    let old = newest_ctime(&one, id, 0).unwrap().unwrap();

    sleep(Duration::from_millis(20));
    fs::write(volume.path().join("one/new"), "new").unwrap();
    filesystem::sync(&one).unwrap();
    let new = newest_ctime(volume.root(), id, before).unwrap().unwrap();
    assert!(new > old, "{new:?} {old:?}");
    assert_eq!(newest_ctime(&one, id, info(&one).unwrap().generation), Ok(None));
    assert_eq!(newest_ctime(&one, 4242, 0).unwrap_err().errno, Errno::ENOENT);
}

#[test]
fn a_modification_time_set_back_does_not_hide_a_change() {
    let volume = Volume::new();
    create(volume.root(), c"one").unwrap();
    let one = File::open(volume.path().join("one")).unwrap();
    filesystem::sync(&one).unwrap();
    let found = info(&one).unwrap();
    let before = newest_ctime(&one, found.id, 0).unwrap();
    sleep(Duration::from_millis(20));
    fs::write(volume.path().join("one/file"), "new").unwrap();
    let file = File::options().write(true).open(volume.path().join("one/file")).unwrap();
    file.set_modified(UNIX_EPOCH).unwrap();
    filesystem::sync(&one).unwrap();
    assert!(newest_ctime(&one, found.id, found.generation).unwrap() > before);
}

fn extents(file: &File) -> Vec<FileExtent> {
    let ino = file.metadata().unwrap().ino();
    let mut found = Vec::new();
    file_extents(&mut TreeSearch::new(4096), file, ino, ino, |extent| found.push(extent)).unwrap();
    found
}

fn shapes(file: &File) -> Vec<(u64, u64, ExtentKind)> {
    extents(file).iter().map(|extent| (extent.offset, extent.len, extent.kind)).collect()
}
