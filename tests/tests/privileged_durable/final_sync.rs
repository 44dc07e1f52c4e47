//! Everything is on the device at the moment of exit; a filesystem that fails between the new name and the last sync.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_receive::{Control, ErrorKind, Observer, Options, Phase, Publication, receive};
use butterdock_tests::wire::Stream;
use butterdock_tests::{Layout, Receiver, Sandbox, TIMEOUT, Volume, is_known_btrfs_progs, run};

use crate::streams::{Source, names};

/// Nothing is written by itself for five minutes: what is on the device at exit is what the receiver put there.
const LAZY: &str = "commit=300";

/// The volume as a power cut at this instant would leave it.
pub(crate) fn after_a_power_cut(sandbox: &Sandbox, mut volume: Volume) -> Result<Volume> {
    let image = volume.image().with_extension("crashed");
    volume.copy_image(&image)?;
    volume.unmount()?;
    drop(volume);
    // The kernel remembers the device that had this uuid until now.
    run(Command::new("btrfs").args(["device", "scan", "--forget"]), TIMEOUT)?.success()?;
    Volume::of_image(&image, &sandbox.join("crashed"), "")
}

#[test]
fn everything_is_on_the_device_at_the_instant_of_exit() -> Result<()> {
    let sandbox = Sandbox::new()?;
    let source = Source::of_everything(&sandbox)?;
    let volume = sandbox.volume("ours", &Layout::mounted(LAZY))?;
    Receiver::Ours.receive(&source.stream, volume.path())?;
    let crashed = after_a_power_cut(&sandbox, volume)?;
    source.is_whole_at(&crashed.join("s0"))?;
    drop(crashed);

    // The same with the standard receiver, so that it is known that this test sees what it looks for.
    let volume = sandbox.volume("standard", &Layout::mounted(LAZY))?;
    Receiver::Standard.receive(&source.stream, volume.path())?;
    let crashed = after_a_power_cut(&sandbox, volume)?;
    if is_known_btrfs_progs()? {
        ensure!(source.is_whole_at(&crashed.join("s0")).is_err(), "nothing was lost: this test shows nothing");
    }
    Ok(())
}

/// Makes the filesystem read-only when the subvolume has its name, as an error of the device does.
struct BecomesReadOnly(PathBuf);

impl Observer for BecomesReadOnly {
    #[expect(clippy::expect_used, reason = "an observer cannot fail; the test does")]
    fn phase(&self, phase: Phase) {
        if phase == Phase::Settling {
            let mut remount = Command::new("mount");
            remount.args(["-o", "remount,ro"]).arg(&self.0);
            run(&mut remount, TIMEOUT).expect("run").success().expect("remounted");
        }
    }
}

#[test]
fn an_unconfirmed_name_is_reported_as_unconfirmed() -> Result<()> {
    let sandbox = Sandbox::new()?;
    for (name, publication) in [("rename", Publication::Rename), ("snapshot", Publication::Snapshot)] {
        let volume = sandbox.plain_volume(name)?;
        let mut input = tempfile::tempfile()?;
        input.write_all(Stream::new(2).subvol("s0").mkfile("f").write("f", 0, b"x").end().bytes())?;
        input.rewind()?;
        let options = Options { publication, ..Options::default() };
        let (control, destination) = (Control::new()?, File::open(volume.path())?);
        let observer = BecomesReadOnly(volume.path().to_owned());
        let outcome = receive(input.as_fd(), destination.as_fd(), &options, &control, &observer);
        let failure = outcome.err().context("nothing failed")?;
        ensure!(failure.error.kind() == ErrorKind::ReadOnly && failure.published.is_empty(), "{failure}");
        let (visible, _) = names(volume.path())?;
        ensure!(visible == ["s0"], "{name}: {visible:?}");
        let told = failure.to_string();
        ensure!(told.contains("has its name") && told.contains("\"s0\""), "{name}: {told}");
    }
    Ok(())
}
