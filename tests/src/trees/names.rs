//! Names: deep, long, not UTF-8; hard links and symlinks.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::Content;

/// How many directories stand in each other.
const DEPTH: usize = 60;

pub(super) fn build(root: &Path) -> Result<()> {
    odd(&root.join("names"))?;
    deep(&root.join("deep"))?;
    hard_links(&root.join("links"))?;
    symlinks(&root.join("symlinks"))
}

/// A path from bytes.
pub(super) fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

fn odd(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    let long = [b'x'; 255];
    let names: [&[u8]; 12] = [
        b"with space",
        b"-dash",
        b"new\nline",
        b"tab\there",
        b"back\\slash",
        b"\xff\xfe\xfd",
        b"caf\xe9",
        b"quote'\"",
        b"ends with space ",
        b"...",
        "žluťoučký 🐴".as_bytes(),
        &long,
    ];
    for name in names {
        fs::write(folder.join(path(name)), name)?;
    }
    let latin = folder.join(path(b"dossier \xe9t\xe9"));
    fs::create_dir(&latin)?;
    fs::write(latin.join(path(b"\x80\x81")), Content::Text.bytes(5000, 1))?;
    // As temporary names of a stream look.
    fs::write(folder.join("o257-7-0"), "no temporary name").and_then(|()| fs::create_dir(folder.join("o300-9-1")))?;
    Ok(())
}

fn deep(folder: &Path) -> Result<()> {
    let mut at = folder.to_path_buf();
    for depth in 0..DEPTH {
        at.push(format!("a-rather-long-directory-name-{depth:03}"));
    }
    fs::create_dir_all(&at)?;
    fs::write(at.join("bottom"), "here")?;
    Ok(())
}

fn hard_links(folder: &Path) -> Result<()> {
    for inner in ["one", "two", "three/inner"] {
        fs::create_dir_all(folder.join(inner))?;
    }
    let first = folder.join("one/first");
    fs::write(&first, Content::Text.bytes(20_000, 2))?;
    for other in ["one/second", "two/third", "three/inner/fourth", "at-the-top"] {
        fs::hard_link(&first, folder.join(other))?;
    }
    fs::write(folder.join("two/empty"), b"")?;
    fs::hard_link(folder.join("two/empty"), folder.join("one/empty too"))?;
    // More names in one directory than one inode reference item can hold.
    fs::write(folder.join("two/crowd"), "many names")?;
    for number in 0..100 {
        fs::hard_link(folder.join("two/crowd"), folder.join(format!("two/crowd-{number:0>120}")))?;
    }
    Ok(())
}

fn symlinks(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    symlink("../files/text-100", folder.join("to-a-file"))?;
    symlink("../many", folder.join("to-a-directory"))?;
    symlink("/nowhere/at all", folder.join("dangling"))?;
    symlink(path(b"caf\xe9\n"), folder.join("odd-target"))?;
    symlink("x".repeat(3000), folder.join("long-target"))?;
    symlink("loops", folder.join("loops"))?;
    fs::hard_link(folder.join("dangling"), folder.join("linked-symlink"))?;
    Ok(())
}
