//! Extended attributes.

use std::fs::{self, File};
use std::os::unix::fs::symlink;

use butterdock_btrfs::xattr::{get, get_at, list, remove, remove_at, set, set_at};
use butterdock_btrfs::{Errno, names};

use crate::rig::Volume;
use crate::rig::old_kernel::on_linux_6_1;

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
fn what_does_not_fit_is_refused() {
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
fn they_have_them_on_a_kernel_without_setxattrat_too() {
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
