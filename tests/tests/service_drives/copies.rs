//! Copies of a drive: alone after the drive was detached, and of one of its two devices. `service_drives` tests a copy
//! beside the drive.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{Disk, DriveFixture, TIMEOUT, is_mounted, no_options, run, wait_until};

/// What `dd` makes of an image.
fn copy(fixture: &DriveFixture, image: &Path, name: &str) -> Result<PathBuf> {
    let to = fixture.sandbox.join(&format!("{name}.img"));
    let (from, into) = (format!("if={}", image.display()), format!("of={}", to.display()));
    run(Command::new("dd").args(["bs=1M", "conv=sparse", &from, &into]), TIMEOUT)?.success()?;
    Ok(to)
}

#[test]
fn an_older_copy_alone_is_refused() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
    fixture.enrol(&drive)?;
    drop(disk);
    fixture.until("away", <[_]>::is_empty)?;
    let stolen = copy(&fixture, &image, "copy")?;
    let disk = Disk::attach(&image)?;
    let drive = fixture.one("used since", |is| is.enrolled && is.state == DriveState::Mounted)?;
    fixture.call(&drive, "SafelyRemove", &no_options())?;
    fixture.one("safe", |is| is.state == DriveState::Safe)?;
    drop(disk);
    fixture.until("away", <[_]>::is_empty)?;
    let clone = Disk::attach(&stolen)?;
    let refused = fixture.one("refused", |is| !is.problem.is_empty())?;
    ensure!(refused.properties.problem.contains("this is an older copy of"), "{refused:?}");
    ensure!(refused.properties.problem.contains("plug in the drive itself"), "{refused:?}");
    ensure!(!is_mounted(&clone.name())?, "it is mounted");
    drop(clone);
    fixture.until("the copy is away", |all| all.iter().all(|drive| drive.properties.device.is_empty()))?;
    let _disk = Disk::attach(&image)?;
    fixture.one("itself again", |is| is.state == DriveState::Mounted && is.problem.is_empty()).map(drop)
}

#[test]
fn a_copy_of_one_member_is_not_used() -> Result<()> {
    let mut fixture = DriveFixture::set()?;
    let images = [fixture.sandbox.join("a.img"), fixture.sandbox.join("b.img")];
    for image in &images {
        File::create(image)?.set_len(256 << 20)?;
    }
    run(Command::new("mkfs.btrfs").args(["-q", "-L", "Two", "-m", "raid1", "-d", "raid1"]).args(&images), TIMEOUT)?
        .success()?;
    let disks = [Disk::attach(&images[0])?, Disk::attach(&images[1])?];
    // Until udev has reported both, one device of the drive is missing, which is refused.
    fixture.one("the drive", |is| !is.enrolled && is.label == "Two")?;
    let mut refused = None;
    let enrolled = wait_until("it can be enrolled", || {
        let drive = fixture.one("the drive", |is| !is.enrolled && is.label == "Two")?;
        refused = fixture.call(&drive, "Enrol", &no_options()).err();
        Ok(refused.is_none())
    });
    enrolled.with_context(|| format!("{refused:?}"))?;
    let drive = fixture.one("enrolled", |is| is.enrolled && is.state == DriveState::Safe)?;
    fixture.call(&drive, "Mount", &no_options())?;
    let stolen = copy(&fixture, &images[1], "copy")?;
    let clone = Disk::attach(&stolen)?;
    let refused = fixture.one("the copy", |is| is.device == clone.name())?;
    ensure!(
        refused.properties.problem.contains(&clone.name()) && refused.properties.problem.contains("copy"),
        "{refused:?}"
    );
    let members = |uuid: &str| -> Result<Vec<String>> {
        let names = fs::read_dir(Path::new("/sys/fs/btrfs").join(uuid).join("devices"))?.flatten();
        let mut names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    };
    let mut real = [disks[0].name(), disks[1].name()];
    real.sort();
    let now = members(&drive.properties.filesystem_uuid)?;
    ensure!(now == real, "the kernel has {now:?}");
    // All three at once, with nothing mounted.
    fixture.stop()?;
    fixture.start()?;
    let refused = fixture.one("refused", |is| is.enrolled && !is.problem.is_empty())?;
    let named = [&disks[1], &clone].iter().all(|disk| refused.properties.problem.contains(&disk.name()));
    ensure!(named && refused.properties.problem.contains("unplug the copy"), "{refused:?}");
    ensure!(!is_mounted(&disks[0].name())? && !is_mounted(&disks[1].name())? && !is_mounted(&clone.name())?);
    drop(clone);
    fixture.one("mounted again", |is| is.enrolled && is.state == DriveState::Mounted && is.problem.is_empty())?;
    let now = members(&drive.properties.filesystem_uuid)?;
    ensure!(now == real, "the kernel has {now:?}");
    Ok(())
}
