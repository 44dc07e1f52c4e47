//! Inode flags: what FILEATTR carries. The standard receiver ignores them, so they are kept apart from the other changes.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::Content;
use super::extents::put;

/// Which files get which flags in the first increment. All are as the stream gives them, except that NOCOW needs an empty file.
pub const FLAGGED: [(&str, IFlags); 9] = [
    ("immutable", IFlags::IMMUTABLE),
    ("append", IFlags::APPEND),
    ("nodump", IFlags::NODUMP),
    ("noatime", IFlags::NOATIME),
    ("sync", IFlags::SYNC),
    ("compressed", IFlags::COMPRESSED),
    ("several", IFlags::NODUMP.union(IFlags::NOATIME).union(IFlags::IMMUTABLE)),
    ("dirsync", IFlags::DIRSYNC),
    ("immutable-directory", IFlags::IMMUTABLE),
];

/// Makes the files, without flags.
///
/// # Errors
/// When the filesystem refuses something.
pub fn prepare(root: &Path) -> Result<()> {
    for (name, _) in FLAGGED {
        let path = root.join(name);
        if name.contains("dir") {
            fs::create_dir(&path)?;
            fs::write(path.join("inside"), "inside")?;
        } else {
            fs::write(&path, Content::Text.bytes(50_000, 1))?;
        }
    }
    fs::create_dir(root.join("plain"))?;
    Ok(())
}

/// The first increment: sets the flags, on files that change in the same step.
///
/// # Errors
/// When the filesystem refuses something.
pub fn set(root: &Path) -> Result<()> {
    for (name, flags) in FLAGGED {
        let path = root.join(name);
        if path.is_file() {
            put(&path, 1000, b"changed before the flag came")?;
        } else {
            fs::write(path.join("new"), "made before the flag came")?;
        }
        adjust(&path, |now| now | flags)?;
    }
    Ok(())
}

/// The second: what was immutable changes, is renamed and deleted; some flags go.
///
/// # Errors
/// When the filesystem refuses something.
pub fn clear_and_change(root: &Path) -> Result<()> {
    let liftable = IFlags::IMMUTABLE | IFlags::APPEND;
    for name in ["immutable", "append", "several", "immutable-directory"] {
        adjust(&root.join(name), |now| now.difference(liftable))?;
    }
    put(&root.join("immutable"), 20_000, b"changed between")?;
    adjust(&root.join("immutable"), |now| now | IFlags::IMMUTABLE)?;
    put(&root.join("append"), 0, b"overwritten")?;
    fs::rename(root.join("append"), root.join("plain/append-moved"))?;
    fs::remove_file(root.join("several"))?;
    fs::remove_file(root.join("immutable-directory/inside"))?;
    fs::write(root.join("immutable-directory/later"), "later")?;
    adjust(&root.join("immutable-directory"), |now| now | IFlags::IMMUTABLE)?;
    adjust(&root.join("nodump"), |now| now.difference(IFlags::NODUMP))?;
    put(&root.join("noatime"), 3, b"x")
}

fn adjust(path: &Path, to: impl FnOnce(IFlags) -> IFlags) -> Result<()> {
    let open = File::open(path)?;
    ioctl_setflags(&open, to(ioctl_getflags(&open)?))?;
    Ok(())
}
