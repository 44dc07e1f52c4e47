//! Files by descriptor.

use std::ffi::CStr;
use std::fs::{self, File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;

use butterdock_btrfs::file::{
    Mode, OFlag, Verity, clone_range, enable_verity, fallocate, lock_exclusive, open_beneath, openat_new, punch_hole,
    stat, stat_at, truncate, write_at,
};
use butterdock_btrfs::subvolume::create;
use butterdock_btrfs::{Errno, names};

use crate::fixture::{Volume, text};

#[test]
fn a_path_cannot_leave_its_directory_nor_follow_a_symlink() {
    let volume = Volume::new();
    fs::create_dir_all(volume.path().join("dir/deep")).unwrap();
    fs::write(volume.path().join("secret"), "").unwrap();
    fs::write(volume.path().join("dir/deep/file"), "").unwrap();
    symlink("deep", volume.path().join("dir/link")).unwrap();
    symlink("/etc/passwd", volume.path().join("dir/away")).unwrap();
    let dir = File::open(volume.path().join("dir")).unwrap();
    let open = |path: &CStr| open_beneath(&dir, path, OFlag::O_RDONLY, Mode::empty());
    assert!(open(c"deep/file").is_ok());
    assert!(open(c"deep/../deep/file").is_ok());
    let refused = |path| open(path).map(drop).map_err(|error| (error.call, error.errno));
    assert_eq!(refused(c"../secret"), Err(("openat2", Errno::EXDEV)));
    assert_eq!(refused(c".."), Err(("openat2", Errno::EXDEV)));
    assert_eq!(refused(c"deep/../../secret"), Err(("openat2", Errno::EXDEV)));
    assert_eq!(refused(c"/etc/passwd"), Err(("openat2", Errno::EXDEV)));
    assert_eq!(refused(c"away"), Err(("openat2", Errno::ELOOP)));
    assert_eq!(refused(c"link/file"), Err(("openat2", Errno::ELOOP)));
    assert_eq!(refused(c"missing"), Err(("openat2", Errno::ENOENT)));
    let magic = open_beneath(File::open("/proc/self").unwrap(), c"cwd", OFlag::O_RDONLY, Mode::empty());
    assert_eq!(magic.unwrap_err().errno, Errno::ELOOP);
}

#[test]
fn a_path_into_another_subvolume_shows_another_device() {
    let volume = Volume::new();
    create(volume.root(), c"nested").unwrap();
    let nested = open_beneath(volume.root(), c"nested", OFlag::O_RDONLY, Mode::empty()).unwrap();
    assert_ne!(stat(&nested).unwrap().dev, stat(volume.root()).unwrap().dev);
}

#[test]
fn one_name_is_opened_without_following() {
    let volume = Volume::new();
    let root = volume.root();
    symlink("target", volume.path().join("link")).unwrap();
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    let made = openat_new(&root, c"new", flags, Mode::from_bits_truncate(0o640)).unwrap();
    assert_eq!(stat(&made).unwrap().mode & 0o7777, 0o640);
    let refused = |name| openat_new(&root, name, flags, Mode::empty()).unwrap_err().errno;
    assert_eq!(refused(c"new"), Errno::EEXIST);
    assert_eq!(refused(c"link"), Errno::EEXIST);
    assert_eq!(refused(c"a/b"), Errno::EINVAL);
    assert_eq!(openat_new(&root, c"link", OFlag::O_RDONLY, Mode::empty()).unwrap_err().errno, Errno::ELOOP);
    assert_eq!(openat_new(&root, c"..", OFlag::O_RDONLY, Mode::empty()).unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn stat_agrees_with_the_standard_library() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), text(10_000)).unwrap();
    names::link(volume.root(), c"file", volume.root(), c"second").unwrap();
    names::make_node(volume.root(), c"device", 0o020_600, (1 << 8) | 7).unwrap();
    symlink("file", volume.path().join("link")).unwrap();
    for name in [c"file", c"device", c"link"] {
        let wanted = fs::symlink_metadata(volume.path().join(name.to_str().unwrap())).unwrap();
        let found = stat_at(volume.root(), name).unwrap();
        assert_eq!((found.dev, found.ino, found.mode), (wanted.dev(), wanted.ino(), wanted.mode()));
        assert_eq!((found.uid, found.gid, found.size), (wanted.uid(), wanted.gid(), wanted.size()));
        assert_eq!((u64::from(found.nlink), found.blocks), (wanted.nlink(), wanted.blocks()));
        assert_eq!((found.rdev, found.mtime.0), (wanted.rdev(), wanted.mtime()));
        assert_eq!(i64::from(found.atime.1), wanted.atime_nsec());
    }
    assert_eq!(stat_at(volume.root(), c"missing").unwrap_err().errno, Errno::ENOENT);
}

#[test]
fn all_slices_are_written_however_many_there_are() {
    let volume = Volume::new();
    let file = new_file(&volume.path().join("file"));
    let content = text(300_000);
    let slices: Vec<_> = content.chunks(100).map(IoSlice::new).collect();
    assert!(slices.len() > 2048);
    write_at(&file, 5, &slices).unwrap();
    let read = fs::read(volume.path().join("file")).unwrap();
    assert_eq!((&read[..5], &read[5..]), ([0; 5].as_slice(), content.as_slice()));
    write_at(&file, 0, &[]).unwrap();
    assert_eq!(write_at(&file, u64::MAX, &slices).unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn a_write_to_a_full_volume_fails() {
    let volume = Volume::new();
    let file = new_file(&volume.path().join("file"));
    let block = vec![0x5a; 1 << 20];
    let slices = [IoSlice::new(&block); 16];
    let refused = (0..100).find_map(|number| write_at(&file, number << 24, &slices).err()).unwrap();
    assert_eq!(refused.errno, Errno::ENOSPC);
}

#[test]
fn a_file_is_truncated_punched_and_preallocated() {
    let volume = Volume::new();
    let file = new_file(&volume.path().join("file"));
    file.write_all_at(&[1; 65536], 0).unwrap();
    punch_hole(&file, 4096, 8192).unwrap();
    punch_hole(&file, 0, 0).unwrap();
    let read = fs::read(volume.path().join("file")).unwrap();
    assert!(read[..4096].iter().chain(&read[12_288..]).all(|&byte| byte == 1));
    assert!(read[4096..12_288].iter().all(|&byte| byte == 0));
    truncate(&file, 100).unwrap();
    assert_eq!(stat(&file).unwrap().size, 100);
    fallocate(&file, 1, 0, 1 << 20).unwrap();
    let after = stat(&file).unwrap();
    assert!(after.size == 100 && after.blocks >= 2048);
    assert_eq!(fallocate(&file, 0, 0, 0).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(fallocate(&file, 0x8000_0000, 0, 4096).unwrap_err().errno, Errno::EOPNOTSUPP);
    assert_eq!(truncate(&file, u64::MAX).unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn a_clone_shares_a_range_and_refuses_another_filesystem() {
    let (volume, other) = (Volume::new(), Volume::new());
    let source = new_file(&volume.path().join("source"));
    let content = text(40_000);
    source.write_all_at(&content, 0).unwrap();
    let copy = new_file(&volume.path().join("copy"));
    clone_range(&copy, 4096, &source, 8192, 16_384).unwrap();
    clone_range(&copy, 20_480, &source, 36_864, 40_000 - 36_864).unwrap();
    let read = fs::read(volume.path().join("copy")).unwrap();
    assert_eq!((&read[4096..20_480], &read[20_480..]), (&content[8192..24_576], &content[36_864..]));
    let refused = |dst: &File, src_offset, len| clone_range(dst, 0, &source, src_offset, len).unwrap_err().errno;
    assert_eq!(refused(&copy, 1, 4096), Errno::EINVAL);
    assert_eq!(refused(&copy, 0, 100), Errno::EINVAL);
    assert_eq!(refused(&copy, 0, 1 << 20), Errno::EINVAL);
    assert_eq!(refused(&new_file(&other.path().join("copy")), 0, 0), Errno::EXDEV);
}

#[test]
fn verity_seals_a_file_or_is_not_supported() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), text(10_000)).unwrap();
    let file = File::open(volume.path().join("file")).unwrap();
    let verity = Verity { algorithm: 1, block_size: 4096, salt: b"salt", signature: b"" };
    match enable_verity(&file, &verity) {
        Ok(()) => assert_eq!(enable_verity(&file, &verity).unwrap_err().errno, Errno::EEXIST),
        Err(error) => {
            assert_eq!(error.call, "FS_IOC_ENABLE_VERITY");
            assert!(matches!(error.errno, Errno::ENOTTY | Errno::EOPNOTSUPP), "{error}");
        }
    }
}

#[test]
fn a_lock_is_held_until_its_descriptor_closes() {
    let volume = Volume::new();
    let one = volume.root();
    let two = volume.root();
    assert_eq!(lock_exclusive(&one), Ok(true));
    assert_eq!(lock_exclusive(&one), Ok(true));
    assert_eq!(lock_exclusive(&two), Ok(false));
    drop(one);
    assert_eq!(lock_exclusive(&two), Ok(true));
}

fn new_file(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap()
}
