//! A disk that replaces another before udev has reported it.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use butterdock_tests::{Disk, DriveFixture, LoopNumber, no_options};
use zbus::Variant;

#[test]
fn a_swapped_disk_is_not_erased() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let (image, other) = (fixture.image("a", "Blue")?, fixture.image("b", "Other")?);
    let number = LoopNumber::reserve(98)?;
    let disk = Disk::attach_to(&number, &image)?;
    let drive = fixture.one("the drive", |is| is.label == "Blue")?;
    let silenced = fixture.udevd.silence()?;
    drop(disk);
    let _disk = Disk::attach_to(&number, &other)?;
    let mut options = no_options();
    options.insert("format", Variant::from(true));
    options.insert("size", Variant::from(drive.properties.size));
    options.insert("serial", Variant::from(drive.properties.serial.clone()));
    let refused = fixture.call(&drive, "Enrol", &options).err().context("refused")?;
    ensure!(refused.to_string().contains("has changed to another device"), "{refused}");
    drop(silenced);
    let other = fixture.one("the other", |is| is.label == "Other")?;
    ensure!(
        !other.properties.enrolled && fs::read_dir(fixture.sandbox.join("state/drives"))?.next().is_none(),
        "{other:?}"
    );
    Ok(())
}
