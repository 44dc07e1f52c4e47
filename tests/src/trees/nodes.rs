//! Devices, fifos and sockets; modes, owners and times.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, makedev, mknodat, utimensat};

use super::Content;

pub(super) fn build(root: &Path) -> Result<()> {
    special(&root.join("special"))?;
    modes(&root.join("modes"))?;
    fs::create_dir(root.join("times"))?;
    Ok(())
}

/// Makes a node.
pub(super) fn node(path: &Path, kind: FileType, mode: u32, device: (u32, u32)) -> Result<()> {
    mknodat(CWD, path, kind, Mode::from_raw_mode(mode), makedev(device.0, device.1))?;
    chmod(path, mode)
}

/// Sets a mode, whatever the umask is.
pub(super) fn chmod(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Sets both times of a name, not following it.
pub(super) fn touch(path: &Path, atime: (i64, i64), mtime: (i64, i64)) -> Result<()> {
    let spec = |(seconds, nanoseconds)| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: spec(atime), last_modification: spec(mtime) };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

fn special(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    node(&folder.join("fifo"), FileType::Fifo, 0o640, (0, 0))?;
    node(&folder.join("socket"), FileType::Socket, 0o755, (0, 0))?;
    node(&folder.join("null"), FileType::CharacterDevice, 0o666, (1, 3))?;
    node(&folder.join("block"), FileType::BlockDevice, 0o660, (7, 200))?;
    node(&folder.join("large-numbers"), FileType::CharacterDevice, 0o600, (259, 300_000))?;
    lchown(folder.join("fifo"), Some(1000), Some(1001))?;
    lchown(folder.join("block"), Some(0), Some(6))?;
    fs::hard_link(folder.join("fifo"), folder.join("fifo-linked"))?;
    fs::hard_link(folder.join("null"), folder.join("null-linked"))?;
    Ok(())
}

fn modes(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    for mode in [0o000, 0o400, 0o644, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777, 0o4000] {
        let path = folder.join(format!("file-{mode:04o}"));
        fs::write(&path, Content::Text.bytes(6000, u64::from(mode)))?;
        lchown(&path, Some(mode), Some(2000))?;
        chmod(&path, mode)?;
    }
    for mode in [0o000, 0o700, 0o1777, 0o2775, 0o755] {
        let path = folder.join(format!("directory-{mode:04o}"));
        fs::create_dir(&path)?;
        lchown(&path, Some(33), Some(44))?;
        chmod(&path, mode)?;
        // A set-gid directory hands its group down.
        fs::write(path.join("inside"), "inside")?;
        fs::create_dir(path.join("deeper"))?;
        std::os::unix::fs::symlink("inside", path.join("symlink"))?;
        node(&path.join("fifo"), FileType::Fifo, 0o620, (0, 0))?;
        node(&path.join("device"), FileType::CharacterDevice, 0o620, (1, 3))?;
        fs::write(path.join("deeper/still"), "still")?;
    }
    fs::write(folder.join("far-owner"), "x")?;
    lchown(folder.join("far-owner"), Some(4_000_000_000), Some(4_000_000_001))?;
    std::os::unix::fs::symlink("x", folder.join("owned-symlink"))?;
    lchown(folder.join("owned-symlink"), Some(5), Some(6))?;
    Ok(())
}

/// Times come last: everything else moves them.
pub(super) fn times(root: &Path) -> Result<()> {
    let folder = root.join("times");
    let moments: [(&str, (i64, i64)); 8] = [
        ("epoch", (0, 0)),
        ("nanoseconds", (1_600_000_000, 123_456_789)),
        ("last-nanosecond", (1_600_000_000, 999_999_999)),
        ("before-1970", (-1, 1)),
        ("long-before", (-86_400 * 365 * 30, 987_654_321)),
        ("after-2038", (2_147_483_648, 5)),
        ("far", (32_503_680_000, 7)),
        ("one-nanosecond", (0, 1)),
    ];
    for (index, (name, moment)) in (0..).zip(moments) {
        let path = folder.join(name);
        if index % 2 == 0 {
            fs::write(&path, name)?;
        } else {
            fs::create_dir(&path)?;
        }
        touch(&path, (moment.0 + 1000, 17), moment)?;
    }
    std::os::unix::fs::symlink("nothing", folder.join("symlink"))?;
    touch(&folder.join("symlink"), (-5, 3), (77, 4))?;
    touch(&root.join("special/fifo"), (1, 2), (3, 4))?;
    touch(&root.join("special/null"), (1, 2), (-3, 4))?;
    touch(&root.join("many/d03"), (9, 8), (7, 6))?;
    touch(&root.join("deep"), (11, 12), (-13, 14))?;
    touch(root, (1_500_000_000, 1), (1_500_000_001, 2))
}
