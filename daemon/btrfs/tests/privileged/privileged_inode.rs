//! Attributes, flags and extended attributes of inodes.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};

use butterdock_btrfs::flags::{Flags, flags, set_flags, set_refusing};
use butterdock_btrfs::inode::{Times, set_mode, set_mode_at, set_owner, set_owner_at, set_times, set_times_at};
use butterdock_btrfs::xattr::{get, get_at, list, remove, remove_at, set, set_at};
use butterdock_btrfs::{Errno, file, names};

use crate::fixture::{Volume, on_linux_6_1};

const TIMES: Times = Times { atime: (-5, 999_999_999), mtime: (4_000_000_000, 123_456_789) };

#[test]
fn an_open_inode_takes_mode_owner_and_times() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), "").unwrap();
    let file = File::open(volume.path().join("file")).unwrap();
    set_owner(&file, 4_000_000_000, 7).unwrap();
    set_mode(&file, 0o106_751).unwrap();
    set_times(&file, TIMES).unwrap();
    let found = file::stat(&file).unwrap();
    assert_eq!((found.uid, found.gid, found.mode), (4_000_000_000, 7, 0o106_751));
    assert_eq!((found.atime, found.mtime), (TIMES.atime, TIMES.mtime));
}

#[test]
fn a_name_takes_mode_owner_and_times_without_being_opened() {
    take_without_being_opened();
}

#[test]
fn a_name_takes_them_on_a_kernel_without_fchmodat2() {
    on_linux_6_1(take_without_being_opened);
}

fn take_without_being_opened() {
    let volume = Volume::new();
    let root = volume.root();
    fs::write(volume.path().join("target"), "").unwrap();
    let before = file::stat_at(&root, c"target").unwrap();
    symlink("target", volume.path().join("link")).unwrap();
    names::make_node(&root, c"fifo", 0o010_600, 0).unwrap();
    names::make_node(&root, c"device", 0o060_600, (7 << 8) | 250).unwrap();
    names::make_node(&root, c"socket", 0o140_600, 0).unwrap();
    for name in [c"link", c"fifo", c"device", c"socket"] {
        set_owner_at(&root, name, 11, 12).unwrap();
        set_times_at(&root, name, TIMES).unwrap();
        let found = file::stat_at(&root, name).unwrap();
        assert_eq!((found.uid, found.gid, found.atime, found.mtime), (11, 12, TIMES.atime, TIMES.mtime));
        if found.is_symlink() {
            assert_eq!(set_mode_at(&root, name, 0o640).unwrap_err().errno, Errno::EOPNOTSUPP);
        } else {
            set_mode_at(&root, name, 0o640).unwrap();
            assert_eq!(file::stat_at(&root, name).unwrap().mode & 0o7777, 0o640);
        }
    }
    assert_eq!(file::stat_at(&root, c"target").unwrap(), before);
    assert_eq!(set_mode_at(&root, c"missing", 0o640).unwrap_err().errno, Errno::ENOENT);
    assert_eq!(set_times_at(&root, c"../up", TIMES).unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn numbers_that_mean_now_or_none_are_refused() {
    let volume = Volume::new();
    let root = volume.root();
    for nsec in [1_000_000_000, 0x3fff_ffff, 0x3fff_fffe, u32::MAX] {
        let times = Times { atime: (0, 0), mtime: (0, nsec) };
        assert_eq!(set_times(&root, times).unwrap_err().errno, Errno::EINVAL);
    }
    assert_eq!(set_owner(&root, u32::MAX, 0).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(set_owner(&root, 0, u32::MAX).unwrap_err().errno, Errno::EINVAL);
    assert_eq!(fs::metadata(volume.path()).unwrap().uid(), 0);
}

#[test]
fn each_flag_is_set_and_cleared() {
    let volume = Volume::new();
    let root = volume.root();
    names::make_dir(&root, c"dir", 0o755).unwrap();
    fs::write(volume.path().join("file"), "").unwrap();
    let file = File::open(volume.path().join("file")).unwrap();
    let dir = File::open(volume.path().join("dir")).unwrap();
    let common = [Flags::SYNC, Flags::NO_DUMP, Flags::NO_ATIME, Flags::NO_COMPRESS, Flags::COMPRESS, Flags::NO_COW];
    for flag in common.into_iter().chain([Flags::IMMUTABLE, Flags::APPEND]) {
        set_flags(&file, flag).unwrap();
        assert!(flags(&file).unwrap().contains(flag), "{flag:?}");
        set_flags(&file, Flags::default()).unwrap();
        assert!(!flags(&file).unwrap().intersects(flag), "{flag:?}");
    }
    set_flags(&dir, Flags::DIR_SYNC | Flags::NO_DUMP).unwrap();
    assert_eq!(flags(&dir).unwrap(), Flags::DIR_SYNC | Flags::NO_DUMP);
    let pair = set_flags(&file, Flags::COMPRESS | Flags::NO_COMPRESS).unwrap_err();
    assert_eq!((pair.call, pair.errno), ("FS_IOC_SETFLAGS", Errno::EINVAL));
    assert_eq!(set_flags(&file, Flags::from_bits(0x4000)).unwrap_err().errno, Errno::EOPNOTSUPP);
    assert_eq!(flags(File::open("/dev/null").unwrap()).unwrap_err().errno, Errno::ENOTTY);
}

#[test]
fn an_immutable_file_refuses_every_change() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), "").unwrap();
    let file = File::open(volume.path().join("file")).unwrap();
    set_flags(&file, Flags::IMMUTABLE).unwrap();
    assert_eq!(set_mode(&file, 0o600).unwrap_err().errno, Errno::EPERM);
    assert_eq!(names::unlink(volume.root(), c"file").unwrap_err().errno, Errno::EPERM);
    set_flags(&file, flags(&file).unwrap().without(Flags::IMMUTABLE)).unwrap();
    set_mode(&file, 0o600).unwrap();
}

#[test]
fn nocow_has_no_effect_on_a_file_with_data() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), [1; 8192]).unwrap();
    let file = File::open(volume.path().join("file")).unwrap();
    assert_eq!(set_flags(&file, Flags::NO_COW), Ok(()));
    assert!(!flags(&file).unwrap().contains(Flags::NO_COW));
}

#[test]
fn immutable_and_append_leave_the_compression_property() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), "").unwrap();
    let file = File::open(volume.path().join("file")).unwrap();
    set(&file, c"btrfs.compression", b"zstd").unwrap();
    for refusing in [Flags::IMMUTABLE, Flags::APPEND, Flags::IMMUTABLE | Flags::APPEND] {
        set_refusing(&file, refusing).unwrap();
        let now = flags(&file).unwrap();
        assert!(now.contains(refusing) && now.contains(Flags::COMPRESS));
        set_refusing(&file, Flags::from_bits(0)).unwrap();
        assert!(!flags(&file).unwrap().intersects(Flags::IMMUTABLE | Flags::APPEND));
        let mut value = [0; 16];
        let len = get(&file, c"btrfs.compression", &mut value).unwrap().unwrap();
        assert_eq!(&value[..len], b"zstd");
    }
}

#[test]
fn an_attribute_is_set_read_listed_and_removed() {
    let volume = Volume::new();
    fs::write(volume.path().join("file"), "").unwrap();
    let file = File::open(volume.path().join("file")).unwrap();
    let value = vec![0xfe; 7000];
    set(&file, c"user.large", &value).unwrap();
    set(&file, c"user.empty", b"").unwrap();
    let mut buffer = vec![0; 8000];
    assert_eq!(get(&file, c"user.large", &mut buffer), Ok(Some(7000)));
    assert_eq!(buffer[..7000], value);
    assert_eq!(get(&file, c"user.large", &mut []), Ok(Some(7000)));
    assert_eq!(get(&file, c"user.large", &mut [0; 10]).unwrap_err().errno, Errno::ERANGE);
    assert_eq!(get(&file, c"user.empty", &mut buffer), Ok(Some(0)));
    assert_eq!(get(&file, c"user.none", &mut buffer), Ok(None));
    let mut names = list(&file).unwrap();
    names.sort_unstable();
    assert_eq!(names, [c"user.empty".to_owned(), c"user.large".to_owned()]);
    remove(&file, c"user.large").unwrap();
    assert_eq!(remove(&file, c"user.large").unwrap_err().errno, Errno::ENODATA);
    assert_eq!(list(&file).unwrap().len(), 1);
}

#[test]
fn an_oversized_or_unknown_attribute_is_refused() {
    let volume = Volume::new();
    let root = volume.root();
    assert_eq!(set(&root, c"user.large", &[0; 20_000]).unwrap_err().errno, Errno::ENOSPC);
    assert_eq!(set(&root, c"user.large", &vec![0; 65_537]).unwrap_err().errno, Errno::E2BIG);
    assert_eq!(set(&root, c"nowhere.name", b"").unwrap_err().errno, Errno::EOPNOTSUPP);
    assert_eq!(set(&root, c"btrfs.compression", b"lz77").unwrap_err().errno, Errno::EINVAL);
}

#[test]
fn symlinks_fifos_and_devices_have_attributes_of_their_own() {
    have_attributes_of_their_own();
}

#[test]
fn attributes_work_on_a_kernel_without_setxattrat() {
    on_linux_6_1(have_attributes_of_their_own);
}

fn have_attributes_of_their_own() {
    let volume = Volume::new();
    let root = volume.root();
    fs::write(volume.path().join("target"), "").unwrap();
    symlink("target", volume.path().join("link")).unwrap();
    names::make_node(&root, c"fifo", 0o010_600, 0).unwrap();
    names::make_node(&root, c"device", 0o060_600, (7 << 8) | 250).unwrap();
    names::make_node(&root, c"socket", 0o140_600, 0).unwrap();
    let mut buffer = [0; 64];
    for name in [c"link", c"fifo", c"device", c"socket"] {
        set_at(&root, name, c"trusted.mark", b"value").unwrap();
        assert_eq!(get_at(&root, name, c"trusted.mark", &mut buffer), Ok(Some(5)));
        assert_eq!(&buffer[..5], b"value");
        assert_eq!(get_at(&root, name, c"trusted.mark", &mut []), Ok(Some(5)));
        assert_eq!(get_at(&root, name, c"trusted.none", &mut buffer), Ok(None));
        set_at(&root, name, c"trusted.empty", b"").unwrap();
        assert_eq!(get_at(&root, name, c"trusted.empty", &mut buffer), Ok(Some(0)));
        assert_eq!(set_at(&root, name, c"user.mark", b"").unwrap_err().errno, Errno::EPERM);
        remove_at(&root, name, c"trusted.mark").unwrap();
        assert_eq!(remove_at(&root, name, c"trusted.mark").unwrap_err().errno, Errno::ENODATA);
    }
    let target = File::open(volume.path().join("target")).unwrap();
    assert_eq!(list(&target), Ok(vec![]));
    assert_eq!(set_at(&root, c"missing", c"trusted.mark", b"").unwrap_err().errno, Errno::ENOENT);
    assert_eq!(set_at(&root, c"a/b", c"trusted.mark", b"").unwrap_err().errno, Errno::EINVAL);
}
