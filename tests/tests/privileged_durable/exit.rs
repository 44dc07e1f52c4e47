//! The moment of exit.

use std::process::Command;

use anyhow::{Result, ensure};
use butterdock_tests::rig::{Layout, PATIENCE, Receiver, Rig, Volume, run, standard_is_the_known_one};

use crate::source::Source;

/// Nothing is written by itself for five minutes: what is on the device at exit is what the receiver put there.
const LAZY: &str = "commit=300";

/// The volume as a power cut at this instant would leave it.
pub(crate) fn after_a_power_cut(rig: &Rig, mut volume: Volume) -> Result<Volume> {
    let image = volume.image().with_extension("crashed");
    volume.copy_image(&image)?;
    volume.unmount()?;
    drop(volume);
    // The kernel remembers the device that had this uuid until now.
    run(Command::new("btrfs").args(["device", "scan", "--forget"]), PATIENCE)?.success()?;
    Volume::of_image(&image, &rig.join("crashed"), "")
}

#[test]
fn everything_is_on_the_device_at_the_instant_of_exit() -> Result<()> {
    let rig = Rig::new()?;
    let source = Source::of_everything(&rig)?;
    let volume = rig.volume("ours", &Layout::mounted(LAZY))?;
    Receiver::Ours.receive(&source.stream, volume.path())?;
    let crashed = after_a_power_cut(&rig, volume)?;
    source.is_whole_at(&crashed.join("s0"))?;
    drop(crashed);

    // The same with the standard receiver, so that it is known that this test sees what it looks for.
    let volume = rig.volume("standard", &Layout::mounted(LAZY))?;
    Receiver::Standard.receive(&source.stream, volume.path())?;
    let crashed = after_a_power_cut(&rig, volume)?;
    if standard_is_the_known_one()? {
        ensure!(source.is_whole_at(&crashed.join("s0")).is_err(), "nothing was lost: this test shows nothing");
    }
    Ok(())
}
