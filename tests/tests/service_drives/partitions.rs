//! A disk with several partitions.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{
    Disk, DriveFixture, DriveObject, Sandbox, TIMEOUT, error_name, is_mounted, mount, no_options, run,
};
use zbus::Variant;

const MIB: u64 = 1 << 20;
/// Where its two parts begin, and how long they are, in MiB.
const PARTS: [(u64, u64); 2] = [(1, 256), (257, 300)];
const SECTORS: [(u64, u64); 2] = [(1 << 11, 256 << 11), (257 << 11, 300 << 11)];

/// An image of a disk with a filesystem in each part.
fn disk(fixture: &DriveFixture, labels: [&str; 2]) -> Result<PathBuf> {
    let path = fixture.sandbox.join("disk.img");
    let mut disk = File::create(&path)?;
    disk.set_len((PARTS[1].0 + PARTS[1].1 + 1) * MIB)?;
    for ((begin, length), label) in PARTS.into_iter().zip(labels) {
        let part = fixture.sandbox.join("part");
        File::create(&part)?.set_len(length * MIB)?;
        run(Command::new("mkfs.btrfs").args(["-q", "-L", label]).arg(&part), TIMEOUT)?.success()?;
        disk.seek(SeekFrom::Start(begin * MIB))?;
        io::copy(&mut File::open(&part)?, &mut disk)?;
        fs::remove_file(part)?;
    }
    Ok(path)
}

/// Mounts the other partition, as another program would; unmounted when dropped.
struct Elsewhere<'r>(&'r Sandbox);

impl<'r> Elsewhere<'r> {
    fn mount(sandbox: &'r Sandbox, node: &Path) -> Result<Self> {
        fs::create_dir(sandbox.join("elsewhere"))?;
        mount(node, &sandbox.join("elsewhere"), "")?;
        Ok(Self(sandbox))
    }
}

impl Drop for Elsewhere<'_> {
    fn drop(&mut self) {
        run(Command::new("umount").arg(self.0.join("elsewhere")), TIMEOUT).ok();
    }
}

#[test]
fn a_disk_is_safe_when_all_partitions_are() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let image = disk(&fixture, ["Blue", "Films"])?;
    let disk = Disk::attach_parted(&image, &SECTORS)?;
    let [first, second] = [1, 2].map(|number| format!("{}p{number}", disk.name()));
    let both = fixture
        .until("both parts", |all| all.iter().filter(|drive| !drive.properties.label.is_empty()).count() == 2)?;
    let mut shown: Vec<_> =
        both.iter().map(|drive| (drive.properties.device.as_str(), drive.properties.label.as_str())).collect();
    shown.sort_unstable();
    ensure!(shown == [(first.as_str(), "Blue"), (second.as_str(), "Films")], "{both:#?}");
    ensure!(both.iter().all(|drive| !drive.properties.enrolled), "{both:#?}");

    let blue = both.iter().find(|drive| drive.properties.label == "Blue").context("the first part")?;
    ensure!(blue.properties.size == PARTS[0].1 * MIB, "{blue:?}");
    let blue = fixture.enrol_and_mount(blue)?;
    ensure!(blue.properties.device == first && is_mounted(&first)? && !is_mounted(&second)?, "{blue:?}");
    let films = fixture.one("the other part", |is| is.label == "Films")?;
    ensure!(!films.properties.enrolled && films.properties.state == DriveState::Present, "{films:?}");

    // While others use the other part the disk is not safe to unplug.
    let elsewhere = Elsewhere::mount(&fixture.sandbox, &Path::new("/dev").join(&second))?;
    fixture.call(&blue, "SafelyRemove", &no_options())?;
    let told = format!("{second} is mounted");
    let held = fixture.one("told why not", |is| is.label == "Blue" && is.problem.contains(&told))?;
    ensure!(held.properties.state != DriveState::Safe && is_mounted(&second)?, "{held:?}");
    drop(elsewhere);
    fixture.call(&blue, "SafelyRemove", &no_options())?;
    let safe = fixture.one("safe", |is| is.label == "Blue" && is.state == DriveState::Safe)?;
    ensure!(safe.properties.problem.is_empty() && !is_mounted(&first)?, "{safe:?}");

    drop(disk);
    fixture.until("gone", |all| all.iter().all(|drive| drive.properties.device.is_empty()))?;
    let disk = Disk::attach_parted(&image, &SECTORS)?;
    let first = format!("{}p1", disk.name());
    let blue = fixture.one("there again", |is| is.enrolled && is.device == first)?;
    ensure!(blue.properties.problem.is_empty(), "{blue:?}");
    fixture.one("the other part again", |is| is.label == "Films" && !is.enrolled)?;
    Ok(())
}

#[test]
fn a_disk_with_partitions_is_erased_as_a_whole() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let image = disk(&fixture, ["Blue", "Films"])?;
    let disk = Disk::attach_parted(&image, &SECTORS)?;
    let both = fixture.until("both parts", |all| all.len() == 2)?;
    let (name, whole) = (disk.name(), fs::metadata(&image)?.len());
    ensure!(both.iter().all(|one| one.properties.disk == name && one.properties.disk_size == whole), "{both:#?}");
    let enrol = |drive: &DriveObject, size: u64| {
        let mut options = no_options();
        options.insert("format", Variant::from(true));
        options.insert("whole_disk", Variant::from(true));
        options.insert("size", Variant::from(size));
        options.insert("serial", Variant::from(drive.properties.serial.clone()));
        options.insert("label", Variant::from("Red"));
        fixture.call(drive, "Enrol", &options)
    };
    let wrong = enrol(&both[0], both[0].properties.size).err().context("refused")?;
    ensure!(error_name(&wrong).ends_with("InvalidArgs"), "{wrong}");
    let elsewhere = Elsewhere::mount(&fixture.sandbox, &Path::new("/dev").join(&both[1].properties.device))?;
    let mounted = enrol(&both[0], whole).err().context("refused")?;
    ensure!(mounted.to_string().contains(&format!("{} is mounted", both[1].properties.device)), "{mounted}");
    drop(elsewhere);
    let films = fixture.enrol(&both[1])?;
    for drive in [&both[0], &films] {
        let enrolled = enrol(drive, whole).err().context("refused")?;
        ensure!(enrolled.to_string().contains("forget that drive first"), "{enrolled}");
    }
    fixture.call(&films, "Forget", &no_options())?;
    let parts = [0, 1].map(|part: usize| both[part].properties.device.clone());
    let open = File::open(Path::new("/dev").join(&parts[1]))?;
    let in_use = enrol(&both[0], whole).err().context("refused")?;
    ensure!(in_use.to_string().contains("nothing was erased"), "{in_use}");
    for part in &parts {
        ensure!(Path::new("/sys/class/block").join(part).exists(), "the kernel does not know {part} any more");
    }
    drop(open);
    let both = fixture.until("both parts again", |all| {
        parts.iter().all(|part| all.iter().any(|drive| drive.properties.device == *part))
    })?;
    enrol(&both[0], whole)?;
    let red = fixture.one("the whole disk", |is| is.enrolled && is.device == name)?;
    ensure!(red.properties.label == "Red" && red.properties.size == whole, "{red:?}");
    fixture.until("no partition is left", |all| all.len() == 1)?;
    ensure!(!Path::new("/sys/class/block").join(&both[0].properties.device).exists(), "the kernel has a partition");
    Ok(())
}
