//! Extended attributes: plain ones, capabilities, access lists and btrfs' own properties.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{FileType, IFlags, XattrFlags, ioctl_getflags, ioctl_setflags, lremovexattr, lsetxattr};

use super::Content;
use super::nodes::node;

pub(super) const CAPABILITY: &str = "security.capability";
pub(super) const ACCESS: &str = "system.posix_acl_access";
pub(super) const DEFAULT: &str = "system.posix_acl_default";

pub(super) fn build(root: &Path) -> Result<()> {
    plain(&root.join("xattrs"))?;
    lists(&root.join("acl"))
}

/// Sets an attribute of a name, not following it.
pub(super) fn set(path: &Path, name: &str, value: &[u8]) -> Result<()> {
    lsetxattr(path, name, value, XattrFlags::empty())?;
    Ok(())
}

/// Takes an attribute away.
pub(super) fn remove(path: &Path, name: &str) -> Result<()> {
    lremovexattr(path, name)?;
    Ok(())
}

/// `security.capability` with one permitted and effective capability (`struct vfs_cap_data`, revision 2).
pub(super) fn capability(number: u32) -> Vec<u8> {
    let (low, high) = if number < 32 { (1u32 << number, 0) } else { (0, 1u32 << (number - 32)) };
    [0x0200_0001, low, 0, high, 0].into_iter().flat_map(u32::to_le_bytes).collect()
}

/// An access list with one named user and one named group (`struct posix_acl_xattr_header` and its entries).
pub(super) fn list(user: u32, group: u32, rights: u16) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 6] = [
        (0x01, 7, NOBODY),
        (0x02, rights, user),
        (0x04, 5, NOBODY),
        (0x08, rights, group),
        (0x10, 7, NOBODY),
        (0x20, 1, NOBODY),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn plain(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    let file = folder.join("file");
    fs::write(&file, Content::Text.bytes(10_000, 1))?;
    set(&file, "user.small", b"value")?;
    set(&file, "user.empty", b"")?;
    set(&file, "user.binary", b"\0\xff\n\\")?;
    set(&file, "user.seven-kilobytes", &[b"\0", &Content::Noise.bytes(7000, 2)[..]].concat())?;
    set(&file, "user.another", &Content::Digits.bytes(4000, 3))?;
    set(&file, "trusted.of-root", b"root")?;
    set(&file, &format!("user.{}", "n".repeat(250)), b"long name")?;
    set(folder, "user.of-a-directory", b"yes")?;
    std::os::unix::fs::symlink("file", folder.join("symlink"))?;
    set(&folder.join("symlink"), "trusted.of-a-symlink", b"yes")?;

    fs::write(folder.join("ping"), Content::Noise.bytes(5000, 4))?;
    set(&folder.join("ping"), CAPABILITY, &capability(13))?;
    fs::write(folder.join("owned-ping"), Content::Noise.bytes(5000, 5))?;
    std::os::unix::fs::chown(folder.join("owned-ping"), Some(1000), Some(1000))?;
    set(&folder.join("owned-ping"), CAPABILITY, &capability(38))?;
    Ok(())
}

fn lists(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    fs::write(folder.join("file"), "with a list")?;
    set(&folder.join("file"), ACCESS, &list(1000, 1001, 6))?;
    let heir = folder.join("hands-down");
    fs::create_dir(&heir)?;
    set(&heir, ACCESS, &list(1002, 1003, 7))?;
    set(&heir, DEFAULT, &list(1004, 1005, 5))?;
    fs::write(heir.join("inherited"), "inherited")?;
    fs::create_dir(heir.join("inherited-too"))?;
    fs::write(heir.join("inherited-too/deeper"), "deeper")?;
    std::os::unix::fs::symlink("inherited", heir.join("symlink"))?;
    node(&heir.join("fifo"), FileType::Fifo, 0o620, (0, 0))?;
    // Moved in, so that it does not have what others here inherited.
    fs::write(folder.join("moved"), "moved")?;
    fs::rename(folder.join("moved"), heir.join("moved"))?;
    fs::write(heir.join("stripped"), "stripped")?;
    remove(&heir.join("stripped"), ACCESS)
}

/// Compression as a property of directories and files, and files without copy on write.
pub(super) fn properties(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    for kind in ["zlib", "zstd", "lzo", "none"] {
        let inner = folder.join(kind);
        fs::create_dir(&inner)?;
        set(&inner, "btrfs.compression", kind.as_bytes())?;
        fs::write(inner.join("text"), Content::Text.bytes(300_000, 6))?;
        fs::write(inner.join("small"), Content::Text.bytes(3000, 7))?;
        std::os::unix::fs::symlink("small", inner.join("symlink"))?;
        node(&inner.join("socket"), FileType::Socket, 0o600, (0, 0))?;
    }
    let later = folder.join("set-later");
    fs::write(&later, Content::Text.bytes(200_000, 8))?;
    set(&later, "btrfs.compression", b"lzo")?;

    let plain = folder.join("nocow");
    fs::create_dir(&plain)?;
    let open = fs::File::open(&plain)?;
    ioctl_setflags(&open, ioctl_getflags(&open)? | IFlags::NOCOW)?;
    fs::write(plain.join("text"), Content::Text.bytes(300_000, 9))?;
    fs::write(plain.join("small"), Content::Text.bytes(300, 10))?;
    Ok(())
}
