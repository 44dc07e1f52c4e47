//! The properties of drives, operations on them, and a disk that replaces another before udev has reported it.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::introspection;
use butterdock_dbus::names::interface::{DESTINATION, DRIVE, JOB};
use butterdock_dbus::{DriveState, MountRow};
use butterdock_tests::{
    Disk, DriveFixture, DriveObject, LoopNumber, TIMEOUT, error_name, is_mounted, members, mount, no_options, run,
    unmount, wait_until,
};
use zbus::{OwnedObjectPath, Variant};
use zbus_xml::Node;

/// Enrols the only drive that is shown; answers what it is then.
fn enrolled(fixture: &DriveFixture) -> Result<DriveObject> {
    let drive = fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
    fixture.enrol_and_mount(&drive)
}

#[test]
fn an_unenrolled_drive_is_shown_but_not_mounted() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    let shown = fixture.one("the drive", |is| is.label == "Blue")?;
    ensure!(
        shown.properties.state == DriveState::Present
            && !shown.properties.enrolled
            && shown.properties.problem.is_empty(),
        "{shown:?}"
    );
    ensure!(
        (shown.properties.bus.as_str(), &shown.properties.device, shown.properties.size)
            == ("loop", &disk.name(), 256 << 20),
        "{shown:?}"
    );
    let refused = fixture.client.call(&shown.path, (DRIVE, "Mount"), &no_options()).err().context("refused")?;
    ensure!(refused.to_string().contains("enrol it first"), "{refused}");
    ensure!(!is_mounted(&disk.name())?, "mounted");
    let scanned = Path::new("/sys/fs/btrfs").join(&shown.properties.filesystem_uuid);
    ensure!(!scanned.exists(), "the kernel knows it");
    drop(disk);
    fixture.until("it is gone", <[DriveObject]>::is_empty)?;
    Ok(())
}

#[test]
fn an_enrolled_drive_is_recognised_on_every_device() -> Result<()> {
    let mut fixture = DriveFixture::set()?;
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    let first = enrolled(&fixture)?;
    ensure!(is_mounted(&disk.name())? && first.properties.free > 0 && first.properties.backups.is_empty(), "{first:?}");
    let id = butterdock_dbus::path::drive_id(&first.path).context("an id")?;
    ensure!(fixture.records()? == [format!("{id}.json")]);
    let machine = fs::read_to_string(fixture.sandbox.join("state/machine"))?;
    let token = format!(".butterdock-drive.{}", machine.trim());
    ensure!(fixture.sandbox.join("run/drives").join(&id).join(token).exists(), "no token");
    let again = fixture.call(&first, "Enrol", &no_options()).err().context("refused")?;
    ensure!(error_name(&again).ends_with(".Exists"), "{again}");
    // When the service ends, it unmounts drives that are not in use.
    let log = fixture.stop()?;
    ensure!(!is_mounted(&disk.name())?, "still mounted: {log}");
    drop(disk);
    fixture.start()?;
    // The loop device is detached when the last process that has it open closes it.
    fixture.until("it is gone", <[DriveObject]>::is_empty)?;
    let other = fixture.image("b", "Other")?;
    let _other = Disk::attach(&other)?;
    let _disk = Disk::attach(&image)?;
    let second = fixture.one("it again", |is| is.enrolled && is.state == DriveState::Mounted)?;
    ensure!(second.path == first.path, "{} {}", second.path, first.path);
    let other = fixture.one("the other", |is| is.label == "Other")?;
    ensure!(
        !other.properties.enrolled
            && other.properties.state == DriveState::Present
            && !is_mounted(&other.properties.device)?,
        "{other:?}"
    );
    Ok(())
}

#[test]
fn a_copy_of_an_attached_drive_is_refused() -> Result<()> {
    let mut fixture = DriveFixture::set()?;
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    enrolled(&fixture)?;
    let copy = fixture.sandbox.join("copy.img");
    run(
        Command::new("dd").arg("bs=1M").arg(format!("if={}", image.display())).arg(format!("of={}", copy.display())),
        TIMEOUT,
    )?
    .success()?;
    let clone = Disk::attach(&copy)?;
    let names = [disk.name(), clone.name()];
    // Beside the mounted drive the copy is refused, and the drive stays as it is.
    let shown = fixture.one("the copy", |is| is.device == names[1])?;
    ensure!(names.iter().all(|name| shown.properties.problem.contains(name)), "{shown:?}");
    ensure!(!is_mounted(&names[1])?);
    fixture.one("the drive", |is| is.enrolled && is.state == DriveState::Mounted)?;
    // If both appear at the same time, the original cannot be distinguished from the copy.
    fixture.stop()?;
    fixture.start()?;
    let shown = fixture.one("the refused drive", |is| is.enrolled && !is.problem.is_empty())?;
    ensure!(names.iter().all(|name| shown.properties.problem.contains(name)), "{shown:?}");
    ensure!(!is_mounted(&names[0])? && !is_mounted(&names[1])?);
    drop(clone);
    fixture.one("the drive, mounted", |is| is.enrolled && is.problem.is_empty() && is.state == DriveState::Mounted)?;
    Ok(())
}

#[test]
fn a_filesystem_of_two_devices_is_one_drive() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let images = ["a", "b"].map(|name| fixture.sandbox.join(&format!("{name}.img")));
    for image in &images {
        File::create(image)?.set_len(256 << 20)?;
    }
    // Before they are attached: udevd does not notice writes to a device while it looks at it.
    run(Command::new("mkfs.btrfs").args(["-q", "-L", "Blue", "-d", "raid1", "-m", "raid1"]).args(&images), TIMEOUT)?
        .success()?;
    let [first, second] = [Disk::attach(&images[0])?, Disk::attach(&images[1])?];
    let nodes = [&first, &second].map(|disk| format!("/dev/{}", disk.name()));
    let drives = fixture.until("it is one drive", |drives| {
        drives.len() == 1 && drives[0].properties.devices.len() == 2 && drives[0].properties.label == "Blue"
    })?;
    ensure!((drives[0].properties.size, drives[0].properties.enrolled) == (512 << 20, false), "{drives:?}");
    forget_devices(&nodes)?;
    drop(second);
    let drive = fixture.one("one device is missing", |is| is.devices.len() == 1 && is.device_count == 2)?;
    let refused = fixture.call(&drive, "Enrol", &no_options()).err().context("refused")?;
    ensure!(refused.to_string().contains("2 devices, and 1 is attached"), "{refused}");
    let second = Disk::attach(&images[1])?;
    let nodes = [&first, &second].map(|disk| format!("/dev/{}", disk.name()));
    let drive = fixture.one("both are attached", |is| is.devices.len() == 2 && is.device_count == 2)?;
    let drive = fixture.enrol_and_mount(&drive)?;
    ensure!(drive.properties.devices.len() == 2 && drive.properties.device_count == 2, "{drive:?}");
    let body = fixture.client.call(&drive.path, (DRIVE, "SafelyRemove"), &no_options())?.body();
    let job: OwnedObjectPath = body.deserialize()?;
    ensure!(fixture.client.end_of(job.as_str())?.0 == "succeeded");
    ensure!(!is_mounted(&first.name())? && !is_mounted(&second.name())?);
    forget_devices(&nodes)?;
    drop(second);
    let drive = fixture.one("one device is missing", |is| is.enrolled && is.devices.len() == 1)?;
    ensure!((drive.properties.device_count, drive.properties.size) == (2, 512 << 20), "{drive:?}");
    ensure!(fixture.drives()?.len() == 1);
    Ok(())
}

/// The kernel remembers devices until they are removed from its list.
fn forget_devices(nodes: &[String]) -> Result<()> {
    run(Command::new("btrfs").args(["device", "scan", "--forget"]).args(nodes), TIMEOUT)?.success().map(drop)
}

#[test]
fn a_forgotten_drive_is_unmounted_and_unenrolled() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let disk = Disk::attach(&fixture.image("a", "Blue")?)?;
    let drive = enrolled(&fixture)?;
    fixture.call(&drive, "Forget", &no_options())?;
    let drives = fixture
        .until("it is unknown", |drives| drives.iter().all(|drive| !drive.properties.enrolled) && !drives.is_empty())?;
    ensure!(drives.len() == 1 && drives[0].path != drive.path, "{drives:?}");
    ensure!(!is_mounted(&disk.name())? && fixture.records()?.is_empty());
    Ok(())
}

#[test]
fn safely_remove_names_the_mount_that_blocks_it() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| is.label == "Blue")?;
    let at = fixture.sandbox.join("theirs");
    fs::create_dir(&at)?;
    mount(&Path::new("/dev").join(disk.name()), &at, "")?;
    let remove = || -> Result<(String, String)> {
        let body = fixture.client.call(&drive.path, (DRIVE, "SafelyRemove"), &no_options())?.body();
        let job: OwnedObjectPath = body.deserialize()?;
        let (state, _) = fixture.client.end_of(job.as_str())?;
        Ok((state, fixture.client.get(job.as_str(), JOB, "ErrorMessage")?))
    };
    let refused = remove();
    unmount(&at)?;
    let (state, message) = refused?;
    let wanted = format!(
        "{} is mounted (butterdock drives shows where); unmount it (umount, or eject it on the desktop), then try again",
        disk.name()
    );
    ensure!(state == "failed" && message == wanted, "{state} {message}");
    let shown = fixture.one("the drive", |is| is.label == "Blue")?;
    ensure!(shown.properties.state != DriveState::Safe, "{shown:?}");
    let (state, message) = remove()?;
    ensure!(state == "succeeded", "{state} {message}");
    fixture.one("safe", |is| is.label == "Blue" && is.state == DriveState::Safe).map(drop)
}

#[test]
fn format_needs_the_size_and_serial_of_the_drive() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let image = fixture.sandbox.join("empty.img");
    File::create(&image)?.set_len(256 << 20)?;
    let _disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| is.size == 256 << 20)?;
    let plain = fixture.call(&drive, "Enrol", &no_options()).err().context("refused")?;
    ensure!(plain.to_string().contains("--format"), "{plain}");
    let format = |size: u64| {
        let mut options = no_options();
        options.insert("format", Variant::from(true));
        options.insert("size", Variant::from(size));
        options.insert("serial", Variant::from(drive.properties.serial.clone()));
        options.insert("label", Variant::from("Red"));
        options
    };
    let wrong = fixture.call(&drive, "Enrol", &format(1)).err().context("refused")?;
    ensure!(error_name(&wrong).ends_with("InvalidArgs"), "{wrong}");
    fixture.call(&drive, "Enrol", &format(256 << 20))?;
    let made = fixture.one("the new one", |is| is.enrolled && is.state == DriveState::Safe)?;
    ensure!(made.properties.label == "Red" && made.properties.filesystem_type == "btrfs", "{made:?}");
    Ok(())
}

#[test]
fn live_drive_introspection_matches_the_xml() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let image = fixture.image("a", "Blue")?;
    let _disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| is.label == "Blue")?;
    let drive = fixture.enrol(&drive)?;
    let text = fixture.client.introspect(&drive.path)?;
    let live = Node::from_reader(text.as_bytes())?;
    for (name, committed) in [(DRIVE, introspection::DRIVE), (DESTINATION, introspection::DESTINATION)] {
        let live = live.interfaces().iter().find(|one| one.name().as_str() == name).context("the interface")?;
        let committed = Node::from_reader(committed.as_bytes())?;
        let committed = members(committed.interfaces().first().context("an interface")?);
        let live = members(live);
        let differ: Vec<_> = live.symmetric_difference(&committed).collect();
        ensure!(differ.is_empty(), "{differ:#?}");
    }
    Ok(())
}

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

#[test]
fn what_a_desktop_has_mounted_is_named_and_unmounted_on_request() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let image = fixture.image("a", "Blue")?;
    let disk = Disk::attach(&image)?;
    fixture.one("the drive", |is| is.label == "Blue")?;
    let at = fixture.sandbox.join("desktop");
    let node = Path::new("/dev").join(disk.name());
    fs::create_dir(&at)?;
    mount(&node, &at, "")?;
    let drive = fixture.one("mounted by others", |is| is.label == "Blue" && is.mounted_by_others)?;
    let rows = |drive: &DriveObject| -> Result<Vec<MountRow>> {
        Ok(fixture.client.call(&drive.path, (DRIVE, "ListMounts"), &no_options())?.body().deserialize()?)
    };
    let expected = [MountRow { path: Some(at.as_os_str().as_encoded_bytes().to_vec()) }];
    ensure!(rows(&drive)? == expected, "{:?}", rows(&drive)?);
    let enrol = |unmount: bool| {
        let mut options = no_options();
        options.insert("unmount", Variant::from(unmount));
        fixture.call(&drive, "Enrol", &options)
    };
    let refused = enrol(false).err().context("refused")?;
    let text = refused.to_string();
    ensure!(error_name(&refused).ends_with(".Busy") && text.contains(&*at.to_string_lossy()), "{refused}");
    ensure!(text.contains("umount") && text.contains("--unmount"), "{refused}");
    let open = File::create(at.join("open"))?;
    let used = enrol(true).err().context("in use")?;
    ensure!(used.to_string().contains(&format!("({})", std::process::id())) && is_mounted(&disk.name())?, "{used}");
    drop(open);
    // A program that another test starts has this process's files until it is executed.
    wait_until("it is enrolled", || Ok(enrol(true).is_ok()))?;
    let drive = fixture.one("enrolled", |is| is.enrolled && is.state == DriveState::Safe && !is.mounted_by_others)?;
    ensure!(!is_mounted(&disk.name())?, "{drive:?}");

    // After the next plug it waits until the desktop has unmounted it.
    drop(disk);
    fixture.until("it is gone", |all| all.iter().all(|drive| drive.properties.device.is_empty()))?;
    // The service sees it when it has its name again.
    let other = image.with_file_name("elsewhere.disk");
    fs::rename(&image, &other)?;
    let disk = Disk::attach(&other)?;
    let node = Path::new("/dev").join(disk.name());
    mount(&node, &at, "")?;
    fs::rename(&other, &image)?;
    run(Command::new("udevadm").args(["trigger", "--settle"]).arg(&node), TIMEOUT)?.success()?;
    let waits = fixture.one("it waits", |is| is.mounted_by_others && is.problem.contains("by another program"))?;
    ensure!(waits.properties.mounted_by_others && waits.properties.problem.contains("by itself"), "{waits:?}");
    run(Command::new("umount").arg(&at), TIMEOUT)?.success()?;
    let used = fixture.one("it is used", |is| is.enrolled && is.state == DriveState::Mounted)?;
    ensure!(used.properties.problem.is_empty() && used.properties.device == disk.name(), "{used:?}");
    Ok(())
}
