//! Devices that stop taking writes in the middle of a stream, and full volumes.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Result, ensure};
use butterdock_tests::compare::{Rules, Tree, differences};
use butterdock_tests::snapshot::Proto;
use butterdock_tests::trees::Content;
use butterdock_tests::{
    FailingVolume, Layout, Receiver, Sandbox, TIMEOUT, Volume, Zram, is_known_btrfs_progs, run, start,
};
use rustix::fs::{FallocateFlags, fallocate};

use crate::streams::{Source, failed_with, is_empty, names};

/// A lost device may show itself as an error of a call, as a filesystem that turned read-only, or only in its counters.
const LOST: &[&str] = &["i/o", "eio", "device", "read-only", "erofs", "lost", "write error"];

fn digits(live: &Path) -> Result<()> {
    let block = Content::Digits.bytes(8 << 20, 7);
    for number in 0..30 {
        fs::write(live.join(format!("f{number}")), &block)?;
    }
    Ok(())
}

/// All writes of metadata succeed, and those of data fail when 40 MiB are written: under an encoded write the kernel loses that
/// without a word.
fn data_is_lost(proto: Proto) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::of(&sandbox, proto, digits)?;
    let failing = FailingVolume::after(&sandbox, 40 << 20)?;
    let into = failing.path()?.join("into");
    fs::create_dir(&into)?;
    let finished = run(Receiver::Ours.command()?.arg("-f").arg(&source.stream).arg(&into), TIMEOUT)?;
    failed_with(&finished, LOST)?;
    let (visible, _) = names(&into)?;
    ensure!(visible.is_empty(), "published: {visible:?}");
    Ok(())
}

#[test]
fn plain_data_that_the_device_loses_is_an_error() -> Result<()> {
    data_is_lost(Proto::One)
}

#[test]
fn encoded_data_that_the_device_loses_is_an_error() -> Result<()> {
    data_is_lost(Proto::TwoCompressed)
}

#[test]
fn btrfs_receive_does_not_notice_lost_data() -> Result<()> {
    if !is_known_btrfs_progs()? {
        return Ok(());
    }
    let sandbox = Sandbox::new()?;
    let source = Source::of(&sandbox, Proto::TwoCompressed, digits)?;
    let failing = FailingVolume::after(&sandbox, 40 << 20)?;
    let finished = run(Receiver::Standard.command()?.arg("-f").arg(&source.stream).arg(failing.path()?), TIMEOUT)?;
    ensure!(finished.code() == 0, "it does now: {}", finished.err());
    nix::unistd::sync();
    let copy = Tree::read(&failing.path()?.join("s0"))?;
    ensure!(!differences(&source.tree, &copy, Rules::COPIES).is_empty(), "nothing was lost: the device did not fail");
    Ok(())
}

/// Everything fails from the middle of the stream on, metadata too.
#[test]
fn a_device_that_fails_during_a_stream_is_an_error() -> Result<()> {
    ensure!(Zram::is_here(), "this kernel has no zram, which plays the failing device: load it with `modprobe zram`");
    let sandbox = Sandbox::new()?;
    let source = Source::of(&sandbox, Proto::TwoCompressed, digits)?;
    let mut zram = Zram::make(&sandbox)?;
    let into = zram.path().join("into");
    fs::create_dir(&into)?;
    nix::unistd::sync();
    let mut running = start(Receiver::Ours.command()?.arg(&into).stdin(Stdio::piped()))?;
    let mut input = running.input()?;
    let stream = fs::read(&source.stream)?;
    let (first, second) = stream.split_at(stream.len() / 2);
    input.write_all(first)?;
    zram.limit(zram.used()? + (1 << 20))?;
    // The reader may be gone before it has all.
    input.write_all(second).ok();
    drop(input);
    let finished = running.finish(TIMEOUT)?;
    failed_with(&finished, LOST)?;
    zram.heal()?;
    let (visible, _) = names(&into)?;
    ensure!(visible.is_empty(), "published: {visible:?}");
    Ok(())
}

const NO_ROOM: &[&str] = &["no space", "enospc", "full"];

/// A volume of 256 MiB gets more than that.
fn does_not_fit(
    proto: Proto,
    fill: impl FnOnce(&Path) -> Result<()>,
    prepare: impl FnOnce(&Volume) -> Result<()>,
) -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::of(&sandbox, proto, fill)?;
    let layout = Layout { mkfs: vec!["-m".into(), "single".into()], ..Layout::sized(256, "") };
    let volume = sandbox.volume("ours", &layout)?;
    let into = volume.join("into");
    fs::create_dir(&into)?;
    prepare(&volume)?;
    let finished = run(Receiver::Ours.command()?.arg("-f").arg(&source.stream).arg(&into), TIMEOUT)?;
    failed_with(&finished, NO_ROOM)?;
    is_empty(&into)
}

fn large(content: Content, mebibytes: usize) -> impl FnOnce(&Path) -> Result<()> {
    move |live| {
        let block = content.bytes(8 << 20, 7);
        for number in 0..mebibytes / 8 {
            fs::write(live.join(format!("f{number}")), &block)?;
        }
        Ok(())
    }
}

#[test]
fn plain_data_that_does_not_fit_is_an_error_that_says_so() -> Result<()> {
    does_not_fit(Proto::One, large(Content::Noise, 320), |_| Ok(()))
}

#[test]
fn encoded_data_that_does_not_fit_is_an_error_that_says_so() -> Result<()> {
    does_not_fit(Proto::TwoCompressed, large(Content::Digits, 640), |_| Ok(()))
}

#[test]
fn metadata_that_does_not_fit_is_an_error_that_says_so() -> Result<()> {
    let many = |live: &Path| {
        for folder in 0..50 {
            let folder = live.join(folder.to_string());
            fs::create_dir(&folder)?;
            for file in 0..400 {
                fs::write(folder.join(file.to_string()), Content::Noise.bytes(2000, 1))?;
            }
        }
        Ok(())
    };
    does_not_fit(Proto::One, many, |volume| {
        // Data gets all that is not given to anything yet; small files go where the metadata is, and that cannot grow.
        let filler = File::create(volume.join("filler"))?;
        let mut len = 0;
        while fallocate(&filler, FallocateFlags::empty(), len, 4 << 20).is_ok() {
            len += 4 << 20;
            ensure!(len < 512 << 20, "the volume takes everything");
        }
        Ok(())
    })
}
