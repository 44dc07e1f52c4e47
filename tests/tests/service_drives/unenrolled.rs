//! An unenrolled drive beside an enrolled one.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use butterdock_dbus::DriveState;
use butterdock_tests::{Disk, DriveFixture, Sandbox, TIMEOUT, is_mounted, no_options, run};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

const CONTROL: &str = "/dev/btrfs-control";

/// Reports who opens the node for device scans (`BTRFS_IOC_SCAN_DEV`): the kernel does not list the scanned devices.
struct Scans(Inotify);

impl Scans {
    /// With a node that the test's own mounts alone have: on the machine, and in other tests, udevd scans what it sees.
    fn watch(sandbox: &Sandbox) -> Result<Self> {
        let folder = sandbox.join("nodes");
        fs::create_dir(&folder)?;
        mount(Some("tmpfs"), &folder, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
        let node = folder.join("control");
        run(Command::new("cp").args(["--archive", CONTROL]).arg(&node), TIMEOUT)?.success()?;
        mount(Some(&node), CONTROL, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        let scans = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        scans.add_watch(CONTROL, AddWatchFlags::IN_OPEN)?;
        Ok(Self(scans))
    }

    /// Whether a process opened it since the last call.
    fn seen(&self) -> Result<bool> {
        match self.0.read_events() {
            Ok(events) => Ok(!events.is_empty()),
            Err(Errno::EAGAIN) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

#[test]
fn an_unenrolled_drive_is_neither_mounted_nor_scanned() -> Result<()> {
    let sandbox = Sandbox::new()?;
    // The system's own rule scans every btrfs that is not enrolled: without that rule only the service can have scanned.
    fs::create_dir(sandbox.join("rules.d"))?;
    fs::write(sandbox.join("rules.d/64-btrfs.rules"), "")?;
    let fixture = DriveFixture::with(sandbox, "")?;
    let images = [fixture.image("a", "Blue")?, fixture.image("b", "Other")?];
    let scans = Scans::watch(&fixture.sandbox)?;
    let known = Disk::attach(&images[0])?;
    let drive = fixture.one("the drive", |is| !is.enrolled && is.filesystem_type == "btrfs")?;
    fixture.enrol_and_mount(&drive)?;
    let stranger = Disk::attach(&images[1])?;
    let other = fixture.one("the stranger", |is| is.label == "Other")?;
    ensure!(!other.properties.enrolled && other.properties.state == DriveState::Present, "{other:?}");
    let mounted = |uuid: &str| Path::new("/sys/fs/btrfs").join(uuid).exists();
    ensure!(mounted(&drive.properties.filesystem_uuid) && is_mounted(&known.name())?, "the control is not seen");
    ensure!(!mounted(&other.properties.filesystem_uuid) && !is_mounted(&stranger.name())?, "{other:?}");
    let daemon = fixture.daemon.as_ref().context("it runs")?.id();
    let mounts = fs::read_to_string(format!("/proc/{daemon}/mountinfo"))?;
    let in_its_mounts = |disk: &Disk| mounts.split_whitespace().any(|word| word == format!("/dev/{}", disk.name()));
    ensure!(in_its_mounts(&known) && !in_its_mounts(&stranger), "{mounts}");
    for entry in fs::read_dir(format!("/proc/{daemon}/fd"))?.flatten() {
        // One that is closed meanwhile is not held.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        ensure!(target != Path::new("/dev").join(stranger.name()), "the service holds the stranger open");
    }
    let holders = Path::new("/sys/block").join(stranger.name()).join("holders");
    ensure!(fs::read_dir(holders)?.next().is_none(), "a program holds the unknown drive");
    ensure!(!scans.seen()?, "a program scanned a device");
    // The control of that look, seen from where the service is.
    let node = format!("/dev/{}", stranger.name());
    let inside = ["--target", &daemon.to_string(), "--mount", "btrfs", "device", "scan", &node].map(str::to_owned);
    run(Command::new("nsenter").args(inside), TIMEOUT)?.success()?;
    ensure!(scans.seen()?, "a scan is not seen");
    Ok(())
}

#[test]
fn remains_of_another_format_do_not_hide_a_drive() -> Result<()> {
    let fixture = DriveFixture::set()?;
    let image = fixture.image("a", "Blue")?;
    // The label of an installer's image, which is below the superblock of btrfs.
    fs::File::options().write(true).open(&image)?.write_all_at(b"\x01CD001\x01", 32 << 10)?;
    let disk = Disk::attach(&image)?;
    let drive = fixture.one("the drive", |is| is.label == "Blue" && is.filesystem_type == "btrfs")?;
    ensure!(drive.properties.note.contains("wipefs --all --types iso9660 on loop"), "{drive:?}");
    let enrolled = fixture.enrol_and_mount(&drive)?;
    ensure!(is_mounted(&disk.name())? && enrolled.properties.problem.is_empty(), "{enrolled:?}");
    fixture.call(&enrolled, "Forget", &no_options())?;
    drop(disk);
    fixture.until("it is gone", |all| all.is_empty())?;
    // A filesystem that another system made later leaves the superblock as it was.
    fs::File::options().write(true).open(&image)?.write_all_at(b"EXFAT   ", 3)?;
    let _disk = Disk::attach(&image)?;
    let drive = fixture.one("both", |is| is.problem.contains("exfat"))?;
    let refused = fixture.call(&drive, "Enrol", &no_options()).err().context("refused")?.to_string();
    ensure!(
        refused.contains("wipefs --all --types exfat,iso9660 on loop") && !refused.contains("--format"),
        "{refused}"
    );
    Ok(())
}
