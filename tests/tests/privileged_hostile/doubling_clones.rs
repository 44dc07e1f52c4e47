//! Clones of 2.6 KB in total that double a file each time: 268 million extents if not stopped.

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use butterdock_btrfs::space::space;
use butterdock_receive::{Control, ErrorKind, Failure, Options, Silent, receive};
use butterdock_tests::wire::{Stream, UUID};
use butterdock_tests::{Layout, Sandbox, Volume, all_names};
use rustix::fs::{FallocateFlags, fallocate};

/// A file of one sector becomes one of a tebibyte.
const DOUBLINGS: u32 = 28;
/// What a cancelled run may still clone: the piece that the kernel has begun.
const PIECE: u64 = 4 << 20;

fn stream() -> Stream {
    let first = Stream::new(1).subvol("sub").mkfile("f").write("f", 0, [b'd'; 4096]);
    let doubled = (0..DOUBLINGS).map(|doubling| 4096 << doubling);
    doubled.fold(first, |stream, len| stream.clone_from("f", len, len, ((UUID, 7), "f", 0))).end()
}

/// Receives the stream; it must fail, and nothing of it may be left.
fn fails(sandbox: &Sandbox, into: &Path, control: &Control) -> Result<Failure> {
    let mut input = File::options().read(true).write(true).create(true).truncate(true).open(sandbox.join("stream"))?;
    input.write_all(stream().bytes())?;
    input.rewind()?;
    let destination = File::open(into)?;
    let failure = receive(input.as_fd(), destination.as_fd(), &Options::default(), control, &Silent)
        .err()
        .context("a tebibyte of extents was received")?;
    ensure!(!failure.left_hidden && all_names(into)?.is_empty(), "something is left: {failure}");
    Ok(failure)
}

#[test]
fn doubling_clones_end_when_metadata_has_little_room_left() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let layout = Layout { mkfs: vec!["-m".into(), "single".into()], ..Layout::sized(256, "") };
    let volume = sandbox.volume("ours", &layout)?;
    let into = volume.join("into");
    fs::create_dir(&into)?;
    give_most_to_data(&volume)?;
    let (control, ended) = (Control::new()?, AtomicBool::new(false));
    let folder = File::open(&into)?;
    let (failure, least) = scope(|threads| {
        let watch = threads.spawn(|| -> Result<u64> {
            let mut least = u64::MAX;
            while !ended.load(Ordering::Relaxed) {
                let now = space(&folder)?;
                least = least.min(now.metadata_free().saturating_add(now.unallocated));
                sleep(Duration::from_millis(1));
            }
            Ok(least)
        });
        let failure = fails(&sandbox, &into, &control);
        ended.store(true, Ordering::Relaxed);
        (failure, watch.join())
    });
    let (failure, least) = (failure?, least.map_err(|_panic| anyhow::anyhow!("the watch panicked"))??);
    ensure!(failure.error.kind() == ErrorKind::NoSpace, "{failure}");
    ensure!(failure.to_string().contains("metadata"), "{failure}");
    // What the kernel has not written down yet is not counted as used: half of what is kept is for that.
    let kept = space(&folder)?.metadata_kept();
    ensure!(least > kept / 2, "{least} bytes were left at one time, and {kept} are kept");
    Ok(())
}

/// Then metadata can grow by little more than is kept.
fn give_most_to_data(volume: &Volume) -> Result<()> {
    let filler = File::create(volume.join("filler"))?;
    let mut len = 0;
    while space(&filler)?.unallocated > 48 << 20 {
        fallocate(&filler, FallocateFlags::empty(), len, 4 << 20)?;
        len += 4 << 20;
    }
    Ok(())
}

#[test]
fn doubling_clones_are_cancelled_between_pieces() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let volume = sandbox.volume("ours", &Layout::sized(4096, ""))?;
    let into = volume.join("into");
    fs::create_dir(&into)?;
    let mut longest = Duration::ZERO;
    for round in 0..20 {
        // The clone in work is of 32 MiB or more: without pieces all of it would come.
        let enough = (33 + 2 * round) << 20;
        let control = Control::new()?;
        let (failure, seen, took) = scope(|threads| {
            let receiver = threads.spawn(|| (fails(&sandbox, &into, &control), Instant::now()));
            while control.progress().counts.bytes_written < enough && !receiver.is_finished() {
                sleep(Duration::from_millis(1));
            }
            let asked = Instant::now();
            control.cancel();
            let seen = control.progress().counts.bytes_written;
            let (failure, ended) = receiver.join().map_err(|_panic| anyhow::anyhow!("the receiver panicked"))?;
            Ok::<_, anyhow::Error>((failure?, seen, ended.saturating_duration_since(asked)))
        })?;
        longest = longest.max(took);
        ensure!(failure.error.kind() == ErrorKind::Cancelled, "{failure}");
        let after = failure.counts.bytes_written;
        ensure!(after <= seen + PIECE, "cancelled after {seen} bytes, and {after} were cloned");
    }
    println!("the longest of 20 cancels took {longest:?}");
    Ok(())
}
