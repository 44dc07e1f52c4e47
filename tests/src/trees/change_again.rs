//! The second increment: names that come back, chains of moves, clones of what the first increment made.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use anyhow::Result;

use super::change::swap;
use super::extents::{punch, put, resize, share};
use super::nodes::{chmod, touch};
use super::xattrs::{CAPABILITY, DEFAULT, capability, remove, set};
use super::{Content, Random};

/// Changes the tree that [`super::change()`] left.
///
/// # Errors
/// When the filesystem refuses something.
pub fn change_again(root: &Path) -> Result<()> {
    moves(root)?;
    data(root)?;
    rights(root)?;
    shuffle(root)?;
    touch(root, (1_520_000_000, 5), (1_520_000_001, 6))
}

fn moves(root: &Path) -> Result<()> {
    let files = root.join("files");
    fs::rename(files.join("renamed"), files.join("text-100"))?;
    swap(&root.join("many/d01"), &root.join("many/d02"))?;
    // The child becomes the parent of what was its parent.
    fs::rename(root.join("turn/outer/inner"), root.join("turn/inner"))?;
    fs::rename(root.join("turn/outer"), root.join("turn/inner/outer"))?;
    fs::rename(root.join("many/d05/d04"), root.join("many/d04"))?;
    fs::rename(root.join("many/d05"), root.join("many/d04/d05"))?;
    // Three names in a ring.
    fs::rename(root.join("many/d09"), root.join("many/aside"))?;
    fs::rename(root.join("many/d10"), root.join("many/d09"))?;
    fs::rename(root.join("many/d11"), root.join("many/d10"))?;
    fs::rename(root.join("many/aside"), root.join("many/d11"))?;
    // What was a directory and became a file is a directory again, and the reverse.
    fs::remove_file(root.join("many/d08"))?;
    fs::create_dir(root.join("many/d08"))?;
    fs::rename(root.join("many/d00/moved-here"), root.join("many/d08/moved-on"))?;
    fs::remove_dir_all(files.join("text-1"))?;
    fs::write(files.join("text-1"), "a file again")?;
    // A directory goes while one of its children stays elsewhere.
    fs::rename(root.join("many/was-d06/f02"), root.join("survivor"))?;
    fs::remove_dir_all(root.join("many/was-d06"))?;
    fs::create_dir(root.join("many/was-d06"))?;
    fs::rename(root.join("deep/short"), root.join("shallow"))?;
    fs::remove_dir(root.join("deep"))?;
    symlink("shallow", root.join("deep"))?;
    let links = root.join("links");
    fs::rename(links.join("2"), links.join("two"))?;
    fs::remove_file(links.join("of-an-old-file"))?;
    fs::rename(links.join("three/fifth"), links.join("one/first"))?;
    Ok(())
}

fn data(root: &Path) -> Result<()> {
    let files = root.join("files");
    put(&files.join("mixed"), (1 << 20) + 4096, &Content::Text.bytes(20_000, 70))?;
    resize(&files.join("large-text"), 6 << 20)?;
    put(&files.join("large-text"), 5 << 20, &Content::Noise.bytes(5000, 71))?;
    punch(&files.join("text-1048576"), 100, 5000)?;
    resize(&files.join("text-0"), 0)?;
    fs::write(files.join("noise-131073"), Content::Noise.bytes(140_000, 72))?;
    let reflinks = root.join("reflinks");
    share(&reflinks.join("copy-of-the-old"), 0, 256 << 10, &reflinks.join("base"), 256 << 10)?;
    share(&reflinks.join("rewoven"), 4096, 8192, &root.join("shared-by-a-newcomer"), 0)?;
    fs::remove_file(reflinks.join("whole"))?;
    share(&files.join("mixed"), 0, 0, &reflinks.join("whole"), 0)?;
    punch(&reflinks.join("far-away"), 10 << 20, 4096)?;
    fs::remove_file(root.join("new-file"))?;
    share(&root.join("overwritten/text"), 0, 512 << 10, &root.join("overwritten/noise"), 256 << 10)
}

fn rights(root: &Path) -> Result<()> {
    set(&root.join("xattrs/owned-ping"), CAPABILITY, &capability(2))?;
    chmod(&root.join("xattrs/ping"), 0o4755)?;
    remove(&root.join("xattrs/file"), "user.seven-kilobytes")?;
    remove(&root.join("xattrs"), "user.of-a-directory")?;
    remove(&root.join("acl/hands-down"), DEFAULT)?;
    fs::write(root.join("acl/hands-down/after-the-list"), "plain")?;
    chown(root.join("modes/directory-2775"), Some(9), Some(10))?;
    chmod(&root.join("modes/directory-2775"), 0o700)?;
    set(&root.join("properties/none"), "btrfs.compression", b"zlib")?;
    put(&root.join("properties/none/text"), 0, &Content::Text.bytes(150_000, 73))
}

/// Files of one directory change names at random, through each other.
fn shuffle(root: &Path) -> Result<()> {
    let mut random = Random::new(74);
    let folder = root.join("many/d03");
    for _ in 0..40 {
        let (one, other) = (random.below(25), random.below(25));
        if one != other {
            swap(&folder.join(format!("f{one:02}")), &folder.join(format!("f{other:02}")))?;
        }
    }
    Ok(())
}
