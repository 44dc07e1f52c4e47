//! Parents and clone sources: from whichever receiver, wherever they lie, and over any length.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use butterdock_btrfs::extents::fiemap;
use butterdock_tests::compare::{Rules, Tree, same};
use butterdock_tests::snapshot::{self, Proto};
use butterdock_tests::wire::{Stream, UUID};
use butterdock_tests::{Layout, Receiver, Sandbox, TIMEOUT, Volume, is_known_btrfs_progs, run, trees, wire};

/// A source with two snapshots, and their streams.
struct Source {
    volume: Volume,
    full: PathBuf,
    increment: PathBuf,
}

impl Source {
    fn new(sandbox: &Sandbox, proto: Proto) -> Result<Self> {
        let volume = sandbox.volume("source", &Layout::mounted("compress=zstd"))?;
        let live = volume.join("live");
        snapshot::create(&live)?;
        trees::build(&live)?;
        snapshot::freeze(&live, &volume.join("s0"))?;
        trees::change(&live)?;
        snapshot::freeze(&live, &volume.join("s1"))?;
        let (full, increment) = (sandbox.join("full"), sandbox.join("increment"));
        snapshot::send(proto, None, &volume.join("s0"), &full)?;
        snapshot::send(proto, Some(&volume.join("s0")), &volume.join("s1"), &increment)?;
        Ok(Self { volume, full, increment })
    }

    fn is_the_same_as(&self, copy: &Volume) -> Result<()> {
        let (source, copy) = (Tree::read(&self.volume.join("s1"))?, Tree::read(&copy.join("s1"))?);
        same("over the other's parent", &source, &copy, Rules { holes: false, ..Rules::COPIES })
    }
}

/// Each receiver builds on what the other received.
fn across(proto: Proto) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::new(&sandbox, proto)?;
    for (name, first, second) in [("a", Receiver::Ours, Receiver::Standard), ("b", Receiver::Standard, Receiver::Ours)]
    {
        let copy = sandbox.plain_volume(name)?;
        first.receive(&source.full, copy.path())?;
        second.receive(&source.increment, copy.path())?;
        source.is_the_same_as(&copy)?;
    }
    Ok(())
}

#[test]
fn both_receivers_accept_each_others_parents_in_version_1() -> Result<()> {
    across(Proto::One)
}

#[test]
fn both_receivers_accept_each_others_parents_in_version_2() -> Result<()> {
    across(Proto::TwoCompressed)
}

#[test]
fn a_parent_outside_the_mounted_subvolume_is_found() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::new(&sandbox, Proto::TwoCompressed)?;
    for receiver in [Receiver::Ours, Receiver::Standard] {
        let mut copy = sandbox.plain_volume(if receiver == Receiver::Ours { "ours" } else { "standard" })?;
        Receiver::Standard.receive(&source.full, copy.path())?;
        snapshot::create(&copy.join("inner"))?;
        copy.unmount()?;
        copy.mount("subvol=inner")?;
        let mut command = receiver.command()?;
        let finished = run(command.arg("-f").arg(&source.increment).arg(copy.path()), TIMEOUT)?;
        if receiver == Receiver::Ours {
            finished.success()?;
            source.is_the_same_as(&copy)?;
        } else if is_known_btrfs_progs()? {
            ensure!(!finished.status.success(), "the standard receiver finds it too now");
        }
    }
    Ok(())
}

/// The second row of what the standard receiver gets wrong: it says that it cannot clone, and marks the subvolume as received.
#[test]
fn a_clone_source_outside_the_mounted_subvolume_is_cloned_whole() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let parent = sandbox.join("parent");
    let data = trees::Content::Noise.bytes(60_000, 3);
    let stream = Stream::new(2).subvol("parent").mkfile("src").write("src", 0, &data).end();
    fs::write(&parent, stream.bytes())?;
    let child = sandbox.join("child");
    let subvol = wire::Attributes::path("child")
        .bytes_of(wire::Attribute::Uuid, *b"butterdock-child")
        .u64(wire::Attribute::Ctransid, 9);
    let stream = Stream::new(2)
        .command(wire::command::SUBVOL, &subvol)
        .mkfile("copy")
        .clone_from("copy", 0, 57_344, ((UUID, 7), "src", 0))
        .end();
    fs::write(&child, stream.bytes())?;
    for receiver in [Receiver::Ours, Receiver::Standard] {
        let mut copy = sandbox.plain_volume(if receiver == Receiver::Ours { "ours" } else { "standard" })?;
        Receiver::Standard.receive(&parent, copy.path())?;
        snapshot::create(&copy.join("inner"))?;
        copy.unmount()?;
        copy.mount("subvol=inner")?;
        let mut command = receiver.command()?;
        let finished = run(command.arg("-f").arg(&child).arg(copy.path()), TIMEOUT)?;
        let arrived = fs::read(copy.join("child/copy"))?;
        if receiver == Receiver::Ours {
            finished.success()?;
            ensure!(arrived.get(..57_344) == data.get(..57_344) && arrived.len() == 57_344, "not what was cloned");
        } else if is_known_btrfs_progs()? {
            ensure!(finished.code() == 0 && arrived.is_empty(), "the standard receiver fails otherwise now");
        }
    }
    Ok(())
}

/// The kernel's ioctl takes any length; the standard receiver cuts it to 32 bits.
#[test]
fn a_clone_of_more_than_4_gib_is_cloned_whole() -> Result<()> {
    const LONG: u64 = (4 << 30) + 4096;
    let sandbox = Sandbox::new()?;
    let this = (UUID, 7);
    let stream = Stream::new(1)
        .subvol("sub")
        .mkfile("src")
        .truncate("src", LONG)
        .write("src", 0, [b'a'; 4096])
        .write("src", 1 << 30, [b'b'; 4096])
        .write("src", 4 << 30, [b'c'; 4096])
        .mkfile("copy")
        .clone_from("copy", 0, LONG, (this, "src", 0))
        .end();
    let file = sandbox.join("stream");
    fs::write(&file, stream.bytes())?;
    let ours = sandbox.plain_volume("ours")?;
    Receiver::Ours.receive(&file, ours.path())?;
    let copy = File::open(ours.join("sub/copy"))?;
    ensure!(copy.metadata()?.len() == LONG, "{} bytes", copy.metadata()?.len());
    for (offset, byte) in [(0, b'a'), (1 << 30, b'b'), (4 << 30, b'c')] {
        let mut block = [0; 4096];
        copy.read_exact_at(&mut block, offset)?;
        ensure!(block == [byte; 4096], "other bytes at {offset}");
    }
    let standard = sandbox.plain_volume("standard")?;
    let mut command = Receiver::Standard.command()?;
    let finished = run(command.arg("-f").arg(&file).arg(standard.path()), TIMEOUT)?;
    if is_known_btrfs_progs()? {
        let len = fs::metadata(standard.join("sub/copy"))?.len();
        ensure!(finished.code() == 0 && len < LONG, "the standard receiver clones {len} bytes now");
    }
    Ok(())
}

/// Where each extent of a file is, in the file and on the filesystem. FIEMAP's own flag for a shared extent does not show it if
/// both items are in one leaf.
fn addresses(path: &Path) -> Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    fiemap(File::open(path)?, true, |extent| found.push((extent.offset, extent.physical)))?;
    Ok(found)
}

#[test]
fn clones_share_their_extents() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::new(&sandbox, Proto::One)?;
    let ours = sandbox.plain_volume("ours")?;
    Receiver::Ours.receive(&source.full, ours.path())?;
    for (name, of) in [("whole", "base"), ("odd-length-copy", "odd-length")] {
        let folder = ours.join("s0/reflinks");
        let (own, others) = (addresses(&folder.join(name))?, addresses(&folder.join(of))?);
        ensure!(!own.is_empty() && own == others, "{name} has the extents {own:?}, and {of} {others:?}");
    }
    Ok(())
}

/// The stream of a subvolume with one file, whose range is cloned from a file of the subvolume `parent`.
fn clone_stream(offset: u64, len: u64, source_offset: u64) -> Stream {
    let subvol = wire::Attributes::path("child")
        .bytes_of(wire::Attribute::Uuid, *b"butterdock-child")
        .u64(wire::Attribute::Ctransid, 9);
    let stream = Stream::new(2).command(wire::command::SUBVOL, &subvol).mkfile("copy");
    stream.clone_from("copy", offset, len, ((UUID, 7), "src", source_offset)).end()
}

/// The file of [`clone_stream`] after the parent was received with the mount options `first` and the child with `second`.
fn cloned_file(
    (first, second): (&str, &str),
    offset: u64,
    len: u64,
    source_offset: u64,
    data: &[u8],
) -> Result<Vec<u8>> {
    let sandbox = Sandbox::new()?;
    let (parent, child) = (sandbox.join("parent"), sandbox.join("child"));
    fs::write(&parent, Stream::new(2).subvol("parent").mkfile("src").write("src", 0, data).end().bytes())?;
    fs::write(&child, clone_stream(offset, len, source_offset).bytes())?;
    let mut volume = sandbox.volume("volume", &Layout::mounted(first))?;
    Receiver::Ours.receive(&parent, volume.path())?;
    volume.unmount()?;
    volume.mount(second)?;
    let mut command = Receiver::Ours.command()?;
    let finished = run(command.args(["--json", "-f"]).arg(&child).arg(volume.path()), TIMEOUT)?.success()?;
    let result = finished.out().lines().last().unwrap_or_default().to_owned();
    ensure!(result.contains("\"fallbacks\":1,") && result.contains("\"clones\":0,"), "{result}");
    Ok(fs::read(volume.join("child/copy"))?)
}

/// A hole in the middle stays one.
#[test]
fn a_clone_between_files_with_and_without_checksums_is_copied() -> Result<()> {
    let mut data = trees::Content::Noise.bytes(384 << 10, 3);
    data[128 << 10..256 << 10].fill(0);
    for options in [("nodatasum", "datasum"), ("datasum", "nodatasum")] {
        ensure!(cloned_file(options, 0, 384 << 10, 0, &data)? == data, "{options:?}: other data");
    }
    Ok(())
}

#[test]
fn a_clone_that_is_not_aligned_is_copied() -> Result<()> {
    let data = trees::Content::Noise.bytes(60_000, 3);
    let copy = cloned_file(("", ""), 1, 4096, 7, &data)?;
    ensure!(copy.first() == Some(&0) && copy[1..] == data[7..7 + 4096], "other data");
    Ok(())
}
