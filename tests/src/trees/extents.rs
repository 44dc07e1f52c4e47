//! Files whose extents are not simply one after the other: sparse, preallocated, shared, overwritten.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Result;
use butterdock_btrfs::file;
use rustix::fs::{FallocateFlags, fallocate};

use super::Content;

const MIB: u64 = 1 << 20;

pub(super) fn build(root: &Path) -> Result<()> {
    sparse(&root.join("sparse"))?;
    shared(&root.join("reflinks"))?;
    overwritten(&root.join("overwritten"))
}

/// Makes `to` share a range of `from`.
pub(super) fn share(from: &Path, from_offset: u64, len: u64, to: &Path, to_offset: u64) -> Result<()> {
    let source = File::open(from)?;
    let target = OpenOptions::new().write(true).create(true).truncate(false).open(to)?;
    // What is not on disk yet has no extent to share.
    source.sync_all()?;
    file::clone_range(&target, to_offset, &source, from_offset, len)?;
    Ok(())
}

/// Puts bytes into a file that may exist.
pub(super) fn put(path: &Path, offset: u64, bytes: &[u8]) -> Result<()> {
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    open.write_all_at(bytes, offset)?;
    Ok(())
}

/// Cuts a file, or makes it longer.
pub(super) fn resize(path: &Path, len: u64) -> Result<()> {
    OpenOptions::new().write(true).open(path)?.set_len(len)?;
    Ok(())
}

/// Takes a range out of a file.
pub(super) fn punch(path: &Path, offset: u64, len: u64) -> Result<()> {
    let open = OpenOptions::new().write(true).open(path)?;
    fallocate(&open, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)?;
    Ok(())
}

/// Gives a file room that holds no data yet.
pub(super) fn reserve(path: &Path, keep_size: bool, offset: u64, len: u64) -> Result<()> {
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    let flags = if keep_size { FallocateFlags::KEEP_SIZE } else { FallocateFlags::empty() };
    fallocate(&open, flags, offset, len)?;
    Ok(())
}

fn sparse(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    put(&folder.join("islands"), 0, &Content::Text.bytes(70_000, 1))?;
    put(&folder.join("islands"), 8 * MIB, &Content::Noise.bytes(70_000, 2))?;
    put(&folder.join("islands"), 20 * MIB + 5, &Content::Text.bytes(10, 3))?;
    put(&folder.join("begins-late"), 3 * MIB, &Content::Text.bytes(200_000, 4))?;
    put(&folder.join("ends-in-a-hole"), 0, &Content::Text.bytes(200_000, 5))?;
    resize(&folder.join("ends-in-a-hole"), 4 * MIB + 77)?;
    fs::write(folder.join("only-a-hole"), b"")?;
    resize(&folder.join("only-a-hole"), 2 * MIB + 1)?;
    fs::write(folder.join("inline-then-hole"), b"short")?;
    resize(&folder.join("inline-then-hole"), 50_000)?;
    put(&folder.join("punched"), 0, &Content::Mixed.bytes(2 << 20, 6))?;
    File::open(folder.join("punched"))?.sync_all()?;
    punch(&folder.join("punched"), 300_000, 500_000)?;
    punch(&folder.join("punched"), MIB, 4096)?;

    reserve(&folder.join("reserved"), false, 0, MIB)?;
    reserve(&folder.join("reserved-past-the-end"), true, 0, MIB)?;
    reserve(&folder.join("reserved-and-written"), false, 0, MIB)?;
    put(&folder.join("reserved-and-written"), 200_000, &Content::Noise.bytes(90_000, 7))?;
    put(&folder.join("written-then-reserved"), 0, &Content::Text.bytes(30_000, 8))?;
    reserve(&folder.join("written-then-reserved"), true, 0, MIB)
}

fn shared(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    let base = folder.join("base");
    put(&base, 0, &Content::Mixed.bytes(1 << 20, 20))?;
    share(&base, 0, 0, &folder.join("whole"), 0)?;
    put(&folder.join("middle"), 0, &Content::Text.bytes(1 << 20, 21))?;
    share(&base, 256 << 10, 128 << 10, &folder.join("middle"), 512 << 10)?;
    share(&base, 4096, 8192, &folder.join("far-away"), 10 * MIB)?;

    let within = folder.join("within");
    put(&within, 0, &Content::Text.bytes(400_000, 22))?;
    share(&within, 0, 200 << 10, &within, 600 << 10)?;
    share(&within, 64 << 10, 64 << 10, &within, 2 * MIB)?;

    let woven = folder.join("woven");
    for step in 0..16 {
        let from = if step % 2 == 0 { &base } else { &within };
        share(from, step * 8192, 8192, &woven, (15 - step) * 8192)?;
    }
    put(&folder.join("odd-length"), 0, &Content::Noise.bytes(300_001, 23))?;
    share(&folder.join("odd-length"), 0, 0, &folder.join("odd-length-copy"), 0)
}

/// Extents of which the file uses only a part: what is sent then has an offset into the decoded bytes.
fn overwritten(folder: &Path) -> Result<()> {
    fs::create_dir(folder)?;
    for (name, content) in [("text", Content::Text), ("noise", Content::Noise)] {
        let path = folder.join(name);
        put(&path, 0, &content.bytes(1 << 20, 30))?;
        File::open(&path)?.sync_all()?;
        put(&path, 40_960, &Content::Noise.bytes(8192, 31))?;
        File::open(&path)?.sync_all()?;
        put(&path, 500_001, b"not aligned to anything")?;
        put(&path, (1 << 20) - 3, b"past the old end")?;
        File::open(&path)?.sync_all()?;
    }
    let tail = folder.join("grown-in-steps");
    for step in 0..8u64 {
        put(&tail, step * 10_000, &Content::Text.bytes(10_000, 40 + step))?;
        File::open(&tail)?.sync_all()?;
    }
    Ok(())
}
