//! The moment of exit.

use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::{Layout, Receiver, Sandbox, TIMEOUT, Volume, is_known_btrfs_progs, run};

use crate::source::Source;

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
