//! The btrfs filesystem of a directory, as the kernel lists it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::render::escaped;

/// The kernel's list of btrfs filesystems: `UUID/devices/NAME`.
const BTRFS: &str = "/sys/fs/btrfs";

/// The UUID of the btrfs filesystem that is mounted at a path.
pub(super) fn uuid_at(path: &Path) -> Result<String, Failure> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let device = source_of(&mounts, &real).and_then(|source| source.canonicalize().ok());
    device.as_deref().and_then(Path::file_name).and_then(|name| uuid_of(Path::new(BTRFS), name)).ok_or_else(|| {
        let text = format!("no btrfs filesystem is mounted at {}", escaped(&path.to_string_lossy()));
        Failure::usage(text, "mount it first, or name the filesystem with --uuid")
    })
}

/// The device of the last btrfs mount among those that the path is below most closely.
fn source_of(mounts: &str, path: &Path) -> Option<PathBuf> {
    let parsed = mounts.lines().filter_map(|line| {
        // ID PARENT DEVICE ROOT POINT OPTIONS ... - TYPE SOURCE ...
        let (front, back) = line.split_once(" - ")?;
        let point = PathBuf::from(unescaped(front.split(' ').nth(4)?));
        let mut back = back.split(' ');
        let (kind, source) = (back.next()?, PathBuf::from(unescaped(back.next()?)));
        path.starts_with(&point).then(|| (point.components().count(), kind == "btrfs", source))
    });
    let (_, is_btrfs, source) = parsed.max_by_key(|(depth, _, _)| *depth)?;
    is_btrfs.then_some(source)
}

/// A name of mountinfo: blanks and the like are written as `\040`.
fn unescaped(name: &str) -> String {
    let mut parts = name.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => {
                text.push(char::from(code));
                text.push_str(rest);
            }
            _ => text.push_str(part),
        }
    }
    text
}

fn uuid_of(filesystems: &Path, device: &OsStr) -> Option<String> {
    let has = |folder: &PathBuf| folder.join("devices").join(device).exists();
    let folders = fs::read_dir(filesystems).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    folders.filter(has).find_map(|folder| Some(folder.file_name()?.to_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 0:20 / / rw - btrfs /dev/sda2 rw\n\
23 22 0:21 / /srv rw - ext4 /dev/sdb1 rw\n\
24 23 0:22 / /srv/my\\040pool rw,noatime shared:1 - btrfs /dev/mapper/pool rw\n";

    #[test]
    fn the_closest_mount_counts() {
        let source = |path: &str| source_of(MOUNTS, Path::new(path));
        assert_eq!(source("/srv/my pool/backups"), Some(PathBuf::from("/dev/mapper/pool")));
        assert_eq!(source("/home"), Some(PathBuf::from("/dev/sda2")));
        assert_eq!(source("/srv/other"), None, "ext4");
    }

    #[test]
    fn a_filesystem_is_found_by_each_of_its_devices() {
        let folder = tempfile::tempdir().expect("a folder");
        for (uuid, device) in [("aaaa", "sda2"), ("bbbb", "sdb1"), ("bbbb", "dm-3")] {
            fs::create_dir_all(folder.path().join(uuid).join("devices").join(device)).expect("made");
        }
        fs::create_dir(folder.path().join("features")).expect("made");
        assert_eq!(uuid_of(folder.path(), OsStr::new("dm-3")).as_deref(), Some("bbbb"));
        assert_eq!(uuid_of(folder.path(), OsStr::new("sdz")), None);
    }
}
