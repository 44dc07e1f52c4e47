//! The first increment: what happens to a tree between two snapshots.

use std::fs;
use std::os::unix::fs::{chown, lchown, symlink};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{CWD, FileType, RenameFlags, renameat_with};

use super::extents::{punch, put, reserve, resize, share};
use super::nodes::{chmod, node, touch};
use super::xattrs::{ACCESS, CAPABILITY, DEFAULT, capability, list, remove, set};
use super::{Content, names};

/// Changes the tree that [`super::build`] made.
///
/// # Errors
/// When the filesystem refuses something.
pub fn change(root: &Path) -> Result<()> {
    moves(root)?;
    kinds(root)?;
    data(root)?;
    rights(root)?;
    links(root)?;
    touch(&root.join("times/nanoseconds"), (5, 6), (1_600_000_000, 123_456_790))?;
    touch(&root.join("times/epoch"), (-5, 6), (-7, 8))?;
    touch(root, (1_510_000_000, 3), (1_510_000_001, 4))
}

/// Two names trade places.
pub(super) fn swap(one: &Path, other: &Path) -> Result<()> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
    Ok(())
}

fn moves(root: &Path) -> Result<()> {
    let files = root.join("files");
    fs::rename(files.join("text-100"), files.join("renamed"))?;
    fs::rename(files.join("noise-65536"), root.join("many/d00/moved-here"))?;
    swap(&files.join("text-4096"), &files.join("noise-4097"))?;
    swap(&root.join("many/d01"), &root.join("many/d02"))?;
    // Parent and child trade places.
    fs::create_dir_all(root.join("turn/outer/inner"))?;
    fs::rename(root.join("many/d04"), root.join("many/d05/d04"))?;
    fs::rename(root.join("many/d05/d04/f00"), root.join("many/d05/f00"))?;
    // A directory moves away and another takes its name.
    fs::rename(root.join("many/d06"), root.join("many/was-d06"))?;
    fs::create_dir(root.join("many/d06"))?;
    fs::write(root.join("many/d06/new"), "new in the old name")?;
    fs::rename(root.join("many/was-d06/f01"), root.join("many/d06/f01"))?;
    fs::rename(root.join("deep/a-rather-long-directory-name-000"), root.join("deep/short"))?;
    let latin = names::path(b"dossier \xe9t\xe9");
    fs::rename(root.join("names").join(&latin), root.join("names").join(names::path(b"\xe9t\xe9")))?;
    fs::remove_dir_all(root.join("many/d07"))?;
    fs::remove_file(files.join("text-2048"))?;
    // One name taken over by another file.
    fs::rename(files.join("noise-100"), files.join("noise-2000"))?;
    Ok(())
}

fn kinds(root: &Path) -> Result<()> {
    fs::remove_dir_all(root.join("many/d08"))?;
    fs::write(root.join("many/d08"), "was a directory")?;
    fs::remove_file(root.join("files/text-1"))?;
    fs::create_dir(root.join("files/text-1"))?;
    fs::write(root.join("files/text-1/inside"), "was a file")?;
    fs::remove_file(root.join("symlinks/to-a-file"))?;
    fs::write(root.join("symlinks/to-a-file"), "was a symlink")?;
    fs::remove_file(root.join("files/noise-1"))?;
    symlink("text-4097", root.join("files/noise-1"))?;
    fs::remove_file(root.join("symlinks/dangling"))?;
    symlink("another target", root.join("symlinks/dangling"))?;
    fs::remove_file(root.join("special/socket"))?;
    node(&root.join("special/socket"), FileType::Fifo, 0o600, (0, 0))?;
    fs::remove_file(root.join("special/block"))?;
    node(&root.join("special/block"), FileType::BlockDevice, 0o660, (7, 201))?;
    fs::remove_file(root.join("special/large-numbers"))
        .and_then(|()| fs::create_dir(root.join("special/large-numbers")))?;
    Ok(())
}

fn data(root: &Path) -> Result<()> {
    let files = root.join("files");
    resize(&files.join("text-300000"), 100_001)?;
    resize(&files.join("noise-131073"), 0)?;
    resize(&files.join("text-131072"), 900_000)?;
    // Not within one sector: there a send from the shorter to the longer file misses the end (Linux 6.18).
    resize(&files.join("noise-300000"), 5)?;
    resize(&files.join("large-text"), 3 << 20)?;
    punch(&files.join("mixed"), 1 << 20, 300_000)?;
    punch(&files.join("large-noise"), 0, 8192)?;
    put(&files.join("large-noise"), 700_000, &Content::Text.bytes(100_000, 50))?;
    put(&files.join("text-1048576"), 1_048_576, &Content::Noise.bytes(12_345, 51))?;
    put(&files.join("text-0"), 0, b"no longer empty")?;
    put(&files.join("text-4095"), 4095, b"!")?;
    put(&files.join("text-2000"), 0, &Content::Text.bytes(9000, 52))?;
    let sparse = root.join("sparse");
    put(&sparse.join("islands"), 4 << 20, &Content::Text.bytes(9000, 53))?;
    put(&sparse.join("only-a-hole"), 1 << 20, b"land")?;
    put(&sparse.join("reserved"), 500_000, &Content::Text.bytes(9000, 54))?;
    reserve(&sparse.join("punched"), false, 300_000, 200_000)?;
    fs::write(root.join("new-file"), Content::Mixed.bytes(1 << 20, 55))?;

    let reflinks = root.join("reflinks");
    share(&reflinks.join("base"), 0, 0, &reflinks.join("copy-of-the-old"), 0)?;
    put(&reflinks.join("base"), 128 << 10, &Content::Noise.bytes(50_000, 56))?;
    share(&reflinks.join("within"), 0, 128 << 10, &reflinks.join("middle"), 0)?;
    share(&reflinks.join("whole"), 512 << 10, 128 << 10, &reflinks.join("whole"), 2 << 20)?;
    fs::rename(reflinks.join("woven"), reflinks.join("woven-and-renamed"))?;
    share(&reflinks.join("woven-and-renamed"), 0, 32 << 10, &reflinks.join("rewoven"), 4096)?;
    put(&root.join("properties/nocow/text"), 10_000, &Content::Noise.bytes(20_000, 57))?;
    put(&root.join("properties/zstd/text"), 100_000, &Content::Text.bytes(200_000, 58))
}

fn rights(root: &Path) -> Result<()> {
    let modes = root.join("modes");
    chmod(&modes.join("file-0644"), 0o600)?;
    chmod(&modes.join("file-0777"), 0o4711)?;
    chmod(&modes.join("directory-0755"), 0o2750)?;
    // A new owner takes the set-id bits away.
    chown(modes.join("file-6711"), Some(77), Some(78))?;
    chown(modes.join("file-4755"), Some(77), Some(78))?;
    chmod(&modes.join("file-4755"), 0o4751)?;
    lchown(modes.join("owned-symlink"), Some(8), Some(9))?;
    let xattrs = root.join("xattrs");
    remove(&xattrs.join("file"), "user.small")?;
    set(&xattrs.join("file"), "user.another", b"replaced")?;
    set(&xattrs.join("file"), "user.new", &Content::Digits.bytes(6000, 60))?;
    // A new owner takes the capability away too.
    chown(xattrs.join("ping"), Some(500), Some(500))?;
    set(&xattrs.join("ping"), CAPABILITY, &capability(12))?;
    chown(xattrs.join("owned-ping"), Some(501), Some(501))?;
    let acl = root.join("acl");
    remove(&acl.join("file"), ACCESS)?;
    set(&acl.join("hands-down"), DEFAULT, &list(2004, 2005, 4))?;
    fs::write(acl.join("hands-down/heir-of-the-new-list"), "heir")?;
    remove(&root.join("properties/lzo"), "btrfs.compression")?;
    set(&root.join("properties/zlib"), "btrfs.compression", b"zstd")?;
    fs::write(root.join("properties/zlib/after"), Content::Text.bytes(200_000, 61))?;
    Ok(())
}

fn links(root: &Path) -> Result<()> {
    let links = root.join("links");
    fs::hard_link(root.join("files/text-131073"), links.join("of-an-old-file"))?;
    fs::remove_file(links.join("one/first"))?;
    fs::remove_file(links.join("at-the-top"))?;
    fs::hard_link(links.join("one/second"), links.join("three/fifth"))?;
    fs::rename(links.join("two"), links.join("2"))?;
    fs::remove_file(links.join(format!("2/crowd-{:0>120}", 50)))?;
    put(&links.join("two-more"), 0, b"x")?;
    fs::hard_link(links.join("two-more"), links.join("2/two-more"))?;
    Ok(())
}
